import dataclasses

import pytest
import typer

import hardware_profiles
from hardware_profiles import measurable
from nas import measure

LOCAL, PI = hardware_profiles.load("local"), hardware_profiles.load("raspberry-pi-4")


@pytest.mark.parametrize(
    ("device", "asked", "command"),
    [
        (LOCAL, (), "python -m nas.measure"),
        (LOCAL, ("onnxruntime", "int8", 2), "python -m nas.measure --precision int8 --threads 2"),
        (LOCAL, ("litert", "fp32", 1), "python -m nas.measure --runtime litert"),
        (LOCAL, ("onnxruntime-web",), "python -m nas.measure --runtime onnxruntime-web"),
        (PI, ("onnxruntime-xnnpack",), "python -m nas.measure --device raspberry-pi-4 --target ssh://USER@HOST --provider xnnpack"),
        (PI, ("onnxruntime-web",), ""),
        (PI, ("ncnn",), ""),
        (LOCAL, ("litert", "int8"), ""),
        (LOCAL, ("onnxruntime", "fp16"), ""),
        (hardware_profiles.load("jetson-nano"), ("onnxruntime", "int8"), ""),
    ],
)
def test_the_command_measures_what_was_asked_or_is_none(device, asked, command):
    assert measurable.command(device, *asked) == command
    options = {option for parameter in typer.main.get_command(measure.app).params for option in parameter.opts}
    assert {word for word in command.split()[3:] if word.startswith("--")} <= options, "nas.measure knows them"


def test_a_device_from_a_file_is_named_by_its_path(tmp_path):
    elsewhere = dataclasses.replace(PI, path=str(tmp_path / "raspberry-pi-4.toml"))
    assert measurable.command(elsewhere) == f"python -m nas.measure --device {tmp_path}/raspberry-pi-4.toml --target ssh://USER@HOST"


def test_each_target_of_a_device_is_bettered_by_its_own_command():
    nano = hardware_profiles.load("jetson-nano")
    for each in nano.targets:
        script = "fit_ncnn" if each.target.runtime.startswith("ncnn") else "fit_jetson_nano"
        assert f"python -m experiments.{script} " in nano.improve_of(each.target) and each.has_figures
        assert each.provenance.command.split(" --")[0] in nano.improve_of(each.target), "what made the figures betters them"
