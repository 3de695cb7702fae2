"""The search of the comparison: the project's own, on validation accuracy with shared weights, and the best of its front."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.fashion_lib import images
from nas.core.errors import StudyError
from nas.display import Display
from nas.files import atomic_write

if TYPE_CHECKING:
    from nas.data import ImageData
    from nas.records import Record
    from nas.supernet import Supernet

NO_LIMIT_MS = 10_000.0
"""A latency budget that every network here meets: multiply-accumulates are what is limited."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for: `max_macs` limits networks, `objectives` are traded off, with latencies of `device`."""

    device: str
    max_macs: float
    objectives: str
    strategy: str
    trials: int
    picks: int
    seed: int
    calibration_images: int
    validation_images: int


def search(question: Question, supernet: "Supernet", data: "ImageData", out: Path, workers: int, display: Display) -> None:
    """Searches until `question.trials` networks are evaluated, and keeps the best of the front as `picks_of(out)`.

    The study lies in a folder of its own for each set of shared weights, and goes on from there.

    Raises:
        NasError: the study was begun with another question, or no network of the space is within the limit.
    """
    from nas import pipeline
    from nas.problem import ask, named
    from nas.run_folder import RunFolder
    from nas.settings import RunSettings

    weights = images.digest(supernet)
    settings = RunSettings(
        device=question.device,
        budget_ms=NO_LIMIT_MS,
        max_macs=question.max_macs,
        objectives=question.objectives,
        data=data.name,
        space=supernet.space.name,
        strategy=question.strategy,
        seed=question.seed,
        trials=question.trials,
        picks=question.picks,
        weights=weights,
        calibration_images=question.calibration_images,
        validation_images=question.validation_images,
    )
    problem = ask(settings).about(data.channels, len(data.classes))
    for sentence in problem.overview():
        display.say(sentence)
    folder = RunFolder(out / f"search-{weights}")
    with folder.claim(problem.settings, False, named), folder.timed("search"):
        records = pipeline.explore(problem, supernet, data, pipeline.Execution(workers=workers), folder, display)
    front = problem.objectives.front(
        [record for record in records if record.eligible and not record.rejected], lambda one: one.accuracy, lambda one: one.costs
    )
    best = best_of(front, question.picks)
    found = {
        "supernet": weights,
        "supernet_training": images.provenance(images.weights_of(out)),
        "data": data.name,
        "channels": data.channels,
        "classes": len(data.classes),
        "space": supernet.space.key,
        "max_macs": question.max_macs,
        "objectives": question.objectives,
        "strategy": question.strategy,
        "latencies": str(problem.model.target),
        "evaluated": sum(record.evaluation is not None for record in records),
        "validation_images": min(question.validation_images, len(data.validation)),
        "seconds": folder.seconds().get("search"),
        "front": [line(record) for record in front],
        "picks": [line(record) for record in best],
    }
    atomic_write(picks_of(out), json.dumps(found, indent=1) + "\n")


def best_of(front: "list[Record]", picks: int) -> "list[Record]":
    """The `picks` members with the best accuracy, the best one first; of equal ones the one with fewer multiply-accumulates."""
    return sorted(front, key=lambda record: (-record.accuracy, record.macs))[:picks]


def line(record: "Record") -> dict[str, Any]:
    """What is told of a network that was found."""
    return {
        "id": record.architecture.id,
        "genes": list(record.architecture.genes),
        "macs": record.macs,
        "inherited_validation": record.accuracy,
        "predicted_ms": record.latency.ms,
    }


def read(out: Path) -> dict[str, Any]:
    """What `search` kept.

    Raises:
        StudyError: it has not ended yet.
    """
    path = picks_of(out)
    if not path.exists():
        raise StudyError(f"nothing was picked in {out}: run the search command first")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def require_same(found: Mapping[str, Any], weights: str, out: Path) -> None:
    """Nothing, if what was `found` was found with the shared weights of that digest.

    Raises:
        StudyError: it was found with others.
    """
    if found["supernet"] != weights:
        raise StudyError(
            f"the picks in {out} were found with the shared weights {found['supernet']}, now there are {weights}: search again"
        )


def picks_of(out: Path) -> Path:
    """Where the networks that were picked are kept in the folder `out`."""
    return out / "picks.json"
