"""A policy over architectures: every gene drawn by itself, with probabilities that learning changes."""

from dataclasses import dataclass

import numpy as np

from nas.core.landscape import Floats, Genes


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Logits of all options, one gene's after the other's; `starts` says where those of each gene begin."""

    options: tuple[int, ...]
    logits: Floats

    @classmethod
    def uniform(cls, options: tuple[int, ...]) -> "Policy":
        """Every option as likely as the others of its gene."""
        return cls(options, np.zeros(sum(options)))

    @property
    def starts(self) -> np.ndarray:
        """Place of each gene's first option."""
        return np.concatenate([[0], np.cumsum(self.options)[:-1]]).astype(np.int64)

    def probabilities(self) -> Floats:
        """Of all options, (options of all genes,); those of a gene add up to 1."""
        owner = np.repeat(np.arange(len(self.options)), self.options)
        highest = np.maximum.reduceat(self.logits, self.starts)
        raised = np.exp(self.logits - highest[owner])
        return raised / np.add.reduceat(raised, self.starts)[owner]

    def chosen(self, genes: Genes) -> Floats:
        """Ones (n, options of all genes) where an architecture of `genes` (n, genes) has the option."""
        rows = np.zeros((len(genes), len(self.logits)))
        np.put_along_axis(rows, genes + self.starts, 1.0, axis=1)
        return rows

    def draw(self, count: int, rng: np.random.Generator) -> Genes:
        """Genes (count, genes) at random, by the Gumbel trick."""
        noisy = self.logits - np.log(-np.log(rng.random((count, len(self.logits)))))
        parts = np.split(noisy, self.starts[1:], axis=1)
        return np.stack([part.argmax(axis=1) for part in parts], axis=1).astype(np.int32)
