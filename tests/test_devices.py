import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

import hardware_profiles
from hardware_profiles import table_file
from hardware_profiles.table_file import Checked, Fit, NetworkTiming, Table
from nas import devices
from nas.core.device import HeldOutError
from nas.core.errors import DeviceError, UnknownNameError
from nas.core.latency import BlockPrice, Interval
from tests import boards

ROOT = Path(__file__).parents[1]
BOARD = """
title = "A board"
precisions = ["fp32", "fp16"]
max_onnx_opset = 13
compressors = []
notes = "Made of [wood]."
improve = "python -m nas.measure --device board"
"""
TARGET = """
[[targets]]
runtime = "onnxruntime"
runtime_version = "1.31.1"
precision = "fp32"
threads = {threads}
origin = "measured"
model = "lookup_table"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of two devices: one that was never measured, and one whose file is torn."""
    (tmp_path / "board.toml").write_text(BOARD + TARGET.format(threads=1) + TARGET.format(threads=2) + 'improve = "measure it"\n')
    (tmp_path / "torn.toml").write_text("title = ")
    monkeypatch.setattr(hardware_profiles, "FOLDER", tmp_path)
    return tmp_path


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "nas.devices", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def shown(monkeypatch, capsys, name=None, width=80):
    monkeypatch.setattr(devices, "output", Console(width=width))
    devices.main(name, as_json=False)
    return capsys.readouterr().out


def words(text):
    return text.split()


def as_json(capsys, name=None):
    devices.main(name, as_json=True)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("width", [80, 140])
def test_every_device_is_listed_and_every_figure_has_its_line(monkeypatch, capsys, width):
    text = shown(monkeypatch, capsys, width=width)
    assert max(map(len, text.splitlines())) <= width
    for name in hardware_profiles.names():
        assert f"\n{name}: " in text
    nano, *_ = [line for line in text.splitlines() if line.startswith("  tensorrt ")]
    error = hardware_profiles.load("jetson-nano").targets[0].error
    assert "calibrated" in nano and f"{error.mape_percent:.1f}/{error.baseline_mape_percent:.1f}" in nano and "@95%" in nano


def test_json_of_one_device_holds_the_same_facts(capsys):
    found = as_json(capsys, "jetson-nano")
    target, profile = found["targets"][0], hardware_profiles.load("jetson-nano")
    assert target["error_percent"] == profile.targets[0].error.mape_percent and target["status"] == found["status"] == "ready"
    assert target["interval_low_percent"] < 0 < target["interval_high_percent"] and target["confidence"] == 0.95
    assert found["max_onnx_opset"] == 13 and "int8" not in found["precisions"]
    assert target["age_days"] is not None and target["table"] is None and target["machine"] is None


def test_everything_is_said_of_one_device(monkeypatch, capsys):
    text = " ".join(shown(monkeypatch, capsys, "jetson-nano").split())
    profile = hardware_profiles.load("jetson-nano")
    target = profile.targets[0]
    for part in (profile.title, profile.notes, profile.improve, target.provenance.source, target.provenance.command, "no int8"):
        assert " ".join(part.split()) in text
    assert f"{target.error.mape_percent} % on {target.error.rows} synthetic stacks that the fit never saw" in text
    assert "% at 95% confidence" in text and "to improve python -m experiments.fit_ncnn " in text


def test_what_a_fit_was_spared_is_said(monkeypatch, capsys):
    text = " ".join(shown(monkeypatch, capsys, "jetson-nano").split())
    spared = next(each.left_out for each in hardware_profiles.load("jetson-nano").targets if each.left_out)
    assert f"with {', '.join(spared.networks)}, which this error and the interval leave out, it is {spared.mape_percent} %" in text
    lines = [line.split() for line in shown(monkeypatch, capsys).splitlines()]
    marked = [line[0] for line in lines if any("*/" in word for word in line)]
    assert marked == ["ncnn-vulkan"]
    first, vulkan, *_ = as_json(capsys, "jetson-nano")["targets"]
    assert first["left_out"] is None and vulkan["left_out"]["rows"] == spared.rows > vulkan["error_rows"]


def test_a_stale_table_says_so_and_offers_no_timings_to_be_added(tmp_path, monkeypatch, capsys):
    path = boards.board(tmp_path, [boards.target("fp32")], [boards.target("fp32")])
    file = tmp_path / "tables" / "board.onnxruntime.fp32.1t.csv"
    table = table_file.read(file)
    fit = Fit(boards.SPACE.key, HeldOutError(2.25, 30, 19.5), table.head.calibration)
    for change, holds in ((2.0, True), (-23.0, False)):
        checked = Checked("1.17.0", "2026-01-03", change, "1.16.0")
        file.write_text(table_file.text(Table(replace(table.head, fits=(fit,), checked=checked), table.rows)))
        text = " ".join(shown(monkeypatch, capsys, path).split())
        assert f"verdict measured with 1.16.0, checked 2026-01-03 with 1.17.0: networks take {change:+.1f} %, so it holds" in text
        assert ("to better it: measure fp32 --passes" in text) == holds == ("is stale (measured" not in text)
        assert ("; run: measure fp32 --fresh" in text) != holds
        (found,) = as_json(capsys, path)["targets"]
        assert found["checked"] == str(checked) and (found["status"] == "ready") == holds


def test_an_error_says_what_it_is_of(monkeypatch, capsys):
    text = " ".join(shown(monkeypatch, capsys, "galaxy-note10").split())
    assert " % on 480 blocks, each predicted without its resolution (MACs alone" in text and "480 networks" not in text
    assert as_json(capsys, "pixel-1")["targets"][0]["error_of"] == "networks, each predicted without itself"


def test_json_of_all_devices_is_a_list():
    found = command("--json")
    assert [device["name"] for device in json.loads(found.stdout)] == list(hardware_profiles.names()) and found.stderr == ""


def test_a_device_that_was_not_measured_says_what_to_run(folder, monkeypatch, capsys):
    overview = [line.split() for line in shown(monkeypatch, capsys).splitlines()]
    assert words("onnxruntime 1.31.1 fp32 1t not measured yet") in overview
    assert words("onnxruntime 1.31.1 fp32 2t not measured yet; run: measure it") in overview
    assert words("to improve: python -m nas.measure --device board") in overview
    full = " ".join(shown(monkeypatch, capsys, "board").split())
    assert "1 thread, batch 1 is not measured yet; run: python -m nas.measure --device board" in full
    assert "Made of [wood]." in full and "fp32, fp16, no int8; ONNX opset up to 13; compressors: none" in full
    first, second = as_json(capsys, "board")["targets"]
    assert first["when"] is None and "not measured yet" in first["status"] and first["interval_low_percent"] is None
    assert second["improve"] == "measure it" and first["improve"] == "python -m nas.measure --device board"


def test_one_damaged_device_does_not_hide_the_others(folder, monkeypatch, capsys):
    text = shown(monkeypatch, capsys, width=400)
    assert "\nboard: A board" in text and "\ntorn: the device profile" in text and "cannot be read" in text
    board, torn = as_json(capsys)
    assert board["status"] == "ready" and "cannot be read" in torn["status"] and torn["targets"] == []
    with pytest.raises(DeviceError, match="cannot be read"):
        devices.main("torn", as_json=False)


def test_a_damaged_table_is_shown_with_its_error(folder, monkeypatch, capsys):
    (folder / "tables").mkdir()
    (folder / "tables" / "board.onnxruntime.fp32.2t.csv").write_text("# no toml [\n")
    text = shown(monkeypatch, capsys)
    assert "board" in text and "damaged" in text and "torn: " in text
    assert "damaged" in json.dumps(as_json(capsys)[0])


@dataclass
class Prices:
    """A model by its methods alone."""

    blocks_ms: float | None
    known: float

    def block(self, spec):
        if self.blocks_ms is None:
            raise DeviceError("nothing near")
        return BlockPrice(Interval(self.blocks_ms, 0.9 * self.blocks_ms, 1.2 * self.blocks_ms), self.known * self.blocks_ms)

    def by_operator(self):
        return self

    def operator(self, operator):
        wide = 2.0 if operator.kind == "dense" else 3.0
        return BlockPrice(Interval(1.0, 0.5, wide), 0.0 if operator.kind == "add" else 1.0)


@pytest.mark.parametrize(
    ("model", "bounds"),
    [
        (Prices(2.0, known=1.0), (-10.0, 20.0)),
        (Prices(2.0, known=0.5), (-50.0, 100.0)),  # no block is covered as a whole: the narrowest of the operators that are
        (Prices(None, known=1.0), (-50.0, 100.0)),
        (Prices(0.0, known=1.0), (-50.0, 100.0)),
    ],
)
def test_the_interval_is_that_of_what_a_model_knows_best(model, bounds):
    assert devices._interval(model) == bounds


def test_an_unknown_name_gets_the_nearest_in_one_sentence():
    with pytest.raises(UnknownNameError, match="did you mean 'jetson-nano'"):
        devices.main("jetson-nan", as_json=False)
    found = command("jetson-nan")
    assert found.returncode == 2 and "did you mean 'jetson-nano'?" in found.stderr and found.stderr.count("\n") == 1


def test_every_space_of_every_table_has_its_error_and_the_command_that_betters_it(tmp_path, monkeypatch, capsys):
    path = boards.board(tmp_path, [boards.target("fp32"), boards.target("int8", 2)], [boards.target("fp32"), boards.target("int8", 2)])
    file = tmp_path / "tables" / "board.onnxruntime.int8.2t.csv"
    table = table_file.read(file)
    spaces, error = ("mobile_shuffle", "mobile_shuffle_32"), HeldOutError(2.25, 30, 19.5)
    fits = tuple(Fit(f"{name}@12345678", error, table.head.calibration) for name in spaces)
    rows = {block: replace(row, passes=1 + i % 2) for i, (block, row) in enumerate(table.rows.items())}
    timed = [NetworkTiming(fit.space, 9, 10**6, 0.1, 1.0, 1.1, False, passes) for fit in fits for passes in (5, 4)]
    file.write_text(table_file.text(Table(replace(table.head, fits=fits, networks=tuple(timed)), rows)))
    text = " ".join(shown(monkeypatch, capsys, path).split())
    assert f"board.onnxruntime.int8.2t.csv: {len(rows)} blocks, timed 1 to 2 times" in text and "fp32.1t.csv: " in text
    for name, option in (("mobile_shuffle", " --space mobile_shuffle"), ("mobile_shuffle_32", "")):
        assert f"in {name}: 2.25 % on 30 networks (MACs alone 19.5 %), interval -5.0 to +5.0 %; to better it: " in text
        assert f"measure int8{option} --passes 5" in text, "more than some networks have had, so that it adds to them"
    assert "not measured: mobile_minimalistic, mobilenet_v3," in text and "to change that: measure int8 --space NAME" in text
    first, second = as_json(capsys, path)["targets"]
    assert first["spaces"] == {} and second["spaces"]["mobile_shuffle@12345678"]["error_percent"] == 2.25
    assert second["passes"] == [1, 2] and second["blocks"] == len(rows) and "mobile_shuffle" not in second["spaces_not_measured"]
