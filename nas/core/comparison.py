"""What a run for several devices found, as one value: what `devices.json` says, and the page that compares."""

from collections.abc import Mapping
from dataclasses import dataclass

from nas.core.architecture import Architecture
from nas.core.budget import Costs
from nas.core.latency import LatencyEstimate
from nas.core.result import Pick, RunResult


@dataclass(frozen=True, slots=True)
class OnDevice:
    """One network on one device.

    `latency` and `costs` are predicted, at the precision that the device was searched for; `fits` says whether that is within
    the device's budget, None where a limited cost is not known. `on_front`: nothing that the search for this device found is as
    good in everything. `chosen`: it is one of the device's picks. `pick` has its finished files, relative to `folder`, which
    is relative to the run's; None and "" where it was not finished for this device.
    """

    latency: LatencyEstimate
    costs: Costs
    fits: bool | None
    on_front: bool
    chosen: bool
    pick: Pick | None = None
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """One network on every device, by the device's name in the run. `inherited_accuracy` is that with shared weights."""

    architecture: Architecture
    description: str
    resolution: int
    macs: int
    inherited_accuracy: float
    places: Mapping[str, OnDevice]

    @property
    def id(self) -> str:
        """That of its architecture."""
        return self.architecture.id

    @property
    def chosen_for(self) -> tuple[str, ...]:
        """Devices of which it is a pick."""
        return tuple(name for name, place in self.places.items() if place.chosen)

    @property
    def on_fronts_of(self) -> tuple[str, ...]:
        """Devices on whose front it is, as the search saw it."""
        return tuple(name for name, place in self.places.items() if place.on_front)

    @property
    def fits_all(self) -> bool:
        """Whether it is predicted to be within the budget of every device."""
        return all(place.fits for place in self.places.values())

    @property
    def tuned(self) -> Pick | None:
        """Its finished form, for the accuracy of its fp32 version, which is the same everywhere; None if it was not tuned."""
        return next((place.pick for place in self.places.values() if place.pick), None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A finished run for several devices.

    `results` are those of the devices, complete in themselves, by the names of their folders. `networks` are all picks, what is on
    the fronts of several devices, and the best single one, the fastest on the first device first. `single` is the id of that
    one, the most accurate with shared weights that is within all budgets; "" if there is none. `evaluations` counts the
    architectures that were scored to the end or stopped early, each once. `seconds` is wall time of what the devices share.
    """

    name: str
    command: str
    results: Mapping[str, RunResult]
    networks: tuple[Network, ...]
    single: str
    evaluations: int
    seconds: Mapping[str, float]

    @property
    def best_single(self) -> Network | None:
        """The best network for all devices at once."""
        return next((network for network in self.networks if network.id == self.single), None)

    @property
    def on_several_fronts(self) -> tuple[Network, ...]:
        """Networks that are on the front of more than one device."""
        return tuple(network for network in self.networks if len(network.on_fronts_of) > 1)
