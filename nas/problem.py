"""What a run asks, loaded and checked: all that can be known before anything is trained. Imports no torch."""

from dataclasses import dataclass

import hardware_profiles
import latency_models
import search_spaces
from nas import feasibility
from nas.core import plugins
from nas.core.architecture import Architecture
from nas.core.budget import Budget
from nas.core.device import DeviceProfile
from nas.core.latency import LatencyEstimate, LatencyModel, estimate
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
        findings = feasibility.check(self.space, self.model, self.budget, channels, classes)
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

    def network(self, architecture: Architecture) -> NetworkSpec:
        """The network that `architecture` stands for on these images."""
        return self.space.network(architecture, self.channels, self.classes)

    def price(self, architecture: Architecture) -> LatencyEstimate:
        """Latency of `architecture` on the device."""
        return estimate(self.model, self.network(architecture))

    def macs(self, architecture: Architecture) -> int:
        """Multiply-accumulates of `architecture`."""
        return blocks.macs(self.network(architecture))


def ask(settings: RunSettings) -> Question:
    """The question that `settings` ask; reads no data.

    Raises:
        NasError: there is no device, space or strategy of the name given, or the device cannot be priced.
    """
    device = hardware_profiles.load(settings.device)
    space = search_spaces.load(settings.space)
    plugins.find("nas.strategies", settings.strategy, "strategy")
    return Question(settings, device, latency_models.load(device), space, Budget(settings.budget_ms))
