import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles import table_file
from latency_models import hosts
from latency_models.agent import time_models
from latency_models.hosts import Request, agent_process, local, ssh
from latency_models.hosts.ssh_connection import REMOTE, Address
from nas.core.errors import MeasurementError
from tests.latency_models.small_models import squares

QUICK = Request(relative_width=1.0, max_seconds=0.05, warm_up_seconds=0.0)

users = st.from_regex(r"[a-z_][a-z0-9_.-]{0,8}", fullmatch=True)
names = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True) | st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map("[{}]".format)
folders = st.lists(st.from_regex(r"[ -.0-~äλ]{1,8}", fullmatch=True).filter(lambda part: part != ".."), min_size=1, max_size=4)
addresses = st.builds(
    Address, names, st.just("") | users, st.none() | st.integers(1, 65535), st.just("") | folders.map(lambda parts: "/" + "/".join(parts))
)


@given(addresses)
def test_an_address_reads_as_it_is_written(address):
    assert Address.parse(str(address)) == address


pieces = st.sampled_from(["-", "@", ":", "/", "[", "]", "..", "a", "22", " ", "\n", "$(x)", "ö"])


@given(st.text(max_size=30) | st.lists(pieces).map("".join))
def test_nothing_that_parses_can_be_taken_for_an_option_or_a_command(rest):
    try:
        address = Address.parse("ssh://" + rest)
    except MeasurementError as error:
        assert "\n" not in str(error)
        return
    for word in (address.host, address.user):
        assert not word.startswith("-") and not set(word) & set(" $;&|<>()'\"`\n*?!#")
    assert address.folder.isprintable() and ".." not in address.folder.split("/") and address.folder[:1] in ("", "/")
    assert address.port is None or 0 < address.port < 65536


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("", "'' is no target; give local, or ssh://user@host"),
        ("Local", "is no target"),
        ("pi@10.0.0.7", "is no target"),
        ("ssh://", "is no host's name"),
        ("ssh://-oProxyCommand=x", "is no host's name"),
        ("ssh://-l@host", "is no user's name"),
        ("ssh://@host", "is no user's name"),
        ("ssh://pi:secret@host", "an address holds no password"),
        ("ssh://pi@host:0", "is no port"),
        ("ssh://pi@host:x", "is no port"),
        ("ssh://pi@host/a/../b", "steps"),
        ("ssh://pi@host/a\nb", "is no address"),
    ],
)
def test_what_is_no_target_is_said_with_an_example(target, said):
    with pytest.raises(MeasurementError, match=said) as error:
        hosts.connect(target)
    assert "secret" not in str(error.value)


def test_connect_connects_nothing_yet():
    assert isinstance(hosts.connect("local"), local.LocalHost)
    host = hosts.connect("ssh://pi@nowhere.invalid:2222/data")
    assert isinstance(host, ssh.SshHost) and host.name == "ssh://pi@nowhere.invalid:2222/data"
    host.close()


def test_the_command_line_on_a_device_is_a_constant_that_every_shell_reads_alike():
    assert REMOTE.count("'") == 2 and not set(REMOTE) & set("\n!$`\\{}")
    assert subprocess.run(["sh", "-c", REMOTE], input=b"'print(6*7)'\n", capture_output=True, check=True).stdout == b"42\n"


def test_hosts_are_imported_without_what_they_do_not_need():
    code = "import sys; from latency_models import hosts; hosts.connect('ssh://a'); print(set(sys.modules) & {'numpy', 'onnxruntime'})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_this_machine_says_what_a_table_of_it_says():
    found = local.LocalHost().facts()
    assert found.machine == table_file.machine()
    assert found.runtimes["onnxruntime"] and found.providers[-1] == "CPUExecutionProvider" and found.free_mb > 0


def test_local_reports_come_in_order_and_a_failure_names_its_model(tmp_path):
    good, broken = squares(tmp_path / "a.onnx"), tmp_path / "-b.onnx"
    broken.write_bytes(b"no model")
    running = local.LocalHost().stream([good, good, broken, good], QUICK)
    reports = [next(running), next(running)]
    assert [report.model for report in reports] == [str(good)] * 2
    assert all(0 < one.min_ms <= one.p10_ms <= one.median_ms <= one.p95_ms and one.threads == 1 for one in reports)
    with pytest.raises(MeasurementError, match=r"timing of .*-b\.onnx failed; the agent said: .*-b\.onnx cannot be loaded or run by"):
        next(running)
    assert list(local.LocalHost().stream([], QUICK)) == []


def test_closing_the_stream_early_ends_the_agent(tmp_path):
    small, large = squares(tmp_path / "s.onnx"), squares(tmp_path / "l.onnx", 192, 6)
    running = local.LocalHost().stream([small, *[large] * 20], Request(relative_width=1e-9, max_seconds=3.0, warm_up_seconds=0.0))
    begun = time.monotonic()
    next(running)
    running.close()  # the files that are left would take a minute
    assert time.monotonic() - begun < 20


def test_how_an_agent_ended_is_one_sentence():
    def said(code, *lines):
        return str(agent_process.failure(code, lines, "m.onnx", "board"))

    assert said(-9) == said(137) == "the agent on board was ended by SIGKILL while it timed m.onnx (was the memory used up?)"
    assert said(-11) == "the agent on board was ended by SIGSEGV while it timed m.onnx"
    assert said(1) == "timing of m.onnx failed; the agent said: nothing (exit code 1)"
    assert said(time_models.NO_RUNTIME, "a", "b") == "board cannot time models: b"
    assert said(time_models.DISK_FULL, "x").startswith("the disk of board is full: x; make room")


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"3", b"{}", b'{"model": "x"}', b"\xff"])
def test_a_torn_line_is_no_report(line, tmp_path):
    assert agent_process.report(line, tmp_path) is None and agent_process.facts(line) is None
