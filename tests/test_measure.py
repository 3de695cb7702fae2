import subprocess
import sys
from pathlib import Path

import pytest

import hardware_profiles
import search_spaces
from hardware_profiles import table_file
from nas.measuring import job as job_module
from nas.measuring import probes
from nas.measuring.job import NETWORK_PASSES, QUICK, Job, measure
from tests.measuring.fakes import THIS, FakeHost

ROOT = Path(__file__).parents[1]


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "nas.measure", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_dry_run_says_what_it_would_do_and_does_nothing():
    before = sorted((hardware_profiles.FOLDER / "tables").glob("*"))
    found = command("--dry-run", "--quick", "--fresh", "--no-probes")
    blocks, networks = len(search_spaces.load("mobile_shuffle_32").unique_blocks(1, 10)), QUICK.networks + QUICK.held_out
    assert found.returncode == 0 and f"{blocks} blocks and {networks} whole networks of mobile_shuffle_32@" in found.stdout
    timings = blocks + NETWORK_PASSES * networks
    assert f"{timings} of {timings} timings left, about" in found.stdout
    assert sorted((hardware_profiles.FOLDER / "tables").glob("*")) == before
    probed = len({*search_spaces.load("mobile_shuffle_32").unique_blocks(1, 10), *probes.blocks()})
    assert f"{probed} blocks and {networks} whole networks" in command("--dry-run", "--quick", "--fresh").stdout


def test_a_dry_run_says_what_the_measurement_itself_would_say(tmp_path, monkeypatch):
    """Of a table that is complete: the same sentence; of one that is to get another pass, only what that adds."""
    (tmp_path / "local.toml").write_text((hardware_profiles.FOLDER / "local.toml").read_text())
    target = hardware_profiles.load("local").targets[0].target
    table = table_file.path_of(tmp_path / "local.toml", target)
    job = Job(target, THIS, search_spaces.load("mobile_shuffle_32"), 1, 10, QUICK, table, 17, "pytest", probes=True)
    monkeypatch.setattr(job_module.model_files, "write", lambda spec, path, target, opset: path.write_text("x"))
    measure(job, FakeHost(ms=lambda path, count: 1.0 + count / 1e6), lambda done, total: None)
    asked = ("--device", str(tmp_path / "local.toml"))
    said = [command(*asked, *more).stdout for more in ((), ("--dry-run",), ("--quick", "--dry-run"), ("--passes", "1", "--dry-run"))]
    assert "holds all of mobile_shuffle_32@" in said[0] and " in 1 pass, 30 whole networks in 5 passes. --passes 2 " in said[0]
    assert said[1] == said[0] == said[2]
    assert f"0 blocks and {70 - 30} whole networks of" in said[3], "--passes asks for as many networks as the full plan has"
    blocks = len(table_file.read(table).rows)
    found = command(*asked, "--quick", "--passes", "2", "--dry-run").stdout
    assert f"{blocks} blocks and 0 whole networks of" in found and f"{blocks} of {blocks} timings left" in found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--space", "mobile_shufle"], "did you mean 'mobile_shuffle'?"),
        (["--device", "jetson-nano"], "jetson-nano cannot be measured at local: 'local' is this machine"),
        (["--precision", "fp64"], "onnxruntime fp64 cannot be measured by this program"),
        (["--target", "nano.local"], "'nano.local' is no target; give local, or ssh://user@host"),
        (["--runtime", "tensorrt"], "local has no runtime tensorrt (it has: onnxruntime"),
        (["--provider", "foo"], "onnxruntime on local has no provider foo (it has: "),
        (["--threads", "4096"], " cores, not 4096: give --threads 1 to "),
        (["--device", "../../x", "--target", "ssh://pi@board"], "'../../x' is no name for a device: take letters, digits and -_+."),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(arguments, said):
    found = command(*arguments, "--dry-run")
    assert found.returncode == 2 and said in found.stderr and found.stderr.count("\n") == 1 and found.stdout == ""


def test_help_shows_units_and_examples():
    found = command("--help").stdout
    assert "milliseconds" in found and "Examples" in found and "ssh:" in found
