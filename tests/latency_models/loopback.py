"""A real sshd on loopback for tests: keys of its own, a high port, run by the user who runs the tests."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from latency_models.hosts.ssh import SshHost
from latency_models.hosts.ssh_connection import Address
from nas.core.errors import MeasurementError

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Loopback:
    """The server. `bin` is all of the PATH that its commands have: a `python3` there is the device's."""

    def __init__(self, folder):
        self.folder, self.bin, self.home = folder, folder / "bin", folder / "device"
        self.bin.mkdir()
        self.home.mkdir()
        for tool in ("sh", "cat"):
            (self.bin / tool).symlink_to(shutil.which(tool))
        for name in ("host_key", "user_key", "other_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin yes\nSetEnv PATH={self.bin} HOME={self.home}\nLogLevel ERROR\n"
        )
        self.know(folder / "host_key.pub")
        self.client("user_key")
        self.server, self.hosts = None, []

    def know(self, key):
        kind, value = key.read_text().split()[:2]
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {value}\n")

    def client(self, key, extra=""):
        (self.folder / "ssh_config").write_text(
            f"Host *\n IdentityFile {self.folder}/{key}\n IdentitiesOnly yes\n IdentityAgent none\n"
            f" UserKnownHostsFile {self.folder}/known_hosts\n GlobalKnownHostsFile none\n{extra}"
        )

    def python(self, before="", executable=sys.executable):
        """Makes the device's python3 a shell script that does `before`, then becomes `executable` with the PATH of the tests."""
        script = self.bin / "python3"
        script.write_text(f'#!/bin/sh\n{before}\nPATH="{os.environ["PATH"]}" exec "{executable}" "$@"\n')
        script.chmod(0o755)

    def start(self):
        Path("/run/sshd").mkdir(exist_ok=True) if os.getuid() == 0 else None  # where it locks itself in when root runs it
        log = (self.folder / "log").open("ab")
        self.server = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "sshd_config"], stderr=log)
        log.close()
        for _ in range(200):
            assert self.server.poll() is None, (self.folder / "log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("sshd does not listen")

    def stop(self):
        """Ends the server and all of its connections."""
        if self.server is not None:
            self.cut()
            self.server.kill()
            self.server.wait()
            self.server = None

    def cut(self):
        """Kills every connection of this server, and nothing that runs on the device."""
        for child in children(self.server.pid):
            sessions = [session for session in children(child) if "sshd" in command(session)]  # of the user, where the server is root's
            for process in (*sessions, child):
                with suppress(ProcessLookupError):  # it may be ending by itself just now
                    os.kill(process, signal.SIGKILL)

    def host(self, folder=None, user=None):
        address = Address("127.0.0.1", user or "", self.port, str(self.home if folder is None else folder))
        self.hosts.append(SshHost(address, ("ssh", "-F", str(self.folder / "ssh_config"))))
        return self.hosts[-1]


def children(pid):
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def agents(home):
    """Processes of agents that work in a folder of `home`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cwd").readlink().is_relative_to(home):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@contextmanager
def device(folder):
    """A started server with a Python that has everything, and a host that is closed at the end."""
    if SSHD is None:
        pytest.skip("no sshd: install openssh-server")
    if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh: install openssh-client")
    loopback = Loopback(folder)
    loopback.python()
    loopback.start()
    try:
        yield loopback
    finally:
        for host in loopback.hosts:
            host.close()
        loopback.stop()


def sentence(call):
    """The one sentence with which `call` fails."""
    with pytest.raises(MeasurementError) as failure:
        call()
    text = str(failure.value)
    assert "\n" not in text and len(text) < 500, text
    return text
