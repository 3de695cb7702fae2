"""One connection to a device through the system's OpenSSH client: the user's configuration, keys and known hosts.

A master process holds the connection and runs `cat` on the device: what is said to it comes back as long as the connection
lives, and it ends by itself when this process ends. Commands go through it. The command line on the device is always the same
constant (`REMOTE`); what is to be done there is sent on standard input, so nothing of the user's gets near a shell.
"""

import json
import re
import select
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency_models.agent import device_side
from latency_models.hosts.agent_process import Running, running
from nas.core.errors import MeasurementError

TOO_OLD = "this Python is too old: "
REMOTE = (
    f'exec python3 -c \'import sys; sys.version_info >= (3, 6) or sys.exit("{TOO_OLD}" + sys.version.split()[0]); '
    "exec(eval(sys.stdin.buffer.readline()))'"
)
CONNECT_SECONDS = 10
ECHO_SECONDS = 20.0  # a key exchange and a log-in shell on a slow board
_EXAMPLE = "as in ssh://pi@raspberrypi.local:22/home/pi/bench"
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?\]")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a device is; `user` "" and `port` None are what the user's ssh configuration says, `folder` "" is the home folder."""

    host: str
    user: str = ""
    port: int | None = None
    folder: str = ""

    @staticmethod
    def parse(text: str) -> "Address":
        """The address that `ssh://[user@]host[:port][/dir]` names; an IPv6 address stands in brackets.

        Raises:
            MeasurementError: it is none; a part could be taken for an option or holds characters that no such name has.
        """
        parts = re.fullmatch(r"ssh://(?:(?P<user>[^/]*)@)?(?P<host>\[[^]/]*\]|[^/:@\[\]]*)(?::(?P<port>[^/:]*))?(?P<folder>/.*)?", text)
        if parts is None:
            raise MeasurementError(f"{text!r} is no address; give ssh://user@host[:port][/dir], {_EXAMPLE}")
        user, host, port, folder = parts["user"], parts["host"], parts["port"], parts["folder"] or ""
        if user is not None and ":" in user:
            raise MeasurementError("an address holds no password; log in with a key (ssh-copy-id gives it to the device)")
        if user is not None and not _USER.fullmatch(user):
            raise MeasurementError(f"{user!r} in {text!r} is no user's name; give ssh://user@host[:port][/dir], {_EXAMPLE}")
        if not _HOST.fullmatch(host):
            raise MeasurementError(f"{host!r} in {text!r} is no host's name; give ssh://user@host[:port][/dir], {_EXAMPLE}")
        if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536):
            raise MeasurementError(f"{port!r} in {text!r} is no port (1 to 65535), {_EXAMPLE}")
        if not folder.isprintable() or ".." in folder.split("/"):
            raise MeasurementError(f"the folder {folder!r} in {text!r} has characters or steps (..) that a folder here may not have")
        return Address(host, user or "", None if port is None else int(port), "" if folder == "/" else folder)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"ssh://{self.login}{port}{self.folder}"

    @property
    def login(self) -> str:
        """user@host."""
        return f"{self.user}@{self.host}" if self.user else self.host


class Connection:
    """The connection to `address`, opened when made; `ssh` is the client's command line, options of its own included.

    Raises:
        MeasurementError: the device cannot be reached or refuses; one sentence says why and what to do.
    """

    def __init__(self, address: Address, ssh: Sequence[str]) -> None:
        self.address = address
        self._folder = Path(tempfile.mkdtemp(prefix="nas-ssh-"))  # private; the path of a socket must be short
        quiet = ("ClearAllForwardings=yes", "RemoteCommand=none", "PermitLocalCommand=no", "ControlPersist=no")
        patience = (f"ConnectTimeout={CONNECT_SECONDS}", "ServerAliveInterval=5", "ServerAliveCountMax=3")
        common = ["-T", "-x", "-a", "-S", str(self._folder / "s"), *(f"-o{one}" for one in ("BatchMode=yes", *quiet, *patience))]
        common += [] if address.port is None else ["-p", str(address.port)]
        common += ["-l", address.user] if address.user else []
        host = address.host.strip("[]")
        self._command = [*ssh, *common, "-o", "ControlMaster=no", "--", host, REMOTE]
        self._complaints = self._folder / "said"
        try:
            with self._complaints.open("wb") as complaints:
                self._master = subprocess.Popen(
                    [*ssh, *common, "-o", "ControlMaster=yes", "--", host, "exec cat"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    bufsize=0,
                    start_new_session=True,  # Ctrl-C is for us: we still have to clean up on the device
                )
        except OSError as error:
            shutil.rmtree(self._folder)
            raise MeasurementError(f"{ssh[0]} cannot be started ({error.strerror}): is an OpenSSH client installed?") from error
        if not self.alive(ECHO_SECONDS):
            refusal = self._refusal()
            self.close()
            raise refusal

    def alive(self, seconds: float = 5.0) -> bool:
        """Whether what is said to the device comes back within the time."""
        assert self._master.stdin is not None and self._master.stdout is not None
        word, heard, end = uuid.uuid4().hex.encode(), b"", time.monotonic() + seconds
        try:
            self._master.stdin.write(word + b"\n")
        except OSError:
            return False
        while word not in heard:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._master.stdout], [], [], left)[0]:
                return False
            chunk = self._master.stdout.read(4096)
            if not chunk:
                return False
            heard += chunk
        return True

    @contextmanager
    def order(self, what: dict[str, Any], files: Sequence[Path] = ()) -> Iterator[Running]:
        """Has the device carry out an order of `latency_models/agent/device_side.py`; its answers are read from `out`."""
        with running(self._command) as process:
            assert process.process.stdin is not None
            with suppress(BrokenPipeError):  # it ended early: its exit code says why
                source = Path(device_side.__file__).read_text(encoding="utf-8")
                process.process.stdin.write(ascii(source).encode() + b"\n" + json.dumps(what).encode() + b"\n")
                for file in files:
                    with file.open("rb") as content:
                        shutil.copyfileobj(content, process.process.stdin)
                process.process.stdin.close()
            yield process

    def close(self) -> None:
        """Ends the connection."""
        assert self._master.stdin is not None and self._master.stdout is not None
        with suppress(OSError):
            self._master.stdin.close()
        try:
            self._master.wait(2)
        except subprocess.TimeoutExpired:
            self._master.kill()
            self._master.wait()
        self._master.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _refusal(self) -> MeasurementError:
        """Why there is no connection, from what ssh said, as one sentence."""
        said = self._complaints.read_text(errors="replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        last = lines[-1] if lines else f"no answer within {ECHO_SECONDS:.0f} s"
        login = self.address.login
        port = "" if self.address.port is None else f"-p {self.address.port} "
        if "HOST IDENTIFICATION HAS CHANGED" in said:
            return MeasurementError(
                f"the host key of {login} is not the one that is known here: if the device was set up anew, remove the old key "
                f"with ssh-keygen -R and connect once by hand (ssh {port}{login}); else somebody stands between"
            )
        if "Host key verification failed" in said or "host key is known" in said:
            return MeasurementError(f"the host key of {login} is not known here: connect once by hand (ssh {port}{login}) and compare it")
        if "Permission denied" in said or "Too many authentication failures" in said:
            return MeasurementError(
                f"{login} refuses the log-in; no password is asked for, so give it your public key (ssh-copy-id {port}{login}) and, "
                "where the key has a pass phrase, load it into ssh-agent"
            )
        return MeasurementError(f"{login} cannot be reached over SSH: {last}")
