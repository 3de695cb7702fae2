"""One file a way of pricing networks: `PLUGIN` makes a `DeviceModel` from a device, one of its targets and a space's key."""

from typing import TYPE_CHECKING

from hardware_profiles import measurable
from nas.core import plugins
from nas.core.errors import TargetMismatchError

if TYPE_CHECKING:
    from nas.core.device import DeviceProfile, TargetProfile
    from nas.core.latency import DeviceModel


def load(
    profile: "DeviceProfile", precision: str = "fp32", runtime: str = "", threads: int | None = None, space: str = ""
) -> "DeviceModel":
    """The model that prices networks of `precision` on the device; of several runtimes or thread counts the first, if not asked for.

    `space` is the key of the search space that the networks are of: where networks of it were measured, prices are fitted to them.

    Raises:
        TargetMismatchError: the device has no figures for that target, or has them from another machine or version.
        DeviceError: the figures are damaged, or were not measured yet; the message says what to run.
        UnknownNameError: the profile names a model for which there is no file.
    """
    target = choose(profile, precision, runtime, threads)
    model: DeviceModel = plugins.load(__name__, target.model, "latency model")(profile, target, space)
    return model


def choose(profile: "DeviceProfile", precision: str = "fp32", runtime: str = "", threads: int | None = None) -> "TargetProfile":
    """The first target of the device that is as asked; "" and None ask nothing.

    Raises:
        TargetMismatchError: there is none; the message names all there are.
    """
    for each in profile.targets:
        target = each.target
        if target.precision == precision and runtime in ("", target.runtime) and threads in (None, target.threads):
            return each
    asked = " ".join(filter(None, (runtime, precision, "" if threads is None else f"{threads} thread(s)")))
    have = "; ".join(str(each.target) for each in profile.targets)
    advised = measurable.command(profile, runtime, precision, threads)
    more = f"To get them: {advised}" if advised else "No command here measures them"
    raise TargetMismatchError(f"{profile.name} has no latencies for {asked}, only for: {have}. {more}")
