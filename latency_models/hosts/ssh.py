"""A device over SSH. Only python3 and the runtime must be there; the agent and the models are brought along, and taken away.

Models are shipped once each, by content. Results are kept on the device until they have arrived: after a cut connection the
next call for the same models gets what was finished meanwhile, and times the rest.
"""

import getpass
import hashlib
import json
import re
import socket
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from latency_models.agent import device_side
from latency_models.hosts import ConnectionLostError, HostFacts, Report, Request, agent_process
from latency_models.hosts.ssh_connection import TOO_OLD, Address, Connection
from nas.core.errors import MeasurementError

SPARE_MB = 1.0  # left on the device's disk beside what is shipped: results, the system's own needs


class SshHost:
    """Times models on the device at `address`; `ssh` is the client's command line, for options of its own."""

    def __init__(self, address: Address, ssh: Sequence[str] = ("ssh",)) -> None:
        self.name = str(address)
        self._address = address
        self._ssh = tuple(ssh)
        self._session = uuid.uuid4().hex
        # one folder a user and machine: where we are killed, the next of us finds the models there
        owner = hashlib.sha256(f"{getpass.getuser()}@{socket.gethostname()}".encode()).hexdigest()[:8]
        self._place = {"base": address.folder, "folder": f"nas-measure-{owner}", "session": self._session}
        self._connection: Connection | None = None
        self._touched = False
        self._jobs = 0
        self._lost: tuple[Request, int, int] | None = None  # what was asked, job, lines of it that arrived

    def facts(self) -> HostFacts:
        """As `Host.facts`."""
        for line in self._ask({"do": "check"}):
            found = agent_process.facts(line)
            if found is not None:
                return found
        raise MeasurementError(f"{self.name} says nothing of itself")

    def stream(self, models: Sequence[Path], request: Request) -> Iterator[Report]:
        """As `Host.stream`."""
        if not models:
            return
        names = [_name(model) for model in models]
        self._ship(dict(zip(names, models, strict=True)))
        kept = self._finished_meanwhile(request)
        known = [
            agent_process.report(kept[name].pop(0), model) if kept.get(name) else None for name, model in zip(names, models, strict=True)
        ]
        todo = [i for i, report in enumerate(known) if report is None]
        with closing(self._time([models[i] for i in todo], [names[i] for i in todo], request)) as timed:
            for report in known:
                yield next(timed) if report is None else report

    def close(self) -> None:
        """Removes what was brought, as far as the device can be reached, and ends the connection."""
        try:
            if self._touched:
                self._ask({"do": "remove"})
        except MeasurementError:
            pass  # unreachable: the folder's models serve the next connection
        finally:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._touched, self._lost = False, None

    def _time(self, models: Sequence[Path], names: Sequence[str], request: Request) -> Generator[Report, None, None]:
        if not models:
            return
        self._jobs += 1
        job, done = self._jobs, 0
        what = {"do": "run", "job": job, "options": agent_process.options(request), "models": [f"models/{name}" for name in names]}
        with self._open().order({**self._place, **what}) as agent:
            for line in agent.out:
                found = agent_process.report(line, models[done]) if done < len(models) else None
                if found is not None:
                    done += 1
                    yield found
            code = agent.process.wait()
            said = agent.said()
        if code == 0 and done == len(models):
            return
        now = min(done, len(models) - 1)
        if code == 255 and not self._still_connected():
            self._lost = request, job, done
            raise ConnectionLostError(
                f"the connection to {self.name} was cut with {done} of {len(models)} models done; the same again goes on from there"
            )
        if code == 255:
            raise MeasurementError(f"the agent on {self.name} was killed while it timed {models[now]} (was the memory used up?)")
        raise self._failure(code, [line.replace(f"models/{names[now]}", str(models[now])) for line in said], models[now])

    def _finished_meanwhile(self, request: Request) -> dict[str, list[str]]:
        """Lines of results by name of model that a lost connection kept from us, if the same was asked for."""
        if self._lost is None:
            return {}
        asked, job, arrived = self._lost
        results = [line for line in self._ask({"do": "tell", "job": job}) if agent_process.report(line, Path()) is not None]
        self._lost = None
        found: dict[str, list[str]] = {}
        for line in results[arrived:] if asked == request else ():
            found.setdefault(Path(json.loads(line)["model"]).name, []).append(line)
        return found

    def _ship(self, models: dict[str, Path]) -> None:
        """Brings the models that are not there yet."""
        state = _last(self._ask({"do": "have"}))
        missing = {name: path for name, path in models.items() if name not in state["have"]}
        need_mb = sum(path.stat().st_size for path in missing.values()) / 1e6
        if missing and need_mb + SPARE_MB > state["free_mb"]:
            raise MeasurementError(
                f"the disk of {self.name} is full: {state['free_mb']:.1f} MB are free in {state['folder']}, the models need "
                f"{need_mb + SPARE_MB:.1f} MB; make room, or name another folder: ssh://{self._address.login}/DIR"
            )
        self._send({f"models/{name}": path for name, path in missing.items()})

    def _send(self, files: dict[str, Path]) -> None:
        if files:
            described = [(name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in files.items()]
            self._ask({"do": "receive", "files": described}, list(files.values()))

    def _open(self) -> Connection:
        """The connection, made anew where it was lost; a new one brings the agent first."""
        if self._connection is not None and not self._connection.alive():
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = Connection(self._address, self._ssh)
            self._touched = True
            try:
                self._send({"time_models.py": agent_process.AGENT})
            except MeasurementError:
                self._connection.close()  # the next call begins anew, and brings the agent
                self._connection = None
                raise
        return self._connection

    def _still_connected(self) -> bool:
        return self._connection is not None and self._connection.alive()

    def _ask(self, what: dict[str, Any], files: Sequence[Path] = ()) -> list[str]:
        """The device's answers to an order, when it is carried out."""
        with self._open().order({**self._place, **what}, files) as process:
            answers = process.out.read().decode(errors="replace").splitlines()
            code = process.process.wait()
            said = process.said()
        if code == 255 and not self._still_connected():
            raise ConnectionLostError(f"the connection to {self.name} was cut; the same again goes on from there")
        if code != 0:
            raise self._failure(code, said, "nothing yet")
        return answers

    def _failure(self, code: int, said: Sequence[str], model: Path | str) -> MeasurementError:
        last = said[-1] if said else ""
        if code == 255:
            return MeasurementError(f"what was asked of {self.name} was ended there before it was done (was the memory used up?): {last}")
        if code in (126, 127):
            return MeasurementError(f"{self.name} has no python3 that a plain ssh command finds ({last}); install Python 3.6 or newer")
        if TOO_OLD in last:
            return MeasurementError(f"python3 on {self.name} is {last.rpartition(' ')[2]}; the agent needs 3.6 or newer")
        if code in (device_side.BUSY, device_side.UNUSABLE):
            return MeasurementError(f"{self.name} cannot be used: {last}")
        return agent_process.failure(code, said, model, self.name)


def _name(model: Path) -> str:
    """What `model` is called on the device: its content, and the kind of file."""
    kind = model.suffix if re.fullmatch(r"\.[A-Za-z0-9]+", model.suffix) else ""
    return hashlib.sha256(model.read_bytes()).hexdigest()[:24] + kind


def _last(answers: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answers[-1])
    return found
