"""Accuracy of architectures that have a precision and a share of hidden channels, with the supernet's weights and nothing trained.

Extract, re-calibrate, crop to the most important hidden channels, re-calibrate again, round numbers as the compressed file
will, score: what pruning and quantization cost is part of what the search sees.
"""

import math
from dataclasses import dataclass

from nas.accuracy.rounding import ROUNDED
from nas.accuracy.supernet import SupernetAccuracy
from nas.core.architecture import Architecture
from nas.core.evaluation import Evaluation
from nas.joint_space import JointSpace


@dataclass(frozen=True, slots=True)
class CompressedAccuracy:
    """A function from an architecture of `space` to its `Evaluation`; `whole` evaluates those of the space it is made from.

    A whole network in fp32 has exactly the evaluation that `whole` gives it.
    """

    space: JointSpace
    whole: SupernetAccuracy

    def __call__(self, architecture: Architecture, accuracy_to_beat: float = -math.inf) -> Evaluation:
        """Validation accuracy and counts of `architecture`; as `SupernetAccuracy`, given up when it is clearly beaten."""
        space, data, precision = self.space, self.whole.data, self.space.precision(architecture)
        pruned = space.network(architecture, data.channels, len(data.classes)) if space.keep(architecture) < 1.0 else None
        rounded = None if precision == "fp32" else ROUNDED[precision]
        return self.whole.evaluate(space.plain(architecture), accuracy_to_beat, pruned, rounded)
