"""A point of a search space, in a form in which equal networks are equal values."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """Genes of one network; made by `SearchSpace.architecture`, which zeroes the genes that have no effect.

    `space` is `name@digest`: an architecture of a changed space is another architecture.
    """

    space: str
    genes: tuple[int, ...]

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits of the content: the same in every process and on every machine."""
        return hashlib.sha256(f"{self.space}:{','.join(map(str, self.genes))}".encode()).hexdigest()[:12]
