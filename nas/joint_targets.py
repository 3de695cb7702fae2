"""Which precisions a device can be searched in at once: those that one of its runtimes has latencies for, and a compressor files."""

import latency_models
from nas import compressors, power
from nas.compressors import FileCompressor
from nas.core.device import DeviceProfile, RuntimeTarget
from nas.core.errors import DeviceError
from nas.joint_landscape import JointPrices
from nas.joint_space import PRUNED, JointSpace


def first(device: DeviceProfile, precisions: tuple[str, ...], runtime: str, threads: int | None) -> RuntimeTarget:
    """The first target of the device that is as asked and has all `precisions`, at the first of these; "" and None ask nothing.

    One that was measured in all of them goes before all others.

    Raises:
        DeviceError: there is none; names the precisions that each runtime has both latencies and files for.
    """
    there = usable(device)
    able = [
        [latency_models.choose(device, precision, name, count) for precision in precisions]
        for (name, count), found in there.items()
        if runtime in ("", name) and threads in (None, count) and set(precisions) <= set(found)
    ]
    if able:
        return next((each for each in able if all(one.is_measured for one in each)), able[0])[0].target
    asked = " ".join(filter(None, (f"in {runtime}" if runtime else "", "" if threads is None else f"with {threads} thread(s)")))
    have = "; ".join(f"{name}, {count} thread(s): {', '.join(found)}" for (name, count), found in there.items())
    raise DeviceError(
        f"{device.name} cannot be searched in {' and '.join(precisions)} at once{' ' if asked else ''}{asked}: "
        f"it has both latencies and files for {have or 'none'}. For latencies: {device.improve}; files are made by the compressors "
        f"in {device.path} ({', '.join(device.compressors) or 'none'})"
    )


def usable(device: DeviceProfile) -> dict[tuple[str, int], tuple[str, ...]]:
    """By runtime and threads, the precisions that the device has latencies for and that files can be made for."""
    opsets = {"fp32": 0} | {one.step: one.min_opset for one in map(compressors.load, device.compressors) if isinstance(one, FileCompressor)}
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    for target in (profile.target for profile in device.targets):
        before = found.setdefault((target.runtime, target.threads), ())
        if target.precision in opsets and opsets[target.precision] <= device.max_onnx_opset:
            found[target.runtime, target.threads] = (*before, target.precision)
    return found


def prices(
    device: DeviceProfile, space: JointSpace, runtime: str, threads: int | None, with_energy: bool, confidence: float | None = None
) -> JointPrices:
    """The prices of `space` in that runtime with as many threads, for every precision.

    Raises:
        DeviceError: one of them is not measured yet, hidden channels are to be pruned and no compressor of the device does that,
            or energy is asked for and nobody measured the power of a precision.
    """
    if space.keeps[-1] < 1.0 and all(compressors.load(name).step != PRUNED for name in device.compressors):
        raise DeviceError(
            f"{device.name} has no compressor that prunes hidden channels "
            f"(compressors in {device.path}: {', '.join(device.compressors) or 'none'}): add one there, or leave --keep out"
        )
    models = tuple(latency_models.load(device, precision, runtime, threads, space.base.key, confidence) for precision in space.precisions)
    for model in models:
        if with_energy:
            power.require(device, model.target)
    return JointPrices(space, models, tuple(power.of(device, model.target) for model in models))
