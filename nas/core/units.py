"""Quantities as people write them ("20ms", "4MB") to plain numbers in the unit that our names carry."""

import re
from collections.abc import Mapping

from nas.core.errors import UnitError

_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_MEGABYTES = {"B": 1e-6, "kB": 1e-3, "KB": 1e-3, "KiB": 2**10 / 1e6, "MB": 1.0, "MiB": 2**20 / 1e6, "GB": 1e3, "GiB": 2**30 / 1e6}
_MILLIJOULES = {"uJ": 1e-3, "µJ": 1e-3, "mJ": 1.0, "J": 1e3}
_NUMBERS = {"k": 1e3, "M": 1e6, "G": 1e9}
_QUANTITY = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([a-zA-Zµ]*)\s*$")


def parse_latency_ms(text: str) -> float:
    """Milliseconds meant by `text`, such as "20ms", "0.02s" or "500us".

    Raises:
        UnitError: no number, no unit, an unknown unit, or not above zero.
    """
    return _parse(text, _MILLISECONDS, "a latency", "20ms, 0.02s or 500us")


def parse_size_mb(text: str) -> float:
    """Megabytes (10^6 bytes) meant by `text`, such as "4MB", "512kB" or "4MiB" (4 x 2^20 bytes).

    Raises:
        UnitError: no number, no unit, an unknown unit, or not above zero.
    """
    return _parse(text, _MEGABYTES, "a size", "4MB, 512kB or 4MiB")


def parse_energy_mj(text: str) -> float:
    """Millijoules meant by `text`, such as "50mJ", "0.05J" or "800uJ".

    Raises:
        UnitError: no number, no unit, an unknown unit, or not above zero.
    """
    return _parse(text, _MILLIJOULES, "an energy", "50mJ, 0.05J or 800uJ")


def parse_macs(text: str) -> float:
    """Multiply-accumulates meant by `text`, such as "10M", "600k" or "1.5G".

    Raises:
        UnitError: no number, no unit, an unknown unit, or not above zero.
    """
    return _parse(text, _NUMBERS, "a number of multiply-accumulates", "10M, 600k or 1.5G")


def format_latency(latency_ms: float, exact: bool = False) -> str:
    """`latency_ms` as a person would write it, with its unit: "6.41 ms"; `exact` keeps what two decimals lose: "1.0302 ms"."""
    return _written(latency_ms, "ms", "µs", exact)


def format_size(size_mb: float, exact: bool = False) -> str:
    """`size_mb` as a person would write it, with its unit: "4.00 MB", "83.2 kB"; `exact` as for a latency."""
    return _written(size_mb, "MB", "kB", exact)


def format_energy(energy_mj: float, exact: bool = False) -> str:
    """`energy_mj` as a person would write it, with its unit: "50.00 mJ", "83.2 µJ"; `exact` as for a latency."""
    return _written(energy_mj, "mJ", "µJ", exact)


def format_macs(macs: float, exact: bool = False) -> str:
    """Multiply-accumulates as a person would write them: "12.3 M MACs", "640.0 k MACs"; `exact` as for a latency."""
    unit, factor = next(((unit, factor) for unit, factor in (("G", 1e9), ("M", 1e6)) if macs >= factor), ("k", 1e3))
    return f"{_digits(macs / factor, 1, exact)} {unit} MACs"


def _written(value: float, unit: str, small_unit: str, exact: bool) -> str:
    """`value` with two decimals, or below a tenth with one of the unit that is a thousandth."""
    return f"{_digits(value, 2, exact)} {unit}" if value >= 0.1 else f"{_digits(value * 1e3, 1, exact)} {small_unit}"


def _digits(value: float, decimals: int, exact: bool) -> str:
    text = f"{value:.{decimals}f}"
    return text if not exact or abs(float(text) - value) <= 1e-9 * value else f"{value:.7g}"


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
