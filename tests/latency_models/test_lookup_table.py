import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_profiles
import latency_models
import search_spaces
from hardware_profiles import table_file
from hardware_profiles.table_file import Calibration, Checked, Fit, Head, NetworkTiming, Table, Timing
from latency_models import kernel_forms
from latency_models.calibration import calibrate
from latency_models.lookup_table import LookupTable, from_profile
from nas.core.device import HeldOutError, Provenance
from nas.core.errors import DeviceError, TargetMismatchError
from nas.core.latency import combine, estimate
from nas.core.operators import Operator, convolution
from search_spaces.blocks import operators, weights

SPACE = search_spaces.load("mobile_shuffle_32")
LOCAL = hardware_profiles.load("local")
TARGET = LOCAL.targets[0].target
BLOCKS = SPACE.unique_blocks(1, 10)
HEAD = Head(
    table_file.machine(),
    TARGET,
    Provenance('made up, with "quotes" and a \\', "2026-01-02", "pytest"),
    HeldOutError(2.5, 8, 20.0),
    Calibration(0.9, 0.002, 0.5, 0.25, 0.95, 1.1, 0.88),
    (NetworkTiming(SPACE.key, 7, 1_000_000, 0.4, 1.5, 1.4, False), NetworkTiming(SPACE.key, 9, 2_000_000, 0.8, 2.5, 2.2, True)),
    "clock 1479 to 1479 MHz, 41 to 52 °C",
    4.25,
    (Fit("other@12345678", HeldOutError(1.5, 4, 9.0), Calibration(1.1, 0.001, 0.0, 0.0, 0.98, 1.03, 0.95)),),
    Checked(TARGET.runtime_version, "2026-02-03", -1.5, "1.0.0"),
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


def test_an_operator_far_larger_than_any_like_it_in_the_table_has_wider_bounds(tmp_path):
    model = latency_models.load(write(tmp_path)[0]).by_operator()
    stem = next(operator for operator in operators(BLOCKS[0]) if operator.kind == "dense")
    like, unlike = model.operator(stem), model.operator(convolution(64, 64, 3, 1, 56, 56, "relu"))
    narrow, wide = (price.interval.high_ms / price.interval.low_ms for price in (like, unlike))
    assert unlike.interval.ms > like.interval.ms and wide == pytest.approx(4 * narrow)
    assert like.covered_ms == like.interval.ms and unlike.covered_ms == 0
    stranger = model.operator(Operator("grouped", 16, 16, 3, 1, 8, 8, groups=4))
    assert stranger.covered_ms == 0 and stranger.interval.high_ms / stranger.interval.low_ms == pytest.approx(wide)


def test_a_space_whose_networks_were_measured_has_a_calibration_of_its_own(tmp_path):
    network = SPACE.network(SPACE.largest(), 1, 10)
    any_kind, same, own = (latency_models.load(write(tmp_path)[0], space=key) for key in ("", SPACE.key, "other@12345678"))
    assert estimate(same, network) == estimate(any_kind, network)
    found = estimate(own, network).total
    wanted = 1.1 * sum(TABLE.rows[block].p10_ms for block in network.blocks) - 0.001 * (len(network.blocks) - 1)
    assert found.ms == pytest.approx(wanted) and found.high_ms == pytest.approx(1.03 * wanted)


def test_a_network_costs_the_calibrated_sum_of_its_blocks(tmp_path):
    model = latency_models.load(write(tmp_path)[0])
    network = SPACE.network(SPACE.largest(), 1, 10)
    found = estimate(model, network)
    cold_mb = weights(network) * 4 / 1e6 - 0.25
    assert cold_mb > 0 and dict(found.parts)["weights beyond the cache"].ms == pytest.approx(0.5 * cold_mb)
    wanted = 0.9 * sum(TABLE.rows[block].p10_ms for block in network.blocks) - 0.002 * (len(network.blocks) - 1) + 0.5 * cold_mb
    assert found.total.ms == pytest.approx(wanted)
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
        assert found.interval.ms == pytest.approx(0.9 * (0.01 + hidden / 1e4) - 0.002)


def test_a_block_like_no_other_is_priced_by_a_kernel_model_of_the_rows():
    model = LookupTable(TARGET, "measured", HEAD.calibration, TABLE.rows, "run it")
    block = next(block for block in BLOCKS if block.kind == "mbconv")
    found, known = model.block(dataclasses.replace(block, in_height=99, in_width=99)), model.block(block)
    assert found.covered_ms == 0 and found.interval.ms >= known.interval.ms
    assert found.interval.low_ms < found.interval.ms < found.interval.high_ms


def test_operators_of_a_network_that_is_not_ours_are_covered_where_the_table_has_their_like():
    times = {block: 0.002 + sum(0.001 + operator.macs / 1e8 for operator in operators(block)) for block in BLOCKS}
    model = LookupTable(TARGET, "measured", HEAD.calibration, {block: Timing(ms, ms, 9) for block, ms in times.items()}, "run it")
    by_operator = model.by_operator()
    network = SPACE.network(SPACE.smallest(), 1, 10)
    parts = [operator for block in network.blocks for operator in operators(block)]
    found = combine(by_operator, [operator.kind for operator in parts], [by_operator.operator(operator) for operator in parts])
    assert found.total.ms == pytest.approx(estimate(model, network).total.ms, rel=0.5) and found.coverage == pytest.approx(1.0)
    assert found.total.high_ms / found.total.ms > HEAD.calibration.high_factor


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_table_of_int8_alone_may_take_the_form_of_int8(precision):
    form = kernel_forms.load("onnxruntime_int8")
    costs = dict.fromkeys(form.coefficients, 0.01) | {"depthwise_uneven_more_ms_per_mmac": 0.5, "launch_ms": 0.001}

    def alone_ms(operator):
        return sum(costs[name] * amount for kernel in form.kernels(operator) for name, amount in form.work(kernel).items())

    rows = {block: Timing(ms, ms, 9) for block in BLOCKS for ms in [0.002 + sum(map(alone_ms, operators(block)))]}
    model = LookupTable(dataclasses.replace(TARGET, precision=precision), "measured", HEAD.calibration, rows, "run it")
    assert (model.kernel_model().form is form) == (precision == "int8")


def test_a_table_of_a_few_rows_says_nothing_of_others():
    few = LookupTable(TARGET, "measured", HEAD.calibration, dict(list(TABLE.rows.items())[:5]), "python -m nas.measure --device local")
    with pytest.raises(DeviceError, match=r"has 5 rows, too few to price anything else; run: python -m nas\.measure"):
        few.block(dataclasses.replace(next(block for block in BLOCKS if block.kind == "mbconv"), in_height=99, in_width=99))


def test_a_table_of_another_device_does_not_ask_which_machine_reads_it(tmp_path):
    target = dataclasses.replace(TARGET, device="board", runtime_version="1.11.0")
    profile, _ = write(tmp_path)
    path = table_file.path_of(tmp_path / "board.toml", target)
    path.write_text(table_file.text(Table(dataclasses.replace(HEAD, machine="Jetson, aarch64, 4 cores", target=target), TABLE.rows)))
    board = dataclasses.replace(profile, name="board", path=str(tmp_path / "board.toml"))
    each = dataclasses.replace(board.targets[0], target=target)
    assert from_profile(board, each, "").power_w == 4.25


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
    with pytest.raises(TargetMismatchError, match=rf"holds .*{named}.*, not {TARGET} on .*; run: .*python -m nas\.measure --fresh"):
        latency_models.load(profile)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("# [calibration]", "# [calibrations]", r"was written by an older version, or is damaged \(KeyError.*--fresh"),
        ("# batch = 1", "# batch = ", "head of the latency table"),
        ("# factor = 0.9", '# factor = "dear"', "head of the latency table .*factor is 'dear'"),
        ("# factor = 0.9", "# factor = true", "head of the latency table .*factor is True"),
        ("# join_ms = 0.002", "# join_ms = nan", "head of the latency table .*join_ms is nan"),
        ("# threads = 1", "# threads = 1.5", "head of the latency table .*threads is 1.5"),
        (",100,1\n", ",many,1\n", r"line \d+: not a row of a latency table"),
        (",0.05,100,1\n", ",nan,100,1\n", r"line \d+: .*nothing takes .* to nan ms"),
        (",0.05,100,1\n", ",-0.05,100,1\n", r"line \d+: .*nothing takes .* to -0.05 ms"),
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
    each = hardware_profiles.load(str(tmp_path / "local.toml")).targets[0]
    assert each.error == HEAD.error and each.provenance == HEAD.provenance and each.power_w == 4.25
    write(tmp_path, Table(dataclasses.replace(HEAD, machine="Another CPU"), TABLE.rows))
    each = hardware_profiles.load(str(tmp_path / "local.toml")).targets[0]
    assert each.error is None and each.provenance is None


def with_networks(folder):
    """A table of 40 whole networks that take 2 to 22 % longer than the sum of their blocks, and of 10 held out, with its own bounds."""
    networks = tuple(
        NetworkTiming(SPACE.key, 9, 10**6, 0.1, 1.0 + i, (1.0 + i) * (1.02 + 0.005 * (7 * i % 40)), held_out=i >= 40) for i in range(50)
    )
    head = dataclasses.replace(HEAD, networks=networks, calibration=calibrate(networks), fits=(), checked=None)
    return write(folder, Table(head, TABLE.rows))


def test_bounds_of_another_confidence_come_from_the_networks_of_the_table(tmp_path):
    profile, _ = with_networks(tmp_path)
    own = latency_models.load(profile, space=SPACE.key)
    asked = {level: latency_models.load(profile, space=SPACE.key, confidence=level) for level in (0.5, 0.8, 0.95, 0.97)}
    assert asked[0.95].calibration == own.calibration and [model.confidence for model in asked.values()] == list(asked)
    network = SPACE.network(SPACE.largest(), 1, 10)
    totals = [estimate(model, network).total for model in asked.values()]
    assert len({total.ms for total in totals}) == 1, "only the bounds differ"
    assert [total.high_ms for total in totals] == sorted(total.high_ms for total in totals) and totals[0].high_ms < totals[2].high_ms
    assert [total.low_ms for total in totals] == sorted((total.low_ms for total in totals), reverse=True)
    stranger = dataclasses.replace(next(block for block in BLOCKS if block.kind == "mbconv"), in_height=99, in_width=99)
    narrow, wide = (asked[level].block(stranger).interval for level in (0.5, 0.95))
    assert narrow.ms == wide.ms and narrow.high_ms < wide.high_ms, "so do those of what was not measured"


def test_a_confidence_that_so_few_networks_cannot_give_is_refused(tmp_path):
    profile, path = with_networks(tmp_path)
    with pytest.raises(DeviceError, match=rf"{path} has 40 whole networks .* with confidence 0\.976 at most, not 0\.99: ask for less"):
        latency_models.load(profile, confidence=0.99)
