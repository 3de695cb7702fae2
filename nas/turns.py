"""Searches for several devices that take turns in one executor, so that each goes on from what the others found out.

Accuracies do not depend on the device: what one search has evaluated, the others learn before their next turn, and never evaluate
again. Only of an evaluation that was stopped early they do not: it says that there is something better for that device alone.

Which turns are over is read off the studies, so a run that was killed goes on within the turn that it was in.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from nas.core.architecture import Architecture
from nas.core.errors import StudyError
from nas.core.evaluation import Evaluation
from nas.records import Candidate, Record
from nas.study import SearchStudy

TURN = 12
"""Evaluations of a turn, at least."""


def ends(trials: int) -> Iterator[int]:
    """Numbers of a study's own evaluations after which the next one has its turn: 12, 24, 36, 48, 60, 75, ..., `trials`.

    The more there are, the longer a turn, since opening a study takes as long as it is.
    """
    end = 0
    while end < trials:
        end = min(trials, end + max(TURN, end // 4))
        yield end


Known = Sequence[tuple[Architecture, Evaluation]]
"""What was evaluated elsewhere."""


@dataclass(frozen=True, slots=True)
class Member:
    """One of the searches, by the name of its device.

    `open` gives its study, to go on until it has so many evaluations of its own, with what others evaluated.
    """

    name: str
    open: Callable[[int, Known], SearchStudy]


class Turns:
    """The searches of `members` as one, for an executor: asks, tells, and never evaluates. Each makes `trials` evaluations."""

    def __init__(self, members: Sequence[Member], trials: int) -> None:
        self._members, self._trials = members, trials
        studies = [member.open(trials, ()) for member in members]
        self._records: list[Sequence[Record]] = [study.records for study in studies]
        self._own = [study.evaluated for study in studies]
        turns = itertools.product(ends(trials), range(len(members)))
        self._left = deque((end, number) for end, number in turns if self._own[number] < end)
        self._turn = 0
        self._study: SearchStudy | None = None
        self._numbers = itertools.count()
        self._asked: dict[int, int] = {}

    @property
    def done(self) -> bool:
        """Whether nothing is left to evaluate."""
        return self._study is None and not self._left

    @property
    def evaluated(self) -> int:
        """Evaluations so far that searches made themselves, of all together."""
        return sum(self._own)

    @property
    def turn(self) -> Member:
        """Whose turn it is, or was last."""
        return self._members[self._turn]

    def ask(self) -> Candidate | None:
        """The next candidate of the search whose turn it is; None at the end, and while a turn waits for its last results.

        Raises:
            StudyError: its strategy keeps proposing what is known or out of budget.
        """
        while self._study is not None or self._left:
            if self._study is None:
                self._begin(*self._left.popleft())
                continue
            candidate = self._next(self._study)
            if candidate is not None:
                number = next(self._numbers)
                self._asked[number] = candidate.number
                return replace(candidate, number=number)
            if self._asked:
                return None
            self._records[self._turn] = self._study.records
            self._study = None
        return None

    def tell(self, number: int, evaluation: Evaluation) -> None:
        """Records the evaluation of the candidate `number`, durably."""
        assert self._study is not None, "a turn does not end before its results are there"
        self._study.tell(self._asked.pop(number), evaluation)
        self._own[self._turn] = self._study.evaluated

    def fail(self, number: int, reason: str) -> None:
        """Records that the candidate `number` could not be evaluated."""
        assert self._study is not None, "a turn does not end before its results are there"
        self._study.fail(self._asked.pop(number), reason)

    def settled(self) -> list[Sequence[Record]]:
        """What each study holds when all have learned from all; to be asked for when nothing is left to evaluate."""
        for number, member in enumerate(self._members):
            self._records[number] = member.open(self._trials, self._known(number)).records
        return self._records

    def _next(self, study: SearchStudy) -> Candidate | None:
        """The study's next candidate; None too where all that there is within its budget is known, thanks to the others.

        Raises:
            StudyError: its strategy has nothing new, and less than was asked for is known.
        """
        try:
            return study.ask()
        except StudyError as error:
            if sum(one.eligible for one in study.records) < self._trials:
                raise StudyError(f"{self.turn.name}: {error}") from None
            self._left = deque((end, number) for end, number in self._left if number != self._turn)
            return None

    def _begin(self, end: int, number: int) -> None:
        self._turn = number
        self._study = self._members[number].open(end, self._known(number))

    def _known(self, number: int) -> Known:
        """What the other searches have evaluated to the end, in their order."""
        found: dict[Architecture, Evaluation] = {}
        for other, told in enumerate(self._records):
            if other != number:
                found |= {one.architecture: one.evaluation for one in told if one.evaluation and not one.rejected}
        return list(found.items())
