"""What a run asks, loaded and checked: all that can be known before anything is trained. Imports no torch."""

from dataclasses import dataclass

import hardware_profiles
import latency_models
import search_spaces
from nas import compressors, feasibility, footprint, landscapes, power
from nas.core import plugins
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.device import DeviceProfile
from nas.core.errors import DeviceError
from nas.core.landscape import Landscape
from nas.core.latency import LatencyModel, estimate
from nas.core.network import NetworkSpec
from nas.core.space import SearchSpace
from nas.settings import RunSettings
from search_spaces import blocks


@dataclass(frozen=True, slots=True)
class Question:
    """A run's settings with every name in them found; nothing is known of the images yet."""

    settings: RunSettings
    device: DeviceProfile
    model: LatencyModel
    space: SearchSpace
    budget: Budget

    def about(self, channels: int, classes: int) -> "Problem":
        """The problem for images of `channels` channels in `classes` classes.

        Raises:
            InfeasibleBudgetError: no network of the space fits the budget.
        """
        findings = feasibility.check(self.space, self.model, self.budget, channels, classes, power.of(self.device, self.model.target))
        return Problem(self.settings, self.device, self.model, self.space, self.budget, channels, classes, findings)


@dataclass(frozen=True, slots=True)
class Problem:
    """A question that has an answer. `findings` are remarks on the budget that the user must see."""

    settings: RunSettings
    device: DeviceProfile
    model: LatencyModel
    space: SearchSpace
    budget: Budget
    channels: int
    classes: int
    findings: tuple[str, ...]

    @property
    def power_w(self) -> float | None:
        """Watts that were measured beside the latencies; None where none were."""
        return power.of(self.device, self.model.target)

    def network(self, architecture: Architecture) -> NetworkSpec:
        """The network that `architecture` stands for on these images."""
        return self.space.network(architecture, self.channels, self.classes)

    def price(self, architecture: Architecture) -> Costs:
        """What `architecture` costs on the device, at the precision that the device's latencies are known for."""
        network = self.network(architecture)
        return footprint.costs(network, estimate(self.model, network).total, self.model.target.precision, self.power_w)

    def landscape(self) -> Landscape:
        """Costs of all architectures, for strategies: what `price` says of one, for many at once."""
        costs = landscapes.CostTable.of(self.space, self.model, self.channels, self.classes, self.power_w)
        return landscapes.of_space(costs, self.model, self.budget, self.channels, self.classes)

    def macs(self, architecture: Architecture) -> int:
        """Multiply-accumulates of `architecture`."""
        return blocks.macs(self.network(architecture))


def ask(settings: RunSettings) -> Question:
    """The question that `settings` ask; reads no data.

    Raises:
        NasError: there is no device, space or strategy of the name given, the device cannot be priced as asked, no file of
            that precision can be made for it, or its energy is limited and nobody measured its power.
    """
    device = hardware_profiles.load(settings.device)
    space = search_spaces.load(settings.space)
    plugins.find("nas.strategies", settings.strategy, "strategy")
    model = latency_models.load(device, settings.precision, settings.runtime, settings.threads, space.key)
    _require_files(device, model.target.precision)
    budget = Budget(settings.budget_ms, settings.max_size_mb, settings.max_memory_mb, settings.max_energy_mj)
    if budget.energy_mj is not None:
        power.require(device, model.target)
    return Question(settings, device, model, space, budget)


def _require_files(device: DeviceProfile, precision: str) -> None:
    """Raises unless a pick can become a file of `precision`: every network is exported in fp32, compressors make the others.

    Raises:
        DeviceError: none of the device's compressors does; names them and where they are listed.
    """
    made = [compressors.load(name).step for name in device.compressors]
    if precision not in ("fp32", *made):
        raise DeviceError(
            f"{device.name} has {precision} latencies, but no compressor that makes {precision} files "
            f"(compressors in {device.path}: {', '.join(device.compressors) or 'none'}): add one there, or search in fp32"
        )
