"""What a run has timed on its device (`measured.jsonl` in its folder): a line a network, and one that closes each round.

Only closed rounds count, so that a run which was killed while it measured goes on with the prices that it had. Nothing of
this is ever written into a device's table.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.core.architecture import Architecture
from nas.core.errors import StudyError
from nas.core.latency import Interval

FILE_NAME = "measured.jsonl"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class TimedNetwork:
    """An architecture that was timed as a whole network, in `round` (from 1), `why` "front" or "uncertain".

    `predicted` is what was expected of it when it was chosen, and of which `origin`. `measured` is the median of `passes`
    timings with the least and the greatest of them, in milliseconds. `undisturbed` is the share of runs on a calm
    processor, `conditions` what the device said of itself (clock, governor, temperature), `when` a time in ISO 8601.
    """

    architecture: Architecture
    round: int
    why: str
    predicted: Interval
    origin: str
    measured: Interval
    passes: int
    undisturbed: float
    when: str
    runtime_version: str
    conditions: str


@dataclass(frozen=True, slots=True)
class Round:
    """A round of measuring that is over: after how many evaluations it was, and what the sentinel network took, in milliseconds.

    `lost` says why it ended before all of its networks were timed, "" where it did not.
    """

    number: int
    evaluated: int
    sentinel_ms: float | None
    lost: str


@dataclass(frozen=True, slots=True)
class TimedNetworks:
    """All closed rounds of a run and their networks, on the device that `title` describes; {} before the first."""

    title: Mapping[str, Any]
    networks: tuple[TimedNetwork, ...] = ()
    rounds: tuple[Round, ...] = ()

    @property
    def prices(self) -> dict[Architecture, Interval]:
        """What each architecture was measured to take; the latest timing counts."""
        return {network.architecture: network.measured for network in self.networks}

    @property
    def evaluated(self) -> int:
        """Evaluations at the last round, 0 before the first."""
        return self.rounds[-1].evaluated if self.rounds else 0


def read(folder: Path) -> TimedNetworks:
    """What the run in `folder` has timed; nothing if it never measured.

    Raises:
        StudyError: a line that is not the last is damaged.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return TimedNetworks({})
    title, networks, rounds = {}, [], []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1], start=1):
        try:
            told = json.loads(line)
            kind = told.pop("kind")
            if kind == "title":
                title = told
            elif kind == "network":
                networks.append(_network(told))
            else:
                rounds.append(Round(**told))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StudyError(f"line {number} of {path} is damaged ({error!r}): restore the file, or begin again with --fresh") from None
    closed = {one.number for one in rounds}
    return TimedNetworks(title, tuple(network for network in networks if network.round in closed), tuple(rounds))


def begin(folder: Path, title: Mapping[str, Any]) -> TimedNetworks:
    """What the run in `folder` has timed on the device that `title` describes, ready for more.

    Raises:
        StudyError: the run has timed networks on another device, runtime or version; or as `read`.
    """
    found, wanted = read(folder), {"format": FORMAT, **title}
    if found.title:
        before = found.title
        differing = [f"{key} was {before.get(key)!r} and is now {value!r}" for key, value in wanted.items() if before.get(key) != value]
        if differing:
            raise StudyError(
                f"the run in {folder} has timed networks elsewhere ({'; '.join(differing)}): measure on the same device with the same "
                f"runtime, or give another --out"
            )
        return found
    _append(folder / FILE_NAME, [{"kind": "title", **wanted}])
    return read(folder)


def close(folder: Path, networks: Sequence[TimedNetwork], closed: Round) -> None:
    """Keeps a round and its networks, durably and at once."""
    lines = [{"kind": "network", **asdict(network), "id": network.architecture.id} for network in networks]
    _append(folder / FILE_NAME, [*lines, {"kind": "round", **asdict(closed)}])


def _append(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Adds lines behind the last round that is closed: what a crash left of another one goes."""
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with path.open("a+b") as file:
        file.seek(0)
        whole = file.read().split(b"\n")[:-1]
        while whole and json.loads(whole[-1])["kind"] == "network":
            whole.pop()
        file.truncate(sum(len(line) + 1 for line in whole))
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _network(told: dict[str, Any]) -> TimedNetwork:
    told.pop("id")
    told["architecture"] = Architecture(told["architecture"]["space"], tuple(told["architecture"]["genes"]))
    return TimedNetwork(**{**told, "predicted": Interval(**told["predicted"]), "measured": Interval(**told["measured"])})
