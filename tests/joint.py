"""A tiny space with precision and pruning as genes, and a device that is faster in int8."""

from dataclasses import dataclass, replace

from nas.core.device import RuntimeTarget
from nas.core.latency import BlockPrice, Interval
from nas.core.network import BlockSpec
from nas.joint_landscape import JointPrices
from nas.joint_space import JointSpace
from search_spaces import blocks
from tests.tiny import SPACE, TARGET, Device

PRECISIONS, KEEPS = ("fp32", "int8"), (1.0, 0.75, 0.5)
JOINT = JointSpace(SPACE, PRECISIONS, KEEPS)
INT8 = replace(TARGET, precision="int8")


@dataclass(frozen=True)
class Integers(Device):
    """The same device in int8: a million MACs take 0.5 ms, but every block costs a microsecond more."""

    target: RuntimeTarget = INT8

    def block(self, spec: BlockSpec) -> BlockPrice:
        ms = 0.001 + 0.5 * sum(operator.macs for operator in blocks.operators(spec)) / 1e6
        return BlockPrice(Interval(ms, 0.9 * ms, 1.2 * ms), ms)


def prices(space=JOINT, power_w=(None, None)):
    """The prices of a joint space of fp32 and int8 on that device."""
    return JointPrices(space, (Device(), Integers()), power_w)
