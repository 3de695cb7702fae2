"""A real sshd on loopback, and everything that goes wrong with a device: each a clear sentence, and a resume that repeats little."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from latency_models.agent import device_side
from latency_models.hosts import ConnectionLostError, Request
from latency_models.hosts.ssh import SshHost
from latency_models.hosts.ssh_connection import Address
from tests.latency_models.loopback import agents, children, command, device, sentence
from tests.latency_models.small_models import squares

ROOT = Path(__file__).parents[2]
HALF_A_SECOND = Request(relative_width=1e-9, max_seconds=0.5, warm_up_seconds=0.0)
QUICK = Request(relative_width=1.0, max_seconds=0.05, warm_up_seconds=0.0)


@pytest.fixture
def board(tmp_path):
    with device(tmp_path) as loopback:
        yield loopback


@pytest.fixture
def models(tmp_path):
    return [squares(tmp_path / f"m{size}.onnx", size) for size in (4, 8, 16, 24, 32)]


def found_on(board):
    """How often each model's result is on the device's disk."""
    lines = [line for file in board.home.glob("*/results-*.jsonl") for line in file.read_text().splitlines()]
    return Counter(json.loads(line)["model"] for line in lines)


def eventually(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_facts_reports_one_shipping_and_nothing_left_behind(board, models):
    host = board.host()
    facts = host.facts()
    assert facts.runtimes["onnxruntime"] and "CPUExecutionProvider" in facts.providers and facts.free_mb > 0
    twice = [*models[:2], models[0]]
    assert [report.model for report in host.stream(twice, QUICK)] == [str(model) for model in twice]
    (folder,) = board.home.glob("nas-measure-*")
    shipped = {file.name: file.stat().st_ino for file in (folder / "models").iterdir()}
    assert len(shipped) == 2
    reports = list(host.stream(models[:2], QUICK))
    assert {file.name: file.stat().st_ino for file in (folder / "models").iterdir()} == shipped, "nothing is shipped twice"
    assert all(report.median_ms > 0 and report.runtime == "onnxruntime" for report in reports)
    master = host._connection._master
    host.close()
    host.close()
    assert not folder.exists() and master.poll() is not None


def cut_after(board, host, models, count):
    """What arrived until the connection was cut, `count` models into the call."""
    arrived, running = [], host.stream(models, HALF_A_SECOND)
    with pytest.raises(ConnectionLostError, match=rf"was cut with {count} of {len(models)} models done; the same again goes on"):
        for report in running:
            arrived.append(report.model)
            if len(arrived) == count:
                board.cut()
    return arrived


def test_a_cut_connection_repeats_nothing_where_the_device_lives_on(board, models):
    host = board.host()
    arrived = cut_after(board, host, models, 2)
    rest = [report.model for report in host.stream(models[2:], HALF_A_SECOND)]
    assert arrived + rest == [str(model) for model in models]
    assert sorted(found_on(board).values()) == [1, 1, 1, 1, 1], "the model that was being timed was finished and fetched"


@pytest.mark.slow
def test_a_device_that_dies_in_the_middle_repeats_the_one_model_it_was_timing(board, models):
    host = board.host()
    arrived = cut_after(board, host, models, 3)
    for agent in agents(board.home):
        os.kill(agent, signal.SIGKILL)
    assert sum(found_on(board).values()) == 3
    rest = [report.model for report in host.stream(models[3:], HALF_A_SECOND)]
    assert arrived + rest == [str(model) for model in models]
    assert sorted(found_on(board).values()) == [1, 1, 1, 1, 1]


@pytest.mark.slow
def test_another_question_after_a_cut_is_not_answered_with_the_old_results(board, models):
    host = board.host()
    cut_after(board, host, models[:3], 1)
    assert len(list(host.stream(models[1:2], QUICK))) == 1
    assert sorted(found_on(board).values()) == [1, 2], "timed anew, not answered from the half second before"


@pytest.mark.slow
def test_a_server_that_stays_away_is_said_and_the_call_can_be_made_again(board, models):
    host = board.host()
    arrived = cut_after(board, host, models[:3], 1)
    board.stop()
    assert "cannot be reached over SSH: " in sentence(lambda: list(host.stream(models[1:3], HALF_A_SECOND)))
    board.start()
    rest = [report.model for report in host.stream(models[1:3], HALF_A_SECOND)]
    assert arrived + rest == [str(model) for model in models[:3]]
    assert max(found_on(board).values()) == 1


SILENT = """
import os, select, socket, sys, time
far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while True:
    for ready in select.select([0, far], [], [])[0]:
        while os.path.exists(sys.argv[2]):
            time.sleep(0.1)
        data = os.read(0, 65536) if ready == 0 else far.recv(65536)
        if not data:
            sys.exit()
        far.sendall(data) if ready == 0 else os.write(1, data)
"""


@pytest.mark.slow
def test_a_network_that_goes_silent_is_noticed_and_nothing_is_timed_twice(board, models):
    proxy, silence = board.folder / "proxy.py", board.folder / "silence"
    proxy.write_text(SILENT)
    board.client("user_key", f" ProxyCommand {sys.executable} {proxy} {board.port} {silence}\n")
    host = board.host()
    running = host.stream(models, HALF_A_SECOND)
    arrived = [next(running).model]
    silence.write_text("")
    begun = time.monotonic()
    with pytest.raises(ConnectionLostError):
        arrived += [report.model for report in running]
    assert time.monotonic() - begun < 60, "three unanswered questions, five seconds apart"
    silence.unlink()
    arrived += [report.model for report in host.stream(models[len(arrived) :], HALF_A_SECOND)]
    assert arrived == [str(model) for model in models]
    assert sorted(found_on(board).values()) == [1] * 5


@pytest.mark.slow
def test_a_client_that_is_killed_leaves_no_process_and_its_successor_ships_nothing_again(board, models):
    folder, config = str(board.home), str(board.folder / "ssh_config")
    code = "import sys; from pathlib import Path; from latency_models.hosts import Request, ssh, ssh_connection as c\n"
    code += f"host = ssh.SshHost(c.Address('127.0.0.1', '', {board.port}, {folder!r}), ('ssh', '-F', {config!r}))\n"
    code += "models = [Path(name) for name in sys.argv[1:]]\n"
    code += "for one in host.stream(models, Request(relative_width=1e-9, max_seconds=0.5)): print(one.model, flush=True)"
    client = subprocess.Popen([sys.executable, "-c", code, *map(str, models)], cwd=ROOT, stdout=subprocess.PIPE)
    with client.stdout:
        assert client.stdout.readline().strip().decode() == str(models[0])
        ours = [pid for pid in children(client.pid) if "ssh" in command(pid)]
        assert ours
        client.kill()
        client.wait()
    eventually(lambda: not agents(board.home) and not any(str(board.folder) in command(pid) for pid in ours))
    shipped = {file: file.stat().st_ino for file in board.home.glob("*/models/*")}
    host = board.host()
    assert len(list(host.stream(models, QUICK))) == len(models)
    assert {file: file.stat().st_ino for file in board.home.glob("*/models/*")} == shipped


def test_closing_the_stream_early_ends_the_work_on_the_device(board, models):
    host = board.host()
    running = host.stream([*models, *models], HALF_A_SECOND)
    next(running)
    running.close()
    begun = time.monotonic()
    host.close()
    assert time.monotonic() - begun < 4, "nine models are left, half a second each"
    assert not agents(board.home) and not list(board.home.glob("nas-measure-*"))


def test_unknown_and_changed_host_keys(board, models):
    known = board.folder / "known_hosts"
    known.write_text("")
    said = sentence(lambda: board.host().facts())
    assert f"is not known here: connect once by hand (ssh -p {board.port} 127.0.0.1) and compare it" in said
    assert known.read_text() == "", "it is not for us to trust a key"
    board.know(board.folder / "other_key.pub")
    assert "is not the one that is known here" in sentence(lambda: board.host().facts())


def test_a_refused_log_in_and_a_device_that_is_off(board, models):
    board.client("other_key")
    assert "refuses the log-in; no password is asked for, so give it your public key (ssh-copy-id" in sentence(lambda: board.host().facts())
    board.stop()
    assert "cannot be reached over SSH: " in (said := sentence(lambda: board.host().facts())) and "refused" in said


def test_no_ssh_client_here():
    assert "is an OpenSSH client installed?" in sentence(SshHost(Address("127.0.0.1"), ("no-such-ssh",)).facts)


def test_a_device_without_python(board, models):
    (board.bin / "python3").unlink()
    assert "has no python3 that a plain ssh command finds" in sentence(lambda: list(board.host().stream(models, QUICK)))


def test_a_device_with_an_old_python(board, models):
    old = "import sys; sys.version_info = (3, 5, 2); sys.version = '3.5.2 (old)'; exec(sys.argv[2])"
    (board.bin / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{old}" "$@"\n')
    assert sentence(lambda: list(board.host().stream(models, QUICK))).endswith("is 3.5.2; the agent needs 3.6 or newer")


def test_a_device_without_onnxruntime(board, models):
    (board.bin / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    host = board.host()
    assert dict(host.facts().runtimes) == {}
    said = sentence(lambda: list(host.stream(models, QUICK)))
    assert "cannot time models" in said and "cannot import onnxruntime" in said and "install numpy and onnxruntime for it" in said


def test_a_provider_and_a_model_that_the_device_cannot_run(board, models, tmp_path):
    host = board.host()
    said = sentence(lambda: list(host.stream(models, Request(provider="tensorrt"))))
    assert "has no provider 'tensorrt' (it has: " in said and "cpu" in said
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    running = host.stream([models[0], broken, models[1]], QUICK)
    assert next(running).model == str(models[0])
    said = sentence(lambda: next(running))
    assert f"timing of {broken} failed; the agent said: {broken} cannot be loaded or run by onnxruntime" in said


def test_a_file_that_does_not_fit_on_the_device(board, tmp_path):
    board.python(before="ulimit -f 128")  # 64 KiB a file
    host = board.host()
    large = tmp_path / "large.onnx"
    large.write_bytes(bytes(200_000))
    said = sentence(lambda: list(host.stream([large], QUICK)))
    assert "is full" in said and "0.2 MB) cannot be written" in said and "File too large" in said and "name another folder" in said
    assert not list(board.home.glob("*/models/*")), "no half file"
    assert len(list(host.stream([squares(tmp_path / "small.onnx")], QUICK))) == 1


def test_a_full_disk(board, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none", disk], capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted by this user")
    try:
        host = board.host(disk)
        large = tmp_path / "large.onnx"
        large.write_bytes(os.urandom(2_000_000))
        said = sentence(lambda: list(host.stream([large], QUICK)))
        assert "is full: " in said and "the models need 3.0 MB; make room, or name another folder: ssh://127.0.0.1/DIR" in said
        (disk / "somebody").write_bytes(bytes(disk_left(disk) - 8192))
        small = squares(tmp_path / "m.onnx")
        assert "is full: " in sentence(lambda: list(host.stream([small], QUICK)))
        host.close()
        (disk / "somebody").write_bytes(bytes(disk_left(disk) + (disk / "somebody").stat().st_size - 8192))
        host = board.host(disk)
        said = sentence(lambda: list(host.stream([small], QUICK)))  # not even the agent fits
        assert "is full: " in said and "No space left on device" in said
        (disk / "somebody").unlink()
        assert len(list(host.stream([small], QUICK))) == 1
        host.close()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def disk_left(folder):
    return os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize


def test_a_folder_that_may_not_be_written(board, models):
    file = board.home / "file"
    file.write_text("")
    assert "cannot be used: the folder" in sentence(lambda: board.host(file).facts())


def test_an_agent_that_is_killed(board, models):
    host = board.host()
    running = host.stream(models, HALF_A_SECOND)
    next(running)
    for agent in agents(board.home):
        os.kill(agent, signal.SIGKILL)
    said = sentence(lambda: next(running))
    assert f"was killed while it timed {models[1]} (was the memory used up?)" in said
    assert len(list(host.stream(models[1:], QUICK))) == 4


@pytest.mark.slow
def test_two_measurements_at_a_time_are_refused(board, models, monkeypatch):
    first, second = board.host(), board.host()
    monkeypatch.setattr(device_side, "__file__", str(impatient(board.folder)))
    running = first.stream(models, HALF_A_SECOND)
    next(running)
    said = sentence(lambda: list(second.stream(models, QUICK)))
    assert "cannot be used: another measurement is going on there (process " in said
    assert len(list(running)) == 4, "the first one is not disturbed"


def impatient(folder):
    """The device's side, waiting less."""
    text = Path(device_side.__file__).read_text()
    assert "BUSY_SECONDS = 30.0" in text
    (folder / "impatient.py").write_text(text.replace("BUSY_SECONDS = 30.0", "BUSY_SECONDS = 0.2"))
    return folder / "impatient.py"
