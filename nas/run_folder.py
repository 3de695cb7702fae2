"""Where a run keeps what it has: every file is written whole, so that any moment is a good one to stop."""

import fcntl
import json
import os
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from nas.core.errors import StudyError
from nas.files import atomic_write
from nas.settings import RunSettings
from nas.several_settings import SeveralSettings, is_of_several

Value = TypeVar("Value")
Settings = TypeVar("Settings", RunSettings, SeveralSettings)


@dataclass(frozen=True, slots=True)
class Claim:
    """Exclusive use of a run folder. `continues` says whether a run was there that goes on."""

    continues: bool


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder: `settings.toml`, `supernet.safetensors`, `study.journal`, `picks/`, `models/` and the report."""

    path: Path

    @property
    def settings(self) -> Path:
        """What the run was told."""
        return self.path / "settings.toml"

    @property
    def checkpoint(self) -> Path:
        """The supernet, in training or trained."""
        return self.path / "supernet.safetensors"

    @property
    def models(self) -> Path:
        """Exported models."""
        return self.path / "models"

    @property
    def input_format(self) -> Path:
        """What an exported model eats."""
        return self.path / "input.json"

    @property
    def command(self) -> Path:
        """The command line that began or continued the run last."""
        return self.path / "command.json"

    def pick(self, architecture_id: str) -> Path:
        """All figures of one finished pick."""
        return self.path / "picks" / f"{architecture_id}.json"

    def tuned(self, architecture_id: str) -> Path:
        """The trained networks of one pick."""
        return self.path / "picks" / f"{architecture_id}.safetensors"

    def save(self, path: Path, value: object) -> None:
        """Writes a value (numbers, strings, dataclasses of them) as JSON, whole or not at all."""
        atomic_write(path, TypeAdapter(type(value)).dump_json(value, indent=1) + b"\n")

    def load(self, path: Path, kind: type[Value]) -> Value:
        """The value that `save` wrote.

        Raises:
            StudyError: the file is missing or damaged.
        """
        try:
            return TypeAdapter(kind).validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
            raise StudyError(f"{path} is missing or damaged ({why}): delete it and give the run's command again") from None

    @contextmanager
    def claim(self, settings: Settings, fresh: bool, named: Callable[[Settings], Settings] | None = None) -> Iterator[Claim]:
        """The folder for `settings` alone, until the process ends, however it ends.

        `named` fills in what the settings that the run was begun with left open, so that they compare with `settings`.

        Raises:
            StudyError: another process has it; or it holds a run with other settings, or files of somebody else.
        """
        if fresh:
            self._clear()
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.settings.exists() and any(entry.name != ".lock" for entry in self.path.iterdir()):
            raise StudyError(f"{self.path} holds files but no run: a run needs a folder of its own; give another --out")
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._lock(handle)
            continues = self.settings.exists()
            if continues:
                before = type(settings).read(self.settings)
                settings.refuse_change(named(before) if named else before)
            settings.save(self.settings)
            yield Claim(continues)
        finally:
            os.close(handle)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the wall time of what is inside to the phase's, also when it is interrupted."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.seconds()
            seconds[phase] = round(seconds.get(phase, 0.0) + time.perf_counter() - started, 2)
            atomic_write(self.path / "seconds.json", json.dumps(seconds))

    def seconds(self) -> dict[str, float]:
        """Wall time by phase so far, over all sessions of the run."""
        path = self.path / "seconds.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def _lock(self, handle: int) -> None:
        """Takes the lock and leaves our process number in it."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 20).decode() or "unknown"
            raise StudyError(f"{self.path} is in use by process {owner}: wait for it, or give another --out") from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())

    def _clear(self) -> None:
        """Deletes the run in the folder; a folder that holds anything but a run is refused."""
        if not self.path.exists():
            return
        if any(entry.name != ".lock" for entry in self.path.iterdir()) and not self._holds_run():
            raise StudyError(
                f"{self.path} holds files but no run (no settings.toml of one): --fresh will not delete it; give another --out"
            )
        with self._held():
            shutil.rmtree(self.path)

    def _holds_run(self) -> bool:
        """Whether a run of this or another version began here: other programs, too, have a `settings.toml`."""
        try:
            return is_of_several(self.settings) or {"device", "budget_ms"} <= tomllib.loads(self.settings.read_text()).keys()
        except (OSError, ValueError):
            return False

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The lock of an existing folder, for as long as it takes to delete it."""
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._lock(handle)
            yield
        finally:
            os.close(handle)
