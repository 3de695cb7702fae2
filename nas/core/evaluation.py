"""What was found out about one architecture."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measured facts of one candidate, on validation data.

    `accuracy` is between 0 and 1. `macs` and `params` are counted by fvcore on the extracted network;
    `uncounted` names the operators that it could not count. `seconds` is what the evaluation took.
    """

    accuracy: float
    macs: int
    params: int
    uncounted: tuple[str, ...]
    seconds: float
