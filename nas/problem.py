"""What a run asks, loaded and checked: all that can be known before anything is trained. Imports no torch."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import hardware_profiles
import latency_models
import search_spaces
from latency_models import pricing
from nas import compressors, feasibility, footprint, joint_space, joint_targets, landscapes, power
from nas.core import plugins
from nas.core.architecture import Architecture
from nas.core.budget import Budget, Costs
from nas.core.device import DeviceProfile
from nas.core.errors import DeviceError
from nas.core.landscape import Genes, Landscape
from nas.core.latency import Interval, LatencyModel, estimate
from nas.core.network import NetworkSpec
from nas.core.objectives import Objectives
from nas.core.space import SearchSpace
from nas.core.survey import Survey
from nas.joint_landscape import JointPrices
from nas.joint_space import JointSpace
from nas.settings import RunSettings
from search_spaces import blocks


@dataclass(frozen=True, slots=True)
class Question:
    """A run's settings with every name in them found; nothing is known of the images yet.

    `joint` has the prices where precision and pruning are genes; `model` is then that of the first precision.
    """

    settings: RunSettings
    device: DeviceProfile
    model: LatencyModel
    space: SearchSpace
    budget: Budget
    joint: JointPrices | None = None

    def about(self, channels: int, classes: int) -> "Problem":
        """The problem for images of `channels` channels in `classes` classes.

        Raises:
            InfeasibleBudgetError: no network of the space fits the budget.
        """
        given = self.settings, self.device, self.model, self.space, self.budget, channels, classes
        problem = Problem(*given, (), joint=self.joint)
        return replace(problem, findings=problem.check())


@dataclass(frozen=True, slots=True)
class Problem:
    """A question that has an answer. `findings` are remarks on the budget that the user must see.

    `timed` are latencies of whole networks that were measured on the device: what a network in it costs, whatever the model says.
    Shared weights and tables are those of `space`; where precision and pruning are genes (`joint`), architectures are not its own.
    """

    settings: RunSettings
    device: DeviceProfile
    model: LatencyModel
    space: SearchSpace
    budget: Budget
    channels: int
    classes: int
    findings: tuple[str, ...]
    timed: Mapping[Architecture, Interval] = field(default_factory=dict)
    joint: JointPrices | None = None

    @property
    def searched(self) -> SearchSpace | JointSpace:
        """The space that is searched."""
        return self.joint.space if self.joint else self.space

    def plain(self, architecture: Architecture) -> Architecture:
        """The architecture of `space` that this one is a version of; itself where precision and pruning are no genes."""
        return self.joint.space.plain(architecture) if self.joint else architecture

    def version(self, architecture: Architecture) -> str:
        """The version of a pick that `architecture` means, such as "pruned_int8"; "" where precision and pruning are no genes."""
        return self.joint.space.version(architecture) if self.joint else ""

    @property
    def price_list(self) -> str:
        """Tells prices apart that differ in a few timed networks alone; "" where none was timed."""
        told = sorted((architecture.id, latency.ms, latency.low_ms, latency.high_ms) for architecture, latency in self.timed.items())
        return f"{len(told)} timed {hashlib.sha256(repr(told).encode()).hexdigest()[:12]} " if told else ""

    @property
    def objectives(self) -> Objectives:
        """What the search is to better."""
        return Objectives.parse(self.settings.objectives)

    @property
    def power_w(self) -> float | None:
        """Watts that were measured beside the latencies; None where none were."""
        return power.of(self.device, self.model.target)

    @property
    def models(self) -> tuple[LatencyModel, ...]:
        """What prices networks: one model, or one for each precision where that is a gene."""
        return self.joint.models if self.joint else (self.model,)

    def model_of(self, architecture: Architecture) -> LatencyModel:
        """What prices `architecture`."""
        return self.joint.model(architecture) if self.joint else self.model

    def at(self, models: tuple[LatencyModel, ...], timed: Mapping[Architecture, Interval]) -> "Problem":
        """The problem at the prices of other `models`, but for the networks that were `timed`."""
        return replace(self, model=models[0], joint=replace(self.joint, models=models) if self.joint else None, timed=timed)

    def predicted(self, genes: Genes) -> pricing.Prices:
        """Latencies of the architectures with `genes` (n, genes), in canonical form, as the models predict them."""
        if self.joint:
            return self.joint.latencies(genes, self.channels, self.classes)
        return self._costs().latency.price(genes)

    def check(self) -> tuple[str, ...]:
        """Sentences that the user must know about the budget.

        Raises:
            InfeasibleBudgetError: no network is within it.
        """
        if self.joint:
            return self.joint.check(self.budget, self.channels, self.classes)
        return feasibility.check(self.space, self.model, self.budget, self.channels, self.classes, self.power_w)

    def network(self, architecture: Architecture) -> NetworkSpec:
        """The network that `architecture` stands for on these images."""
        return self.searched.network(architecture, self.channels, self.classes)

    def price(self, architecture: Architecture) -> Costs:
        """What `architecture` costs on the device, at the precision that the device's latencies are known for."""
        timed = self.timed.get(architecture)
        if self.joint:
            return self.joint.price(architecture, self.channels, self.classes, timed)
        network = self.network(architecture)
        latency = timed or estimate(self.model, network).total
        return footprint.costs(network, latency, self.model.target.precision, self.power_w)

    def landscape(self) -> Landscape:
        """Costs of all architectures, for strategies: what `price` says of one, for many at once."""
        if self.joint:
            return self.joint.landscape(self.budget, self.channels, self.classes, self.objectives, self.timed)
        costs = self._costs().knowing({architecture.genes: latency for architecture, latency in self.timed.items()})
        return landscapes.of_space(costs, self.model, self.budget, self.channels, self.classes, self.objectives)

    def _costs(self) -> landscapes.CostTable:
        return landscapes.CostTable.of(self.space, self.model, self.channels, self.classes, self.power_w)

    def overview(self) -> tuple[str, ...]:
        """What the space costs on the device, and how much of it is within the budget, in lines for the user."""
        if self.joint:
            return self.joint.overview(self.budget, self.channels, self.classes)
        return landscapes.overview(self._costs(), self.model, self.budget, self.channels, self.classes)

    def survey(self) -> Survey:
        """The same as a value; not where precision and pruning are genes."""
        return landscapes.exact_survey(self._costs(), self.model, self.budget, self.channels, self.classes)

    def macs(self, architecture: Architecture) -> int:
        """Multiply-accumulates of `architecture`."""
        return blocks.macs(self.network(architecture))


def ask(settings: RunSettings) -> Question:
    """The question that `settings` ask; reads no data.

    Raises:
        NasError: there is no device, space, strategy or objective of the name given, the device cannot be priced as asked, no file of
            that precision can be made for it, or its energy is limited and nobody measured its power; of several precisions, of one.
    """
    budget, objectives = settings.budget, Objectives.parse(settings.objectives)
    device = hardware_profiles.load(settings.device)
    space = search_spaces.load(settings.space)
    plugins.find("nas.strategies", settings.strategy, "strategy")
    with_energy = budget.energy_mj is not None or "energy" in objectives.costs
    joined = joint_space.joined(space, settings.precision, settings.keep)
    settings = _named(settings, device)
    if joined:
        joint = joint_targets.prices(device, joined, settings.runtime, settings.threads, with_energy, settings.confidence)
        return Question(settings, device, joint.models[0], space, budget, joint)
    model = latency_models.load(device, settings.precision, settings.runtime, settings.threads, space.key, settings.confidence)
    _require_files(device, model.target.precision)
    if with_energy:
        power.require(device, model.target)
    return Question(settings, device, model, space, budget)


def named(settings: RunSettings) -> RunSettings:
    """`settings` with the runtime and the threads that they leave open: those of the device's first target that is as asked.

    A search in a table has no device, and leaves none open.

    Raises:
        UnknownNameError: there is no such device.
        TargetMismatchError: the device has no such target.
        DeviceError: it has none that has all of several precisions.
    """
    return settings if settings.table else _named(settings, hardware_profiles.load(settings.device))


def _named(settings: RunSettings, device: DeviceProfile) -> RunSettings:
    precisions, keeps = joint_space.asked(settings.precision, settings.keep)
    asked = settings.runtime, settings.threads
    if joint_space.is_joint(precisions, keeps):
        target = joint_targets.first(device, precisions, *asked)
        genes = {"precision": ",".join(precisions), "keep": ",".join(f"{keep:g}" for keep in keeps)}
    else:
        target = latency_models.choose(device, settings.precision, *asked).target
        genes = {"keep": ""}
    return settings.model_copy(update={"runtime": target.runtime, "threads": target.threads, **genes})


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
