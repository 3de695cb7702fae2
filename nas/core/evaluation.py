"""What was found out about one architecture."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measured facts of one candidate, on validation data.

    `accuracy` is between 0 and 1. `macs` are those of convolutions and linear layers, `params` those of the extracted network;
    `uncounted` names the operators that fvcore, which counts the picks, has no count for. `seconds` is what the evaluation
    took. `rejected_after` is the number of validation images after which it was stopped, since another candidate is
    better in everything beyond reasonable doubt: then `accuracy` is an estimate from these alone. 0: it was not stopped.
    """

    accuracy: float
    macs: int
    params: int
    uncounted: tuple[str, ...]
    seconds: float
    rejected_after: int = 0
