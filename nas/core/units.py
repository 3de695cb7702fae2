"""Quantities as people write them ("20ms", "4MB") to plain numbers in the unit that our names carry."""

import re
from collections.abc import Mapping

from nas.core.errors import UnitError

_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_QUANTITY = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([a-zA-Zµ]*)\s*$")


def parse_latency_ms(text: str) -> float:
    """Milliseconds meant by `text`, such as "20ms", "0.02s" or "500us".

    Raises:
        UnitError: no number, no unit, an unknown unit, or not above zero.
    """
    return _parse(text, _MILLISECONDS, "a latency", "20ms, 0.02s or 500us")


def format_latency(latency_ms: float) -> str:
    """`latency_ms` as a person would write it, with its unit: "6.41 ms"."""
    return f"{latency_ms:.2f} ms" if latency_ms >= 0.1 else f"{latency_ms * 1e3:.1f} µs"


def _parse(text: str, factors: Mapping[str, float], what: str, forms: str) -> float:
    match = _QUANTITY.match(text)
    if match is None:
        raise UnitError(f"{text!r} is not {what}: write a number and a unit, such as {forms}")
    number, unit = match.groups()
    if unit not in factors:
        found = f"the unit {unit!r} is unknown" if unit else "the unit is missing"
        raise UnitError(f"{text!r} is not {what}: {found}; write it as {forms}")
    value = float(number) * factors[unit]
    if not 0 < value < float("inf"):
        raise UnitError(f"{text!r} is not {what}: it must be above zero and finite, such as {forms}")
    return value
