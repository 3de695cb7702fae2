"""One file a way of pricing networks: `PLUGIN` makes a `LatencyModel` from a device and one of its targets."""

from typing import TYPE_CHECKING

from nas.core import plugins
from nas.core.errors import TargetMismatchError

if TYPE_CHECKING:
    from nas.core.device import DeviceProfile
    from nas.core.latency import LatencyModel


def load(profile: "DeviceProfile", precision: str = "fp32") -> "LatencyModel":
    """The model that prices networks of `precision` on the device.

    Raises:
        TargetMismatchError: the device has no figures for that precision, or has them from another machine or version.
        DeviceError: the figures are damaged, or were not measured yet; the message says what to run.
        UnknownNameError: the profile names a model for which there is no file.
    """
    for target in profile.targets:
        if target.target.precision == precision:
            model: LatencyModel = plugins.load(__name__, target.model, "latency model")(profile, target)
            return model
    have = "; ".join(str(target.target) for target in profile.targets)
    raise TargetMismatchError(f"{profile.name} has no latencies for {precision}, only for: {have}. {profile.improve}")
