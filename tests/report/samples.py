"""Runs that look like real ones, for the tests of the report."""

import random
from dataclasses import replace

import search_spaces
from nas.core import pareto
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.device import DeviceProfile, HeldOutError, Provenance, RuntimeTarget, TargetProfile
from nas.core.latency import Interval, LatencyEstimate
from nas.core.network import NetworkSpec
from nas.core.objectives import DEFAULT
from nas.core.result import CandidateResult, InputFormat, Pick, RunResult, Step

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

NANO = DeviceProfile(
    name="jetson-nano",
    title="NVIDIA Jetson Nano",
    precisions=("fp32", "fp16"),
    max_onnx_opset=13,
    compressors=("fp16",),
    targets=(
        TargetProfile(
            target=RuntimeTarget("jetson-nano", "tensorrt", "8.2", "fp32", 0),
            origin="calibrated",
            model="kernel_model",
            parameters={},
            provenance=Provenance(
                "synthetic stacks timed on a Jetson Nano", "2026-11-20", "python -m latency_models.calibration jetson-nano"
            ),
            error=HeldOutError(5.8, 6267, 25.1),
        ),
    ),
    notes="The Jetson Nano has no INT8 instructions.",
    improve="python -m nas.measure --device jetson-nano --agent HOST",
    path="hardware_profiles/jetson-nano.toml",
)
LOCAL = DeviceProfile(
    name="local",
    title="this machine (x86-64, 2 cores)",
    precisions=("fp32", "int8"),
    max_onnx_opset=21,
    compressors=("int8",),
    targets=tuple(
        TargetProfile(
            target=RuntimeTarget("local", "onnxruntime", "1.31.1", precision, 1),
            origin="measured",
            model="lookup_table",
            parameters={},
            provenance=Provenance("measured here", "2026-11-22", "python -m nas.measure --device local"),
            error=HeldOutError(2.4, 12, 18.9),
        )
        for precision in ("fp32", "int8")
    ),
    notes="",
    improve="python -m nas.measure --device local",
    path="hardware_profiles/local.toml",
)


def network_latency(
    network: NetworkSpec, target: RuntimeTarget, origin: str, base_ms: float, scale: float, width: float
) -> LatencyEstimate:
    """A plausible latency, ± `width` of it."""

    def around(ms: float) -> Interval:
        return Interval(ms, ms * (1 - width), ms * (1 + width))

    parts = [("overhead", around(base_ms))]
    for slot, block in zip(network.slots, network.blocks, strict=True):
        work = block.hidden_channels * (block.in_channels + block.out_channels + block.kernel**2) * block.in_height * block.in_width
        parts.append((slot, around(scale * (0.25 + work / 2.2e6))))
    total = parts[0][1]
    for _, part in parts[1:]:
        total = total + part
    return LatencyEstimate(total, tuple(parts), origin, 0.97 if origin == "calibrated" else 1.0, 0.95, target)


def network_macs(network: NetworkSpec) -> int:
    """Roughly."""
    return sum(b.hidden_channels * (b.in_channels + b.out_channels + b.kernel**2) * b.out_height * b.out_width for b in network.blocks)


def sample(device: DeviceProfile = NANO, budget_ms: float = 10.0, count: int = 60, picks: int = 6, seed: int = 0) -> RunResult:
    """`count` candidates within the budget and those above it, and `picks` picks in three versions."""
    source = random.Random(seed)
    space = search_spaces.load("mobile_shuffle_32")
    nano = device.name == "jetson-nano"
    fp32 = device.targets[0]
    width = 0.11 if nano else 0.04
    found: list[tuple[Architecture, NetworkSpec, LatencyEstimate, CandidateResult]] = []
    while sum(row[3].feasible for row in found) < count:
        architecture = space.architecture([source.randrange(gene.options) for gene in space.genes])
        network = space.network(architecture, 1, 10)
        latency = network_latency(network, fp32.target, fp32.origin, 3.4 if nano else 0.04, 1.0 if nano else 0.11, width)
        feasible = latency.total.high_ms <= budget_ms
        accuracy = 0.80 - 0.28 * 2 ** (-network_macs(network) / 2.5e6) + source.gauss(0, 0.012)
        candidate = CandidateResult(
            id=architecture.id,
            description=space.describe(architecture),
            accuracy=round(accuracy, 4) if feasible else None,
            latency_ms=latency.total.ms,
            latency_low_ms=latency.total.low_ms,
            latency_high_ms=latency.total.high_ms,
            macs=network_macs(network),
            params=network_macs(network) // 40 if feasible else None,
            feasible=feasible,
            on_front=False,
        )
        found.append((architecture, network, latency, candidate))
    feasible = [row for row in found if row[3].feasible]
    front = DEFAULT.front(feasible, lambda row: row[3].accuracy or 0.0, lambda row: Costs(row[2].total))
    best = {row[0].id for row in front}
    chosen = []
    for architecture, network, latency, candidate in pareto.spread(front, picks, lambda row: row[3].latency_ms):
        steps = _steps(device, architecture, network, latency, candidate, source)
        chosen.append(
            Pick(architecture, candidate.description, network.resolution, candidate.accuracy or 0.0, steps, steps[-1].name, (), 21.4)
        )
    versions = [(pick, step) for pick in chosen for step in pick.steps if step.latency]
    version_front = DEFAULT.front(versions, lambda v: v[1].validation_accuracy, lambda v: v[1].costs)
    return RunResult(
        name=f"{device.name}-{budget_ms:g}ms",
        device=device,
        target=fp32.target,
        budget=Budget(budget_ms),
        space=space.key,
        data="fashion-mnist (embedded, 5,000 images)",
        seed=seed,
        input_format=InputFormat(1, (0.2860,), (0.3530,), FASHION),
        candidates=tuple(replace(row[3], on_front=row[0].id in best) for row in found),
        picks=tuple(chosen),
        front=tuple((pick.architecture.id, step.name) for pick, step in version_front),
        findings=("The supernet was trained for 40 s only: more --supernet-seconds raises every accuracy.",),
        not_measured=("Energy and memory: the device was not at hand.",) if nano else ("Energy: this machine has no power meter.",),
        uncounted_operators=("aten::hardswish", "aten::mul"),
        seconds={"supernet": 96.2, "search": 61.7, "picks": 128.4, "export": 4.1},
        environment={
            "python": "3.11.9",
            "torch": "2.13.0+cpu",
            "onnxruntime": "1.31.1",
            "machine": "x86_64, 2 cores",
            "when": "2026-11-22 01:30 UTC",
        },
        command=f"python -m nas.search --device {device.name} --budget {budget_ms:g}ms",
    )


def tiny() -> RunResult:
    """Two picks in two versions, in round numbers that do not depend on any search space: for the golden file."""

    def latency(ms: float, precision: str) -> LatencyEstimate:
        target = RuntimeTarget("local", "onnxruntime", "1.31.1", precision, 1)
        half = Interval(ms / 2, ms / 2 * 0.9, ms / 2 * 1.25)
        return LatencyEstimate(half + half, (("overhead", half), ("stem", half)), "measured", 1.0, 0.95, target)

    def pick(genes: tuple[int, ...], ms: float, accuracy: float) -> Pick:
        architecture = Architecture("tiny@00000000", genes)
        name = f"models/{architecture.id}"
        steps = (
            Step("fp32", f"{name}.fp32.onnx", accuracy, accuracy - 0.01, latency(ms, "fp32"), "", 1_000_000, 25_000, 0.1, 1.0, 1e-6),
            Step(
                "int8",
                f"{name}.int8.onnx",
                accuracy - 0.004,
                accuracy - 0.016,
                latency(ms / 2, "int8"),
                "",
                1_000_000,
                25_000,
                0.025,
                0.99,
                0.25,
            ),
        )
        return Pick(
            architecture, "16px | 1x16 mbconv_k3_e2", 16, accuracy - 0.1, steps, "int8", ("no qat version: it needs more images",), 12.5
        )

    picks = (pick((0, 1), 4.0, 0.91), pick((0, 0), 2.0, 0.85))
    candidates = tuple(
        CandidateResult(p.architecture.id, p.description, p.inherited_accuracy, ms, ms * 0.9, ms * 1.25, 1_000_000, 25_000, True, True)
        for p, ms in zip(picks, (4.0, 2.0), strict=True)
    )
    return RunResult(
        name="tiny",
        device=LOCAL,
        target=LOCAL.targets[0].target,
        budget=Budget(5.0),
        space="tiny@00000000",
        data="two classes",
        seed=7,
        input_format=InputFormat(1, (0.5,), (0.25,), ("cat", "<dog>")),
        candidates=candidates,
        picks=picks,
        front=tuple((p.architecture.id, "int8") for p in picks),
        findings=("The budget binds nothing.",),
        not_measured=("Energy: no power meter.",),
        uncounted_operators=("aten::mul",),
        seconds={"search": 1.5},
        environment={"python": "3.11"},
        command="python -m nas.search --device local --budget 5ms",
    )


def _steps(
    device: DeviceProfile,
    architecture: Architecture,
    network: NetworkSpec,
    latency: LatencyEstimate,
    candidate: CandidateResult,
    source: random.Random,
) -> tuple[Step, ...]:
    last = device.compressors[0]
    target = next((profile for profile in device.targets if profile.target.precision == last), None)
    blocks = tuple(
        b if b.kind in ("conv", "head") or b.hidden_channels < 32 else replace(b, hidden_channels=b.hidden_channels * 3 // 4)
        for b in network.blocks
    )
    thin = replace(network, blocks=blocks)
    base, scale, width = (3.4, 1.0, 0.11) if device.name == "jetson-nano" else (0.04, 0.11, 0.04)
    pruned = network_latency(thin, latency.target, latency.origin, base, scale, width)
    small = network_latency(thin, target.target, target.origin, base, scale * 0.62, width) if target else None
    tuned = (candidate.accuracy or 0.0) * 0.55 + 0.435
    rows = (
        ("fp32", latency, tuned, network, 4.0),
        ("pruned", pruned, tuned - 0.006, thin, 4.0),
        (last, small, tuned - 0.009, thin, 1.1 if last == "int8" else 2.0),
    )
    return tuple(
        Step(
            name=name,
            model=f"models/{architecture.id}.{name}.onnx",
            validation_accuracy=round(accuracy, 4),
            test_accuracy=round(accuracy + source.gauss(-0.004, 0.003), 4),
            latency=estimate,
            latency_note="" if estimate else f"the profile of {device.name} has no {name} figures",
            macs=network_macs(spec),
            params=network_macs(spec) // 40,
            size_mb=round(network_macs(spec) / 40 * width_bytes / 1e6, 4),
            agreement=1.0 if name != "int8" else 0.991,
            max_difference=1.2e-6 if name != "int8" else 0.31,
        )
        for name, estimate, accuracy, spec, width_bytes in rows
    )
