"""What a device draws while it runs networks: a measured figure, or none. Energy is made from nothing else."""

import hardware_profiles
from hardware_profiles import measurable
from nas.core.device import DeviceProfile, RuntimeTarget
from nas.core.errors import DeviceError


def of(device: DeviceProfile, target: RuntimeTarget) -> float | None:
    """Watts that were measured beside the latencies of `target` on `device`; None where none were."""
    return next((profile.power_w for profile in device.targets if profile.target == target), None)


def require(device: DeviceProfile, target: RuntimeTarget) -> float:
    """Watts that were measured beside the latencies of `target` on `device`.

    Raises:
        DeviceError: none were; the message says which devices have some, and how to measure them.
    """
    watts = of(device, target)
    if watts is None:
        having = [one.name for one in hardware_profiles.load_all() if any(profile.power_w is not None for profile in one.targets)]
        advised = measurable.command(device, target.runtime, target.precision, target.threads) or measurable.command(device)
        raise DeviceError(
            f"energy cannot be limited on {device.name}: no power was measured for {target}, and none is invented "
            f"(devices with measured power: {', '.join(having) or 'none yet'}). Leave out --max-energy, and energy in --objectives, "
            f"or measure with `{advised}` on a board whose power sensor Linux shows (INA3221 or RAPL)"
        )
    return watts
