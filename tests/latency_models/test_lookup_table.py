import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_profiles
import latency_models
import search_spaces
from hardware_profiles import table_file
from hardware_profiles.table_file import Calibration, Head, NetworkTiming, Table, Timing
from latency_models.lookup_table import LookupTable
from nas.core.device import HeldOutError, Provenance
from nas.core.errors import DeviceError, TargetMismatchError
from nas.core.latency import estimate

SPACE = search_spaces.load("mobile_shuffle_32")
LOCAL = hardware_profiles.load("local")
TARGET = LOCAL.targets[0].target
BLOCKS = SPACE.unique_blocks(1, 10)
HEAD = Head(
    table_file.machine(),
    TARGET,
    Provenance('made up, with "quotes" and a \\', "2026-01-02", "pytest"),
    HeldOutError(2.5, 8, 20.0),
    Calibration(0.9, 0.01, 0.95, 1.1, 0.88),
    (NetworkTiming(SPACE.key, 1_000_000, 1.5, 1.4, False), NetworkTiming(SPACE.key, 2_000_000, 2.5, 2.2, True)),
)
TABLE = Table(HEAD, {block: Timing(0.01 + block.hidden_channels / 1e4, 0.05, 100) for block in BLOCKS})


def write(folder: Path, table=TABLE):
    """A device whose profile and table lie in `folder`."""
    path = table_file.path_of(folder / "local.toml", TARGET)
    path.parent.mkdir(exist_ok=True)
    path.write_text(table_file.text(table))
    return dataclasses.replace(LOCAL, path=str(folder / "local.toml")), path


def test_a_table_is_read_as_it_was_written(tmp_path):
    _, path = write(tmp_path)
    assert table_file.read(path) == TABLE
    assert path.name == "local.onnxruntime.fp32.1t.csv" and path.read_text().startswith("# machine = ")


def test_a_network_costs_the_calibrated_sum_of_its_blocks(tmp_path):
    model = latency_models.load(write(tmp_path)[0])
    network = SPACE.network(SPACE.largest(), 1, 10)
    found = estimate(model, network)
    assert found.total.ms == pytest.approx(0.9 * sum(TABLE.rows[block].median_ms for block in network.blocks) + 0.01)
    assert found.total.low_ms == pytest.approx(0.95 * found.total.ms) and found.total.high_ms == pytest.approx(1.1 * found.total.ms)
    assert (found.origin, found.coverage, found.confidence) == ("measured", 1.0, 0.88)


@given(st.sampled_from([block for block in BLOCKS if block.kind == "mbconv"]), st.data())
def test_a_pruned_block_lies_between_its_neighbours_and_is_not_covered(block, data):
    model = LookupTable(TARGET, "measured", HEAD.calibration, TABLE.rows, "run it")
    others = sorted(
        row.hidden_channels
        for row in BLOCKS
        if dataclasses.replace(row, hidden_channels=1) == dataclasses.replace(block, hidden_channels=1)
    )
    hidden = data.draw(st.integers(1, max(others)))
    found = model.block(dataclasses.replace(block, hidden_channels=hidden))
    if hidden in others:
        assert found.covered_ms == found.interval.ms
        return
    assert found.covered_ms == 0 and 0 < found.interval.low_ms < found.interval.ms < found.interval.high_ms
    assert found.interval.ms <= model.block(dataclasses.replace(block, hidden_channels=max(others))).interval.ms
    if hidden > min(others):
        assert found.interval.ms == pytest.approx(0.9 * (0.01 + hidden / 1e4))


def test_a_block_like_no_other_is_named():
    model = LookupTable(TARGET, "measured", HEAD.calibration, TABLE.rows, "python -m nas.measure --device local")
    with pytest.raises(DeviceError, match=r"nothing near BlockSpec\(kind='mbconv'.*in_height=99.*run: python -m nas\.measure"):
        model.block(dataclasses.replace(next(block for block in BLOCKS if block.kind == "mbconv"), in_height=99, in_width=99))


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (dataclasses.replace(HEAD, machine="Another CPU, x86_64, 8 cores"), "Another CPU"),
        (dataclasses.replace(HEAD, target=dataclasses.replace(TARGET, runtime_version="1.11.0")), "onnxruntime 1.11.0"),
        (dataclasses.replace(HEAD, target=dataclasses.replace(TARGET, threads=2)), "2 threads"),
        (dataclasses.replace(HEAD, target=dataclasses.replace(TARGET, precision="int8")), "int8"),
        (dataclasses.replace(HEAD, target=dataclasses.replace(TARGET, batch=8)), "batch 8"),
    ],
)
def test_a_table_never_answers_for_another_target(tmp_path, head, named):
    profile, _ = write(tmp_path, Table(head, TABLE.rows))
    with pytest.raises(
        TargetMismatchError, match=rf"holds .*{named}.*, not {TARGET} on .*; run: python -m nas\.measure --device local --fresh"
    ):
        latency_models.load(profile)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("# [calibration]", "# [calibrations]", "head of the latency table .* is damaged: KeyError"),
        ("# batch = 1", "# batch = ", "head of the latency table"),
        (",100\n", ",many\n", r"line \d+: not a row of a latency table"),
        ("conv,1,16", "conv,1,none", r"line \d+: not a row of a latency table"),
    ],
)
def test_a_damaged_table_is_refused_with_its_path(tmp_path, old, new, complaint):
    profile, path = write(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DeviceError, match=complaint) as caught:
        latency_models.load(profile)
    assert str(path) in str(caught.value) and "measure again" in str(caught.value)


def test_a_profile_shows_the_figures_of_its_own_table_only(tmp_path):
    (tmp_path / "local.toml").write_text((hardware_profiles.FOLDER / "local.toml").read_text())
    write(tmp_path)
    (each,) = hardware_profiles.load(str(tmp_path / "local.toml")).targets
    assert each.error == HEAD.error and each.provenance == HEAD.provenance
    write(tmp_path, Table(dataclasses.replace(HEAD, machine="Another CPU"), TABLE.rows))
    (each,) = hardware_profiles.load(str(tmp_path / "local.toml")).targets
    assert each.error is None and each.provenance is None
