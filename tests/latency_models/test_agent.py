"""The agent by itself: as a program under this and older Pythons, and with the sensors of boards that are made of files."""

import ast
import json
import math
import os
import platform
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto

from latency_models.agent import device_side, time_models
from tests.latency_models.small_models import squares

AGENT, DEVICE_SIDE = Path(time_models.__file__), Path(device_side.__file__)
QUICK = ("--seconds=0.05", "--warm-up=0", "--width=1")
OLD = [f"python3.{minor}" for minor in (6, 7, 8, 9, 10)]


def run(*arguments, python=sys.executable, **how):
    return subprocess.run([python, AGENT, *arguments], capture_output=True, text=True, timeout=120, **how)


def told(*arguments, python=sys.executable):
    """What the agent says, line by line."""
    done = run(*arguments, python=python)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


@pytest.fixture
def model(tmp_path):
    return squares(tmp_path / "model.onnx")


@pytest.mark.parametrize("file", [AGENT, DEVICE_SIDE], ids=lambda file: file.name)
def test_it_is_one_file_for_python_3_6(file):
    tree = ast.parse(file.read_text(), feature_version=(3, 6))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} - {"numpy"} <= sys.stdlib_module_names
    vermin = shutil.which("vermin", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    found = subprocess.run([vermin, "--no-tips", "--eval-annotations", "-t=3.6-", file], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("name", OLD)
def test_it_times_a_model_under_an_older_python(name, model):
    python = shutil.which(name)
    if python is None or subprocess.run([python, "-c", "import numpy, onnxruntime"], capture_output=True).returncode != 0:
        pytest.skip(f"no {name} with numpy and onnxruntime on the PATH")
    (facts,) = told("--check", python=python)
    assert facts["python"].startswith(name.removeprefix("python")) and facts["machine"] == told("--check")[0]["machine"]
    first, second = told(*QUICK, model, model, python=python)
    assert first.keys() == told(*QUICK, model)[0].keys()
    assert first["runs"] >= 3 and first["runtime_version"] == second["runtime_version"] == facts["runtimes"]["onnxruntime"]


def test_check_needs_no_runtime_and_timing_says_that_one_is_missing(model):
    bare = [sys.executable, "-I", "-S", AGENT]
    facts = json.loads(subprocess.run([*bare, "--check"], capture_output=True, check=True).stdout)
    assert facts["runtimes"] == {} and facts["python"] == platform.python_version() and facts["cores"] == os.cpu_count()
    done = subprocess.run([*bare, model], capture_output=True, text=True)
    assert done.returncode == time_models.NO_RUNTIME and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "cannot import onnxruntime (ModuleNotFoundError: No module named 'numpy'); install numpy and onnxruntime for it" in line
    done = subprocess.run([*bare, "--runtime=litert", model], capture_output=True, text=True)
    assert done.returncode == time_models.NO_RUNTIME and "install numpy and ai-edge-litert or tflite-runtime for it" in done.stderr


def test_a_provider_that_is_not_there_is_an_error_that_lists_those_that_are(model):
    done = run("--provider", "tensorrt", model)
    assert done.returncode == time_models.NO_PROVIDER
    assert "has no provider 'tensorrt' (it has: " in done.stderr and "cpu" in done.stderr
    assert told(*QUICK, "--provider", "CPUExecutionProvider", model)[0]["provider"] == "cpu"


@pytest.mark.parametrize("arguments", [[], ["--threads=0", "m"], ["--option=x", "m"], ["--runtime=tvm", "m"]])
def test_a_wrong_command_line_ends_with_two(arguments):
    assert run(*arguments).returncode == 2


def test_each_line_is_on_the_disk_before_it_is_printed_and_a_broken_model_ends_it(model, tmp_path):
    broken, out = tmp_path / "broken.onnx", tmp_path / "out.jsonl"
    broken.write_bytes(b"no model")
    out.write_text("before\n")
    done = run(*QUICK, f"--out={out}", model, model, broken, model)
    assert done.returncode == time_models.BAD_MODEL and str(broken) in done.stderr and len(done.stderr.splitlines()) == 1
    assert out.read_text() == "before\n" + done.stdout and len(done.stdout.splitlines()) == 2


def test_a_full_disk_is_said_and_the_line_still_printed(model):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = run(*QUICK, "--out=/dev/full", model, model)
    assert done.returncode == time_models.DISK_FULL and len(done.stdout.splitlines()) == 1
    assert done.stderr == "/dev/full cannot be written: No space left on device\n"


def test_when_nobody_listens_it_ends_after_the_model_and_the_disk_has_it(model, tmp_path):
    out = tmp_path / "out.jsonl"
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen([sys.executable, AGENT, *QUICK, f"--out={out}", *[model] * 5], stdout=writing, stderr=subprocess.PIPE) as agent:
        os.close(writing)
        agent.communicate(timeout=60)
    assert agent.returncode != 0 and len(out.read_text().splitlines()) == 1


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "DOUBLE", "INT8", "UINT8", "INT32", "INT64", "BOOL"])
def test_inputs_of_every_type_and_open_dimensions(kind, tmp_path):
    shape = [4, 4] if kind == "FLOAT" else ["batch", 3, 4, None]
    path = squares(tmp_path / "m.onnx", kind=getattr(TensorProto, kind), shape=shape)
    assert time_models.time_model(str(path), time_models.parse([*QUICK, str(path)]))["runs"] >= 3


def test_inputs_are_seeded_and_fill_their_range():
    first, again = time_models.values([2, None, 500], "int8", 3), time_models.values([2, None, 500], "int8", 3)
    assert (first == again).all() and first.shape == (2, 1, 500) and first.min() < -100 < 100 < first.max()
    assert time_models.values([9], "float16", 0).dtype == "float16"
    assert set(time_models.values([50], "int64", 0).tolist()) == {0, 1}, "safe as indices"


def test_it_repeats_until_the_figure_is_known_or_time_is_up(model):
    few, many = (told("--seconds=1", f"--width={width}", model)[0] for width in (1, 1e-9))
    assert few["runs"] < many["runs"] or many["undisturbed"] < 0.5  # where the machine is busy there are only so many


def test_the_interval_of_the_figure_narrows_with_more_runs():
    draw = random.Random(0)
    samples = [draw.gauss(10, 1) for _ in range(4000)]
    few, many = (time_models.relative_width(sorted(some), 0.1) for some in (samples[:40], samples))
    assert many < few
    # the 10th percentile of a normal sample scatters by 1.7094 sigma / sqrt(n)
    assert many == pytest.approx(1.96 * 1.7094 * 0.1 / math.sqrt(4000), rel=0.3)


def test_quantiles_and_far_outliers_of_known_runs(monkeypatch, model):
    draw = random.Random(1)
    runs = sorted([10 + draw.random() for _ in range(95)] + [50.0] * 5)
    monkeypatch.setattr(time_models, "repeat", lambda run, given, calm: (runs, 1.0, (None, "")))
    found = time_models.time_model(str(model), time_models.parse([str(model)]))
    assert found["outliers"] == 5 and found["runs"] == 100 and found["min_ms"] == runs[0]
    assert found["median_ms"] == pytest.approx((runs[49] + runs[50]) / 2)
    assert runs[9] <= found["p10_ms"] <= runs[10] and runs[94] <= found["p95_ms"] <= runs[95]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinities")
def test_every_thread_gets_a_core_of_its_own_and_all_are_given_back(model, monkeypatch):
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("one core is not enough")
    seen = []
    real = time_models.pin

    def pin(cores, before):
        pinned = real(cores, before)
        new = time_models.tasks() - before
        seen.extend([os.sched_getaffinity(0), *(os.sched_getaffinity(thread) for thread in new)])
        return pinned

    monkeypatch.setattr(time_models, "pin", pin)
    found = time_models.time_model(str(model), time_models.parse([*QUICK, "--threads=2", str(model)]))
    assert found["pinned"] is True and found["threads"] == 2
    assert len(seen) == 2 and all(len(cores) == 1 for cores in seen) and seen[0] != seen[1]
    assert os.sched_getaffinity(0) == allowed
    many = time_models.time_model(str(model), time_models.parse([*QUICK, f"--threads={len(allowed) + 1}", str(model)]))
    assert many["pinned"] is False, "more threads than cores"


NANO = {
    "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": 1479000,
    "devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
    "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": 1428000,
    "devices/system/cpu/cpu1/cpufreq/scaling_governor": "schedutil",
    "class/devfreq/57000000.gpu/cur_freq": 921600000,
    "class/devfreq/other/cur_freq": 1,
    "class/thermal/thermal_zone0/type": "AO-therm",
    "class/thermal/thermal_zone0/temp": 48500,
    "class/thermal/thermal_zone1/type": "CPU-therm",
    "class/thermal/thermal_zone1/temp": 41000,
    "class/thermal/thermal_zone2/type": "GPU-therm",
    "class/thermal/thermal_zone2/temp": 42500,
    "class/thermal/thermal_zone4/type": "PMIC-Die",
    "class/thermal/thermal_zone4/temp": 100000,
    "class/thermal/thermal_zone5/type": "broken",
    "bus/i2c/drivers/ina3221x/6-0040/iio:device0/rail_name_0": "POM_5V_IN",
    "bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power0_input": 5210,
    "bus/i2c/drivers/ina3221x/6-0040/iio:device0/rail_name_1": "POM_5V_GPU",
    "bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power1_input": 1200,
}


def test_a_jetson_nano_with_jetpack_4(model, tmp_path):
    write(tmp_path / "sys", NANO)
    found = told(*QUICK, "--threads=2", f"--sysfs={tmp_path / 'sys'}", model)[0]
    assert found["gpu_clock_mhz"] == 921.6 and found["governor"] == "schedutil"
    assert found["clock_mhz"] == (1428.0 if {0, 1} <= os.sched_getaffinity(0) else found["clock_mhz"])
    assert found["temperature_before_c"] == found["temperature_after_c"] == 42.5, "the processor's hottest, never the PMIC's 100"
    assert (found["power_w"], found["power_source"]) == (5.21, "INA3221 POM_5V_IN")


def test_an_orin_with_jetpack_5_whose_rails_add_up(tmp_path):
    chip = "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    rails = {1: ("VDD_GPU_SOC", 19000, 100), 2: ("VDD_CPU_CV", 19000, 50)}
    for i, (name, millivolts, milliamperes) in rails.items():
        write(tmp_path, {f"{chip}/in{i}_label": name, f"{chip}/in{i}_input": millivolts, f"{chip}/curr{i}_input": milliamperes})
    write(tmp_path, {f"{chip}/in7_label": "sum of shunt voltages", f"{chip}/in7_input": 12})
    assert time_models.Meter(tmp_path).stop() == (pytest.approx(2.85), "INA3221 VDD_GPU_SOC+VDD_CPU_CV")
    write(tmp_path, {f"{chip}/in3_label": "VDD_IN", f"{chip}/in3_input": 5000, f"{chip}/curr3_input": 1000})
    assert time_models.Meter(tmp_path).stop() == (5.0, "INA3221 VDD_IN")


def test_rapl_counts_packages_once_and_over_its_wrap(tmp_path, monkeypatch):
    domain = "class/powercap/intel-rapl:0"
    write(tmp_path, {f"{domain}/name": "package-0", f"{domain}/energy_uj": 9_000_000, f"{domain}/max_energy_range_uj": 10_000_000})
    write(tmp_path, {f"{domain}:0/name": "core", f"{domain}:0/energy_uj": 1, "class/powercap/intel-rapl:1/name": "psys"})
    now = iter([100.0, 102.0])
    monkeypatch.setattr(time_models.time, "perf_counter", lambda: next(now))
    meter = time_models.Meter(tmp_path)
    write(tmp_path, {f"{domain}/energy_uj": 5_000_000})
    assert meter.stop() == (pytest.approx(3.0), "RAPL package")


def test_a_board_without_sensors_tells_nothing_and_invents_nothing(model, tmp_path):
    found = told(*QUICK, f"--sysfs={tmp_path}", model)[0]
    absent = ("clock_mhz", "gpu_clock_mhz", "temperature_before_c", "temperature_after_c", "power_w")
    assert [found[name] for name in absent] == [None] * 5 and found["governor"] == found["power_source"] == ""


def test_the_fastest_cores_are_taken(tmp_path):
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    assert [core for _, core in time_models.cores_by_speed(tmp_path)] == cores[::-1]
    write(tmp_path, {f"devices/system/cpu/cpu{cores[0]}/cpufreq/cpuinfo_max_freq": 2_000_000})
    assert time_models.cores_by_speed(tmp_path)[:1] == [(2e6, core) for core in cores[:1]], "a big core comes first"


def test_litert_is_another_row_of_the_same_table(tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    broken = tmp_path / "m.tflite"
    broken.write_bytes(b"no model")
    done = run("--runtime=litert", broken)
    assert done.returncode == time_models.BAD_MODEL and "cannot be loaded or run by litert" in done.stderr
    done = run("--runtime=litert", "--provider=cuda", broken)
    assert done.returncode == time_models.NO_PROVIDER and "(it has: cpu)" in done.stderr


class Core:
    """A core whose clock this is: runs and looks at it take longer in the milliseconds in which a neighbour computes."""

    def __init__(self, monkeypatch, busy):
        self.now, self.best, self._busy, self.moves = 0.0, 0.0001, busy, 0
        monkeypatch.setattr(time_models.time, "perf_counter", lambda: self.now)

    def take(self, seconds):
        self.now += seconds * (1.5 if self._busy(self.now) else 1.0)
        return seconds * (1.5 if self._busy(self.now) else 1.0)

    def seconds(self):
        return self.take(0.0001)

    def move(self):
        self.moves += 1


def test_a_thread_that_is_disturbed_tries_the_other_cores():
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    calm = time_models.Calm(cores)
    try:
        seen = set()
        for _ in cores:
            calm.moved = 0.0
            calm.move()
            seen |= os.sched_getaffinity(0)
        assert seen == set(cores) and calm.best < 0.001
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


@pytest.mark.parametrize(("busy", "undisturbed"), [(lambda now: int(now * 50) % 2, 1.0), (lambda now: False, 1.0)])
def test_runs_beside_a_busy_neighbour_do_not_count(monkeypatch, busy, undisturbed):
    core = Core(monkeypatch, busy)
    given = time_models.parse(["--seconds=5", "m.onnx"])
    ordered, share, _ = time_models.repeat(lambda: core.take(0.0004), given, core)
    assert len(ordered) >= time_models.MIN_RUNS and ordered[-1] == pytest.approx(0.4) and share > 0.8 * undisturbed
    assert (core.moves > 0) == busy(0.03)


def test_a_core_that_is_never_calm_is_timed_all_the_same_and_says_so(monkeypatch):
    core = Core(monkeypatch, lambda now: True)
    given = time_models.parse(["--seconds=0.5", "m.onnx"])
    ordered, share, _ = time_models.repeat(lambda: core.take(0.0004), given, core)
    assert share == 0.0 and len(ordered) >= 3 and ordered[0] == pytest.approx(0.6)
