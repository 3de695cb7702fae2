#!/usr/bin/env python3
"""Times models with the runtime of the machine it runs on, one JSON line a model. Copy this one file to a device to measure there:

    python3 time_models.py --threads 1 block0.onnx block1.onnx

Needs Python 3.6, numpy and onnxruntime 1.11 (`--runtime litert`: ai-edge-litert or tflite-runtime instead); `--check`, which says
what the machine has, needs none of them. Each model gets a session, its threads a core each, a warm-up, and runs until the 10th
percentile is known well enough or time is up. Runs count where the core was calm before and after: neighbours on a shared machine
slow it by half, for milliseconds or minutes, and a single thread then tries another core. Where none was calm all runs count, and
`undisturbed` says so. A run is one call of the runtime, with the copies to and from an accelerator. `--out`: a line is on the disk
before it is said.
"""

import argparse
import errno
import importlib
import json
import math
import os
import platform
import re
import shutil
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path

MIN_RUNS, CALM = 30, 1.05  # how much slower than at its best a calm core may be
GROUP_SECONDS, LEARN_SECONDS = 0.0005, 0.4  # of runs between two looks at the core; to see how fast it is at its best
NO_RUNTIME, NO_PROVIDER, BAD_MODEL, DISK_FULL, BAD_FILE, TAKEN_OVER, NOT_HEARD = range(3, 10)  # exit codes; 2 is argparse's
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
MODULES = {"onnxruntime": ("onnxruntime",), "litert": ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")}
stay_on = getattr(os, "sched_setaffinity", lambda thread, cores: None)  # Linux has it
GPU = re.compile("gpu|gp10b|gv11b|ga10b|mali|kgsl|v3d")  # devfreq's names on ARM boards


class Stop(BaseException):
    """Ends the agent with an exit code and one sentence on standard error."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(" ".join(sentence.split()))
        self.code = code


def said(path: Path) -> str:
    """What the file says, without blanks and zeros at its ends; "" where it cannot be read (sensors come and go)."""
    try:
        return path.read_text(errors="replace").strip("\0 \n\t")
    except OSError:
        return ""


def number(path: Path) -> "float | None":
    """The number in the file, or None."""
    try:
        return float(said(path))
    except ValueError:
        return None


def cpu(sysfs: Path, core: int, name: str) -> Path:
    """The file `name` about the clock of `core`."""
    return sysfs / f"devices/system/cpu/cpu{core}/cpufreq" / name


def cores_by_speed(sysfs: Path) -> list:
    """(kHz or 0, core) of the cores that this process may use, the fastest first, then the highest numbers; [] where unknown."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return sorted(((number(cpu(sysfs, core, "cpuinfo_max_freq")) or 0.0, core) for core in allowed), reverse=True)


def clock_mhz(files: list, per_mhz: float) -> "float | None":
    """The lowest of the clocks that the files give at this moment."""
    return min((clock / per_mhz for clock in map(number, files) if clock), default=None)


def temperature_c(sysfs: Path) -> "float | None":
    """The hottest of the processor's zones, or of all where none is named after it; a Jetson's PMIC says 100 always: left out."""
    zones = [(said(one / "type").lower(), number(one / "temp")) for one in sysfs.glob("class/thermal/thermal_zone*")]
    known = [(kind, value / 1e3) for kind, value in zones if value is not None and -4e4 < value < 15e4 and "pmic" not in kind]
    own = [value for kind, value in known if any(word in kind for word in ("cpu", "gpu", "soc", "x86_pkg"))]
    return max(own or [value for _, value in known], default=None)


def ina3221(sysfs: Path) -> list:
    """(name, file, file or None) of the supply rails, or of the board's input alone: mW (JetPack 4, iio), or mV and mA (hwmon)."""
    rails = []  # type: list
    for chip in sorted(sysfs.glob("bus/i2c/drivers/ina3221*/*-*")):
        for label in sorted(chip.glob("iio:device*/rail_name_*")):
            rails.append((said(label), label.with_name(label.name.replace("rail_name_", "in_power") + "_input"), None))
        for label in sorted(chip.glob("hwmon/hwmon*/in*_label")):
            volts = label.name.replace("_label", "_input")
            rails.append((said(label), label.with_name(volts), label.with_name(volts.replace("in", "curr", 1))))
    rails = [rail for rail in rails if all(number(file) is not None for file in rail[1:] if file)]
    return [rail for rail in rails if rail[0].upper().endswith("_IN")][:1] or rails


class Meter:
    """Mean power until `stop`: of the board's supply (INA3221), else of the processor packages (RAPL)."""

    def __init__(self, sysfs: Path) -> None:
        self.rails = ina3221(sysfs)
        self.packages = [one for one in sorted(sysfs.glob("class/powercap/intel-rapl:*")) if said(one / "name").startswith("package")]
        self.samples = []  # type: list
        self.energy = [number(one / "energy_uj") for one in self.packages]
        self.begun = self.looked = time.perf_counter()

    def look(self, now: float) -> None:
        """Reads the rails if it is time to, ten times a second; called between two runs, since it takes the processor's time."""
        if self.rails and now - self.looked >= 0.1:
            pairs = [(number(first), number(second) if second else 1e3) for _, first, second in self.rails]
            watts = [first * second / 1e6 for first, second in pairs if first is not None and second is not None]
            self.samples += [sum(watts)] if len(watts) == len(pairs) else []
            self.looked = now

    def stop(self) -> tuple:
        """(watts, what they are of), or (None, "") where nothing is exposed or it may not be read."""
        if self.rails:
            self.look(math.inf)
            name = "INA3221 " + "+".join(rail[0] for rail in self.rails)
            return (sum(self.samples) / len(self.samples), name) if self.samples else (None, "")
        joules = 0.0
        for i, folder in enumerate(self.packages):
            before, after = self.energy[i], number(folder / "energy_uj")
            if after is None or before is None:
                return None, ""
            joules += (after - before) % (number(folder / "max_energy_range_uj") or math.inf) / 1e6  # after which it begins again
        return (joules / (time.perf_counter() - self.begun), "RAPL package") if 0 < joules < math.inf else (None, "")


def check(sysfs: Path, folder: Path) -> dict:
    """Facts of this machine, the space on the disk of `folder` included; runtimes that cannot be imported are left out."""
    runtimes, providers = {}, []
    for runtime in MODULES:
        try:
            module, runtimes[runtime] = load(runtime)
            providers += list(module.get_available_providers()) if runtime == "onnxruntime" else []
        except Stop:
            continue
    names = [line.split(":", 1)[1].strip() for line in said(Path("/proc/cpuinfo")).splitlines() if line.startswith("model name")]
    model = said(Path("/proc/device-tree/model")) or [*names, platform.processor() or "unknown processor"][0]
    return {
        "machine": f"{model}, {platform.machine()}, {os.cpu_count()} cores",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "runtimes": runtimes,
        "providers": providers,
        "free_mb": shutil.disk_usage(str(folder)).free / 1e6,
    }


def load(runtime: str) -> tuple:
    """(module, version) of the runtime; `Stop` where it, or numpy, cannot be imported."""
    for name in MODULES[runtime]:
        try:
            importlib.import_module("numpy")
            module = importlib.import_module(name)
        except Exception as error:  # a wheel of another processor or numpy fails in ways of its own
            why = f"{type(error).__name__}: {error}"
            continue
        package = name.split(".")[0]
        named = [one.stem for place in sys.path for one in Path(place).glob(package + "-*.dist-info")]
        return module, getattr(sys.modules[package], "__version__", (named or ["-unknown"])[0].split("-")[1])
    packages = " or ".join(name.split(".")[0] for name in MODULES[runtime]).replace("_", "-")
    python = f"{sys.executable} (Python {platform.python_version()})"
    raise Stop(NO_RUNTIME, f"{python} cannot import {runtime} ({why}); install numpy and {packages} for it")


def values(shape: list, kind: str, seed: int) -> "numpy.ndarray":  # type: ignore[name-defined] # noqa: F821
    """Random values of `shape`, whose open dimensions become 1: of an 8-bit kind its whole range, of other integers 0 and 1."""
    import numpy

    random = numpy.random.RandomState(seed)
    kind = {"float": "float32", "double": "float64"}.get(kind, kind)
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in shape]
    if kind.startswith("float"):
        return abs(random.standard_normal(shape)).astype(kind)
    low, high = {"int8": (-128, 128), "uint8": (0, 256)}.get(kind, (0, 2))
    return random.randint(low, high, size=shape).astype(kind)


def open_onnxruntime(path: str, given: argparse.Namespace) -> tuple:
    """(what runs `path` once, provider); `Stop` where this onnxruntime has no such provider, or falls back to another one."""
    ort, version = load("onnxruntime")
    have = {name.replace("ExecutionProvider", "").lower(): name for name in ort.get_available_providers()}
    asked = given.provider.replace("ExecutionProvider", "").lower()
    if asked not in have:
        raise Stop(NO_PROVIDER, f"onnxruntime {version} of this machine has no provider {given.provider!r} (it has: {', '.join(have)})")
    options, settings = ort.SessionOptions(), dict(pair.split("=", 1) for pair in given.option)
    options.intra_op_num_threads = given.threads
    if asked == "xnnpack":  # it brings its own threads and wants the session's out of the way
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.setdefault("intra_op_num_threads", str(given.threads))
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    order = [asked] + [name for name in ("cuda", "cpu") if name in have and name != asked and (asked, name) != ("cpu", "cuda")]
    session = ort.InferenceSession(path, options, providers=[(have[one], settings if one == asked else {}) for one in order])
    if session.get_providers()[0] != have[asked]:
        raise Stop(NO_PROVIDER, f"onnxruntime {version} has {have[asked]} but fell back to {session.get_providers()[0]}: is it whole?")
    inputs = {value.name: values(value.shape, value.type[len("tensor(") : -1], i) for i, value in enumerate(session.get_inputs())}
    return (lambda: session.run(None, inputs)), asked


def open_litert(path: str, given: argparse.Namespace) -> tuple:
    """(what runs `path` once, provider), on the CPU, where LiteRT takes XNNPACK by itself; `Stop` for another provider."""
    if given.provider.lower() not in ("cpu", "xnnpack"):
        raise Stop(NO_PROVIDER, f"the litert runtime has no provider {given.provider!r} here (it has: cpu)")
    interpreter = load("litert")[0].Interpreter(model_path=path, num_threads=given.threads)
    interpreter.allocate_tensors()
    for seed, one in enumerate(interpreter.get_input_details()):
        interpreter.set_tensor(one["index"], values(one["shape"].tolist(), one["dtype"].__name__, seed))
    return interpreter.invoke, given.provider.lower()


BACKENDS = {"onnxruntime": open_onnxruntime, "litert": open_litert}


def relative_width(ordered: list, share: float) -> float:
    """Half the width of the 95 % confidence interval of the quantile at `share` (order statistics), relative to the median."""
    n, spread = len(ordered), 1.96 * math.sqrt(len(ordered) * share * (1 - share))
    low, high = max(0, math.floor(n * share - spread)), min(n - 1, math.ceil(n * share + spread))
    return (ordered[high] - ordered[low]) / 2 / ordered[n // 2]


def tasks() -> set:
    """Threads of this process; empty where the system does not show them."""
    return {int(task.name) for task in Path("/proc/self/task").glob("[0-9]*")}


def pin(cores: list, before: set) -> bool:
    """Gives this thread `cores[0]` and each thread not in `before` one of the others; False where they do not come out even."""
    new = sorted(tasks() - before)
    if not before or len(new) != len(cores) - 1:
        return False
    for i, thread in enumerate([0, *new]):
        stay_on(thread, {cores[i]})
    return True


class Calm:
    """Whether something else slows this core down: a product of matrices, of a few µs, then takes longer than at its best."""

    def __init__(self, cores: list) -> None:
        self.cores, self.moved = cores, 0.0
        factors = importlib.import_module("numpy").ones((64, 64), "float32")
        self.product, self.best, until = timeit.Timer(lambda: factors.dot(factors)), math.inf, time.perf_counter() + LEARN_SECONDS
        while time.perf_counter() < until:
            self.move()
            self.seconds()

    def move(self) -> None:
        """Goes to the next of the cores, where it may be calm, if it has given this one 10 ms: caches must fill anew."""
        if time.perf_counter() - self.moved > 0.01:
            self.cores, self.moved = self.cores[1:] + self.cores[:1], time.perf_counter()
            stay_on(0, self.cores[:1])

    def seconds(self) -> float:
        """What the product takes now, the best of three."""
        now = min(self.product.repeat(3, 1))
        self.best = min(self.best, now)
        return now


def repeat(run: "Callable[[], object]", given: argparse.Namespace, calm: "Calm") -> tuple:
    """(milliseconds of each run that counts, sorted; share of undisturbed runs; (watts, what they are of))."""
    groups, counted, check_at = [], 0, MIN_RUNS  # type: list, int, int
    clock, start, meter = time.perf_counter, time.perf_counter(), Meter(given.sysfs)
    alone = given.threads == 1  # further threads wait busily for work: they disturb the product as neighbours do, but always
    while True:
        late, before = clock() - start > given.seconds, calm.seconds()
        if alone and before > CALM * calm.best and not late:
            calm.move()
            continue
        run()  # the product took its place in the cache
        group, begun, now = [], clock(), 0.0
        while now < begun + GROUP_SECONDS:
            first = clock()
            run()
            now = clock()
            group.append((now - first) * 1e3)
        groups.append((max(before if alone else 0.0, calm.seconds()), group))
        meter.look(now)
        limit = CALM * (calm.best if alone else min(slowest for slowest, _ in groups))
        counted += len(group) * (groups[-1][0] <= limit)
        if counted < check_at and not (late and len(groups) >= 3):
            continue
        runs, good = ([one for slowest, some in groups if slowest <= most for one in some] for most in (math.inf, limit))
        counted, ordered = len(good), sorted(good if len(good) >= 3 else runs)
        if late or (counted >= check_at and relative_width(ordered, 0.1) <= given.width):
            return ordered, counted / len(runs), meter.stop()
        check_at = max(check_at, counted) + check_at // 2


def time_model(path: str, given: argparse.Namespace) -> dict:
    """All that is known of a model after timing it. `Stop` on failure."""
    version, order = load(given.runtime)[1], cores_by_speed(given.sysfs)
    allowed, cores = sorted(core for _, core in order), [core for _, core in order[: given.threads]]
    given.calm = given.calm or Calm([core for khz, core in order if khz == order[0][0]])
    threads_before, temperature_before_c = tasks(), temperature_c(given.sysfs)
    try:
        stay_on(0, cores)
        run, provider = BACKENDS[given.runtime](path, given)
        start, _ = time.perf_counter(), run()
        pinned = len(cores) == given.threads and pin(cores, threads_before)
        while time.perf_counter() - start < given.warm_up:
            run()
        ordered, undisturbed, (power_w, power_source) = repeat(run, given, given.calm)
    except Exception as error:
        raise Stop(BAD_MODEL, f"{path} cannot be loaded or run by {given.runtime} {version}: {error}") from error
    finally:
        stay_on(0, allowed)
    p10, low, median, high, p95 = importlib.import_module("numpy").quantile(ordered, (0.1, 0.25, 0.5, 0.75, 0.95)).tolist()
    return {
        "model": path,
        "median_ms": median,
        "p10_ms": p10,
        "min_ms": ordered[0],
        "p95_ms": p95,
        "runs": len(ordered),
        "outliers": sum(value > high + 3 * (high - low) for value in ordered),  # beyond Tukey's far fence
        "relative_width": relative_width(ordered, 0.1),
        "undisturbed": undisturbed,
        "runtime": given.runtime,
        "runtime_version": version,
        "provider": provider,
        "threads": given.threads,
        "pinned": pinned,
        "clock_mhz": clock_mhz([cpu(given.sysfs, core, "scaling_cur_freq") for core in cores], 1e3),
        "gpu_clock_mhz": clock_mhz([one / "cur_freq" for one in given.sysfs.glob("class/devfreq/*") if GPU.search(one.name)], 1e6),
        "governor": said(cpu(given.sysfs, cores[0], "scaling_governor")) if cores else "",
        "temperature_before_c": temperature_before_c,
        "temperature_after_c": temperature_c(given.sysfs),
        "power_w": power_w,
        "power_source": power_source,
    }


def parse(arguments: list) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time models; one JSON line each on standard output.")
    add = parser.add_argument
    add("models", nargs="*", type=Path, help="model files (open dimensions become 1)")
    add("--check", action="store_true", help="say what this machine is and has, and time nothing")
    add("--runtime", choices=sorted(BACKENDS), default="onnxruntime", help="what runs the models (default onnxruntime)")
    add("--provider", default="cpu", help="execution provider: cpu, cuda, tensorrt, xnnpack... (default cpu)")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the provider, as trt_fp16_enable=1")
    add("--threads", type=int, default=1, help="threads of one run (default 1)")
    add("--width", type=float, default=0.02, help="relative half-width of the interval of the 10th percentile to stop at (default 0.02)")
    add("--seconds", type=float, default=1.0, help="seconds after which a model is given up to become better (default 1)")
    add("--warm-up", type=float, default=0.05, help="seconds of runs before the first that counts (default 0.05)")
    add("--out", type=Path, help="file to which each line is appended before it is printed")
    add("--sysfs", type=Path, default=Path("/sys"), help="where the sensors are (default /sys)")
    given = parser.parse_args(arguments, argparse.Namespace(calm=None))
    if given.threads < 1 or not all("=" in pair for pair in given.option) or not (given.check or given.models):
        parser.error("give models or --check, at least one thread, and options as KEY=VALUE")
    return given


def say(found: dict, out: "Path | None") -> None:
    """Puts a line on the disk, then on standard output; `Stop` where either failed, after both were tried."""
    line = json.dumps(found) + "\n"
    failure = None
    try:
        if out is not None:
            with out.open("a") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        failure = Stop(DISK_FULL if error.errno in FULL else BAD_FILE, f"{out} cannot be written: {error.strerror}")
    try:
        sys.stdout.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        failure = Stop(NOT_HEARD, "nobody listens any more")
    if failure is not None:
        raise failure


def main(arguments: list, go_on: "Callable[[], bool]" = lambda: True) -> int:
    """Does what the command line asks for, as long as `go_on()` says so before each model; the exit code."""
    given = parse(arguments)
    try:
        if given.check:
            say(check(given.sysfs, Path()), given.out)
        for path in given.models:
            if not go_on():
                raise Stop(TAKEN_OVER, "another measurement took over")
            say(time_model(str(path), given), given.out)
    except Stop as stop:
        sys.stderr.write(str(stop) + "\n")
        return stop.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
