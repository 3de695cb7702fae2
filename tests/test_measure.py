import subprocess
import sys
from pathlib import Path

import pytest

import hardware_profiles
import search_spaces
from nas.measuring.job import NETWORK_PASSES, QUICK

ROOT = Path(__file__).parents[1]


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "nas.measure", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_dry_run_says_what_it_would_do_and_does_nothing():
    before = sorted((hardware_profiles.FOLDER / "tables").glob("*"))
    found = command("--dry-run", "--quick", "--fresh")
    blocks, networks = len(search_spaces.load("mobile_shuffle_32").unique_blocks(1, 10)), QUICK.networks + QUICK.held_out
    assert found.returncode == 0 and f"{blocks} blocks and {networks} whole networks of mobile_shuffle_32@" in found.stdout
    timings = blocks + NETWORK_PASSES * networks
    assert f"{timings} of {timings} timings left, about" in found.stdout
    assert sorted((hardware_profiles.FOLDER / "tables").glob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--space", "mobile_shufle"], "did you mean 'mobile_shuffle'?"),
        (["--device", "jetson-nano"], "jetson-nano cannot be measured at local: 'local' is this machine"),
        (["--precision", "fp64"], "onnxruntime fp64 cannot be measured by this program"),
        (["--target", "nano.local"], "'nano.local' is no target; give local, or ssh://user@host"),
        (["--runtime", "tensorrt"], "local has no runtime tensorrt (it has: onnxruntime"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(arguments, said):
    found = command(*arguments, "--dry-run")
    assert found.returncode == 2 and said in found.stderr and found.stderr.count("\n") == 1 and found.stdout == ""


def test_help_shows_units_and_examples():
    found = command("--help").stdout
    assert "milliseconds" in found and "Examples" in found and "ssh:" in found
