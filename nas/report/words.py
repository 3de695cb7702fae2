"""Numbers and terms as a reader without a background in architecture search wants to see them."""

import math

from nas.core.budget import Budget
from nas.core.latency import LatencyEstimate
from nas.core.units import format_macs

ORIGINS = {
    "measured": "made from timings taken on the device itself, with the runtime named beside it",
    "calibrated": "predicted by a model fitted to timings of this device, published ones or those of this run; not timed itself",
    "estimated": "predicted by a model for parts of a network that nobody timed on this device; treat it as a forecast",
}
"""What each of `nas.core.latency.ORIGINS` means, to follow "calibrated: "."""

GIVEN = "read from a table that somebody else made; how it was found out is for the table to say"
"""What the origin "given" means, that of figures which a table of evaluated architectures has."""

METRICS = {
    "latency": "latency of one image, ms",
    "size": "model file, MB",
    "memory": "memory, MB",
    "energy": "energy of one image, mJ",
    "macs": "multiply-accumulates",
}
"""What an axis says of each of `nas.core.budget.METRICS`."""

VERSIONS = {
    "fp32": "full precision, fine-tuned",
    "pruned": "fp32 with its least useful channels removed",
    "int8": "weights and activations in 8-bit integers",
    "fp16": "weights and activations in 16-bit floats",
    "pruned_int8": "pruned, then in 8-bit integers",
    "pruned_fp16": "pruned, then in 16-bit floats",
}
"""What each version of a network is."""

TERMS = {
    "Accuracy": "Share of images put into the right class. "
    "Validation images steered the choice; test images are read once, for this report.",
    "Latency": "Time for one image, from input tensor to scores. It always comes with bounds and with its origin.",
    "Budget": "The limits asked for: latency and, where given, file size, memory, energy and MACs. A network is within them only if "
    "the upper bounds of its latency and energy are.",
    "Peak memory": "The most that the activations of one image take at a time, predicted from when each is written and read last. "
    "Weights, and what a runtime takes for itself, come on top.",
    "Energy": "Measured power times latency; not stated where nobody measured the power.",
    "MACs": "Multiply-accumulate operations for one image: work, not time.",
    "Parameters": "Learned numbers in the network.",
    "Pareto front": "The networks that nobody beats: every other one is slower, less accurate, or both.",
    "Shared weights": "During the search all candidates borrow the weights of one large network, which ranks them cheaply. "
    "Picks are then fine-tuned on their own, so their accuracy rises.",
}
"""Words that the page uses."""


def percent(share: float, digits: int = 1) -> str:
    """`share`, from 0 to 1, as a percentage: "88.3 %"."""
    return f"{100 * share:.{digits}f} %"


def milliseconds(ms: float) -> str:
    """Three significant digits with the unit: "18.4 ms", "0.324 ms"."""
    return f"{_three_digits(ms)} ms"


def limit(ms: float) -> str:
    """A latency that somebody asked for, as it was asked: "20 ms"."""
    return f"{ms:g} ms"


def limits(budget: Budget) -> str:
    """Every limit that somebody asked for, as it was asked: "20 ms, 4 MB on disk"."""
    said = [limit(budget.latency_ms)]
    said += [f"{budget.size_mb:g} MB on disk"] if budget.size_mb is not None else []
    said += [f"{budget.memory_mb:g} MB of memory"] if budget.memory_mb is not None else []
    said += [f"{budget.energy_mj:g} mJ"] if budget.energy_mj is not None else []
    said += [format_macs(budget.macs)] if budget.macs is not None else []
    return ", ".join(said)


def memory(memory_mb: float | None) -> str:
    """A peak of memory: "1.25 MB", "83 kB"; "not known" where it was not predicted."""
    return "not known" if memory_mb is None else size(memory_mb)


def energy(energy_mj: float | None) -> str:
    """An energy: "12.3 mJ", "0.324 mJ"; "not measured" where no power was."""
    return "not measured" if energy_mj is None else f"{_three_digits(energy_mj)} mJ"


def bounds(latency: LatencyEstimate) -> str:
    """The interval alone: "4.91 to 5.63 ms"."""
    return f"{_three_digits(latency.total.low_ms)} to {_three_digits(latency.total.high_ms)} ms"


def count(number: int) -> str:
    """A large number, short: "12.4 M"."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{_three_digits(number / scale)} {letter}"
    return str(number)


def size(size_mb: float) -> str:
    """A file's size: "1.25 MB", "83 kB"."""
    return f"{_three_digits(size_mb)} MB" if size_mb >= 1 else f"{size_mb * 1000:.0f} kB"


def duration(seconds: float) -> str:
    """Wall time: "4.2 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def cost(metric: str, value: float) -> str:
    """A value of one of `METRICS` with its unit: "18.4 ms", "12.4 M MACs"."""
    units = {"latency": milliseconds, "size": size, "memory": size, "energy": energy}
    return f"{count(round(value))} MACs" if metric == "macs" else units[metric](value)


def worth(value: float, share: bool) -> str:
    """An accuracy or a score: "75.31 %" where it is a share of images, else five digits as they are: "92.847"."""
    return percent(value, 2) if share else f"{value:.5g}"


def reached(share: float) -> str:
    """A share that is not called whole unless it is: "97.31 %", "99.99 %", "100 %"."""
    return "100 %" if share >= 1 - 1e-9 else f"{min(100 * share, 99.99):.2f} %"


def folded(text: str, width: int = 72) -> str:
    """`text`, a list between commas, with a line break of HTML wherever a line would be longer than `width`."""
    lines = [""]
    for part in text.split(", "):
        fits = len(lines[-1]) + len(part) <= width
        lines = [*lines[:-1], f"{lines[-1]}, {part}"] if lines[-1] and fits else [*lines, part]
    return ",<br>".join(lines[1:])


def points(after: float, before: float) -> str:
    """Difference of two accuracies in percentage points: "−0.4 pt", "±0.0 pt"."""
    return f"{_signed(100 * (after - before), 1)} pt"


def change(after: float, before: float) -> str:
    """Relative difference: "−74 %"; empty where `before` is 0."""
    return f"{_signed(100 * (after / before - 1), 0)} %" if before else ""


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    return ("±" if not float(text) else "+" if value > 0 else "−") + text


def _three_digits(value: float) -> str:
    if value <= 0:
        return "0"
    value = float(f"{value:.3g}")
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"
