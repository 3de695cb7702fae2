"""A device that answers at once: what was timed, in which order, and how it can fail."""

from dataclasses import dataclass, field

from hardware_profiles import table_file
from latency_models.hosts import ConnectionLostError, HostFacts, Report
from nas.core.space import Choice, SearchSpace, Stage
from nas.measuring.job import Plan

TINY = SearchSpace(
    name="tiny",
    resolutions=(8,),
    stem_width=8,
    stem_stride=2,
    stem_activation="relu",
    stages=(
        Stage(
            widths=(16,), depths=(1, 2), stride=1, choices=(Choice("mbconv", 3, 2), Choice("shuffle_unit", 3)), se=False, activation="relu"
        ),
    ),
    head_width=16,
    head_activation="hard_swish",
)
PLAN = Plan(passes=2, networks=4, held_out=1, relative_width=0.5, max_seconds=0.01)


def report(model, ms, **changed):
    plain = dict.fromkeys(Report.__dataclass_fields__, None) | {
        "model": str(model),
        "median_ms": ms,
        "p10_ms": ms,
        "min_ms": ms,
        "p95_ms": 2 * ms,
        "runs": 10,
        "undisturbed": 0.9,
        "governor": "",
    }
    return Report(**(plain | changed))


@dataclass
class FakeHost:
    """Times every file as `ms(path, number of the timing)`, never calm at those in `disturbed`; is cut off after `limit` timings."""

    ms: object = lambda path, count: 1.0 + count / 10_000
    limit: int | None = None
    runtimes: dict = field(default_factory=lambda: {"onnxruntime": "1.17.0"})
    machine: str = "A board, aarch64, 4 cores"
    timed: list = field(default_factory=list)
    changed: dict = field(default_factory=dict)
    disturbed: tuple = ()
    providers: tuple = ("CPUExecutionProvider",)
    name: str = "fake"

    def facts(self):
        return HostFacts(self.machine, 4, "3.6.9", self.runtimes, self.providers, 1000.0)

    def stream(self, models, request):
        for path in models:
            if self.limit is not None and len(self.timed) >= self.limit:
                raise ConnectionLostError("the connection was cut")
            self.timed.append(path.name)
            calm = {"undisturbed": 0.0} if len(self.timed) in self.disturbed else {}
            yield report(path, self.ms(path, len(self.timed)), **(self.changed | calm))

    def close(self):
        pass


THIS = table_file.machine()
