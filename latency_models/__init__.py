"""One file a way of pricing networks: `PLUGIN` makes a `DeviceModel` from a device, one of its targets and a space's key."""

from typing import TYPE_CHECKING

from hardware_profiles import measurable
from nas.core import plugins
from nas.core.errors import TargetMismatchError

if TYPE_CHECKING:
    from nas.core.device import DeviceProfile, TargetProfile
    from nas.core.latency import DeviceModel


def load(
    profile: "DeviceProfile",
    precision: str = "fp32",
    runtime: str = "",
    threads: int | None = None,
    space: str = "",
    confidence: float | None = None,
) -> "DeviceModel":
    """The model that prices networks of `precision` on the device: of the target that `choose` takes.

    `space` is the key of the search space that the networks are of: where networks of it were measured, prices are fitted to them.
    `confidence` is how often the intervals are to hold the truth; None is what the figures were made with.

    Raises:
        TargetMismatchError: the device has no figures for that target, or has them from another machine or version.
        DeviceError: the figures are damaged, were not measured yet, or say nothing at that confidence; the message says what to do.
        UnknownNameError: the profile names a model for which there is no file.
    """
    target = choose(profile, precision, runtime, threads)
    model: DeviceModel = plugins.load(__name__, target.model, "latency model")(profile, target, space, confidence)
    return model


def choose(profile: "DeviceProfile", precision: str = "fp32", runtime: str = "", threads: int | None = None) -> "TargetProfile":
    """The first target of the device that is as asked and was measured, else the first as asked; "" and None ask nothing.

    Raises:
        TargetMismatchError: there is none; the message names all there are.
    """
    able = [
        each
        for each in profile.targets
        if each.target.precision == precision and runtime in ("", each.target.runtime) and threads in (None, each.target.threads)
    ]
    if able:
        return next((each for each in able if each.is_measured), able[0])
    asked = " ".join(filter(None, (runtime, precision, "" if threads is None else f"{threads} thread(s)")))
    have = "; ".join(str(each.target) for each in profile.targets)
    advised = measurable.command(profile, runtime, precision, threads)
    more = f"To get them: {advised}" if advised else "No command here measures them"
    raise TargetMismatchError(f"{profile.name} has no latencies for {asked}, only for: {have}. {more}")
