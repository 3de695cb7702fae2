import dataclasses
import itertools
import subprocess
import sys

import pytest

import hardware_profiles
import latency_models
from hardware_profiles import installed, table_file
from nas.core import plugins
from nas.core.errors import DeviceError, TargetMismatchError, UnknownNameError
from tests import boards

VALID = """
title = "Board"
precisions = ["fp32"]
max_onnx_opset = 13
compressors = []
notes = ""
improve = "python -m nas.measure --device board.toml"
[[targets]]
runtime = "tensorrt"
runtime_version = "8.2"
precision = "fp32"
threads = 0
origin = "calibrated"
model = "kernel_model"
"""


@pytest.fixture
def board(tmp_path):
    def write(text):
        file = tmp_path / "board.toml"
        file.write_text(text)
        return str(file)

    return write


@pytest.mark.parametrize("name", hardware_profiles.names())
def test_every_profile_reads_and_says_where_its_figures_come_from(name):
    profile = hardware_profiles.load(name)
    assert profile.name == name and profile.title and profile.notes and profile.improve
    for each in profile.targets:
        assert each.target.device == name and each.target.precision in profile.precisions
        assert each.origin == "measured" or (each.provenance and each.error)
        assert each.target.runtime_version != "installed"


def test_the_jetson_nano_has_no_int8_and_an_old_opset():
    profile = hardware_profiles.load("jetson-nano")
    assert "int8" not in profile.precisions and profile.max_onnx_opset == 13 and "int8_static" not in profile.compressors
    each = profile.targets[0]
    assert each.origin == "calibrated" and each.error.mape_percent <= 6 < each.error.baseline_mape_percent
    assert "NAS-Performance-Modeling @50e6709" in each.provenance.source and "experiments.fit_jetson_nano" in each.provenance.command


def test_a_path_is_a_device_too(board):
    profile = hardware_profiles.load(board(VALID))
    assert profile.name == "board" and profile.targets[0].target.runtime == "tensorrt" and profile.targets[0].error is None


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no device is named 'jetson-nanoo'; did you mean 'jetson-nano'\?.*\.toml"):
        hardware_profiles.load("jetson-nanoo")


def test_a_missing_file_is_named():
    with pytest.raises(DeviceError, match=r"there is no device profile at nowhere/board\.toml"):
        hardware_profiles.load("nowhere/board.toml")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("threads = 0", 'threads = "many"', r"board\.toml is not valid: targets\.0\.threads: .*integer"),
        ("threads = 0", "threads = 0\nthread = 1", r"targets\.0\.thread: Extra inputs are not permitted"),
        ('title = "Board"', "", "title: Field required"),
        ('origin = "calibrated"', 'origin = "guessed"', r"targets\.0\.origin: .*'measured', 'calibrated' or 'estimated'"),
        ('title = "Board"', 'title = "Board', r"board\.toml cannot be read: .*line 2"),
    ],
)
def test_a_damaged_profile_is_refused_with_path_and_field(board, old, new, complaint):
    with pytest.raises(DeviceError, match=complaint):
        hardware_profiles.load(board(VALID.replace(old, new)))


def test_a_runtime_that_is_not_installed_hides_nothing_else_of_its_device(board):
    text = VALID.replace('runtime_version = "8.2"', 'runtime_version = "installed"').replace('"tensorrt"', '"no-such-runtime"')
    (each,) = hardware_profiles.load(board(text)).targets
    assert each.target.runtime_version == installed.NONE


def test_a_device_without_figures_for_a_precision_says_what_it_has():
    profile = hardware_profiles.load("jetson-nano")
    with pytest.raises(
        TargetMismatchError, match=r"jetson-nano has no latencies for fp16, only for: jetson-nano tensorrt 8.2 fp32, batch 1"
    ):
        latency_models.load(profile, "fp16")


def test_local_without_a_table_names_the_command(tmp_path):
    profile = dataclasses.replace(hardware_profiles.load("local"), path=str(tmp_path / "local.toml"))
    with pytest.raises(DeviceError, match=r"not measured yet; run: python -m nas.measure"):
        latency_models.load(profile)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("launch_ms = ", "launchms = ", "missing or unknown names: launch_ms, launchms"),
        ("launch_ms = ", "launch_ms = -", "launch_ms: .*greater than or equal to 0"),
    ],
)
def test_damaged_coefficients_are_refused_with_the_field(tmp_path, old, new, complaint):
    text = (hardware_profiles.FOLDER / "jetson-nano.toml").read_text()
    (tmp_path / "nano.toml").write_text(text.replace(old, new))
    with pytest.raises(DeviceError, match=complaint):
        latency_models.load(hardware_profiles.load(str(tmp_path / "nano.toml")))


def test_asking_and_pricing_need_neither_torch_nor_pandas():
    code = (
        "import sys, hardware_profiles, latency_models, search_spaces\n"
        "from nas.core.latency import estimate\n"
        "space = search_spaces.load('mobile_shuffle_32')\n"
        "estimate(latency_models.load(hardware_profiles.load('jetson-nano')), space.network(space.largest(), 1, 10))\n"
        "print(sorted({'torch', 'pandas', 'onnx', 'onnxruntime', 'scipy', 'optuna'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=hardware_profiles.FOLDER.parent)
    assert found.stdout.strip() == "[]"


def test_the_fingerprint_names_processor_and_cores():
    assert table_file.machine() == table_file.machine() and table_file.machine().endswith("cores")


def test_of_several_targets_the_first_that_was_measured_is_taken(tmp_path):
    asked, measured = [boards.target("fp32"), boards.target("fp32", 2), boards.target("fp32", 4)], [boards.target("fp32", 2)]
    profile = hardware_profiles.load(boards.board(tmp_path, asked, measured))
    assert [each.is_measured for each in profile.targets] == [False, True, False]
    assert latency_models.choose(profile).target.threads == 2
    assert latency_models.choose(profile, threads=4).target.threads == 4, "what is asked for goes first"
    published = dataclasses.replace(profile.targets[1], origin="calibrated")
    assert latency_models.choose(dataclasses.replace(profile, targets=(published, *profile.targets[2:]))) == published
    assert latency_models.choose(dataclasses.replace(profile, targets=(published, profile.targets[1]))) == profile.targets[1]


@pytest.mark.parametrize("name", [name for name in hardware_profiles.names() if name != "local"])
def test_the_interval_of_every_published_target_can_be_asked_for_at_other_levels(name):
    """The higher the confidence the wider, and each says which it is."""
    profile = hardware_profiles.load(name)
    for each in profile.targets:
        own = plugins.load("latency_models", each.model, "latency model")(profile, each, "")
        levels = sorted({0.5, 0.8, 0.9, own.confidence, *(float(level) for level in each.parameters["interval"]["levels"])})
        models = [plugins.load("latency_models", each.model, "latency model")(profile, each, "", level) for level in levels]
        assert [model.confidence for model in models] == levels and models[levels.index(own.confidence)] == own
        assert all(a.factors.low >= b.factors.low and a.factors.high <= b.factors.high for a, b in itertools.pairwise(models))
        with pytest.raises(DeviceError, match=r"the interval of .* is known with confidence 0\.5, 0\.8, 0\.9, .*, not 0\.77: ask for one"):
            plugins.load("latency_models", each.model, "latency model")(profile, each, "", 0.77)
