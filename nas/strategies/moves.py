"""Steps from architectures to others: what evolution, local search and repairs have in common."""

from collections.abc import Container, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.core.landscape import Floats, Genes, Landscape, Mask
from nas.strategies.history import key

NEIGHBOURS = 48
"""Architectures looked at for each distance from one that cannot be proposed."""
ROUNDS = 12
"""Generations, at most, in which architectures within a tight budget are looked for."""


def mutated(parents: Genes, options: tuple[int, ...], changes: NDArray[Any], rng: np.random.Generator) -> Genes:
    """`parents` (n, genes) with `changes` (n,) of their genes, at least one, set to another option, as far as they have others."""
    free = np.flatnonzero(np.array(options) > 1)
    children = parents.copy()
    if not len(free):
        return children
    order = rng.random((len(parents), len(free))).argsort(axis=1)
    changed = np.empty((len(parents), len(free)), dtype=np.bool_)
    np.put_along_axis(changed, order, np.arange(len(free)) < np.maximum(changes, 1)[:, None], axis=1)
    count = np.array(options, dtype=np.int64)[free]
    shift = 1 + (rng.random((len(parents), len(free))) * (count - 1)).astype(np.int64)
    other = (parents[:, free] + shift) % count
    children[:, free] = np.where(changed, other, parents[:, free])
    return children


def crossed(first: Genes, second: Genes, rng: np.random.Generator) -> Genes:
    """Each gene from one of two parents (n, genes)."""
    return np.where(rng.random(first.shape) < 0.5, first, second)


def lawful(landscape: Landscape, genes: Genes) -> Genes:
    """Those of `genes` that are architectures, in canonical form, without repeats."""
    legal = genes[landscape.legal(genes)]
    found = landscape.nearest(legal)
    return found[distinct(found)]


def distinct(genes: Genes) -> NDArray[np.intp]:
    """Indices of the first of equal rows, by sums of a random number for every gene: ten times as fast as to compare rows.

    Of rows that differ, two have the same sum, and one is lost, with a chance of 1 in 10^19.
    """
    numbers = np.random.default_rng(genes.shape[1]).integers(0, 2**63, size=genes.shape[1], dtype=np.uint64)
    _, first = np.unique((genes.astype(np.uint64) * numbers).sum(axis=1), return_index=True)
    return first


def unseen(genes: Genes, seen: Container[bytes]) -> Mask:
    """Which of `genes` are not in `seen`."""
    return np.array([key(one) not in seen for one in genes], dtype=np.bool_)


def settle(landscape: Landscape, wanted: Genes, seen: Container[bytes], within_budget: bool, rng: np.random.Generator) -> Genes:
    """`wanted` (genes,), or an architecture near it that is legal, new and, if asked for, within the budget.

    Where none is found the last demand is given up first: a search that has seen all that fits may only repeat itself.
    """
    wanted = landscape.nearest(wanted[None])[0]
    if key(wanted) not in seen and (not within_budget or landscape.price(wanted[None]).feasible[0]):
        return wanted
    fallback = None if key(wanted) in seen else wanted
    for candidates in _around(landscape, wanted, rng):
        fresh = candidates[unseen(candidates, seen)]
        if not len(fresh):
            continue
        fits = landscape.price(fresh).feasible if within_budget else np.ones(len(fresh), dtype=np.bool_)
        if fits.any():
            far = (fresh != wanted).sum(axis=1) + rng.random(len(fresh))
            return np.asarray(fresh[int(np.where(fits, far, np.inf).argmin())], dtype=np.int32)
        fallback = fresh[rng.integers(len(fresh))] if fallback is None else fallback
    return wanted if fallback is None else fallback


def _around(landscape: Landscape, wanted: Genes, rng: np.random.Generator) -> Iterator[Genes]:
    """Groups of architectures further and further from `wanted`, at last all where these are few."""
    for changes in (1, 2, 3, 5):
        yield lawful(landscape, mutated(np.repeat(wanted[None], NEIGHBOURS, axis=0), landscape.options, np.full(NEIGHBOURS, changes), rng))
    yield landscape.draw(8 * NEIGHBOURS, rng)
    if landscape.everything is not None:
        yield landscape.everything


def feasible(landscape: Landscape, count: int, rng: np.random.Generator) -> Genes:
    """About `count` architectures at random, within the budget; where few draws are, those that evolve towards it from the starts.

    None where none is found.
    """
    count = max(count, 64)
    drawn = landscape.draw(count, rng)
    overrun = landscape.price(drawn).overrun
    found = drawn[overrun <= 0.0]
    if len(found) >= count // 4:
        return found
    parents = np.concatenate([landscape.starts, found, drawn[np.argsort(overrun, kind="stable")[: count // 8]]])
    for _ in range(ROUNDS):
        overrun = landscape.price(parents).overrun
        parents = parents[np.argsort(np.maximum(overrun, 0.0) + 1e-9 * rng.random(len(parents)), kind="stable")[: count // 8]]
        again = parents[rng.integers(len(parents), size=count)]
        parents = lawful(landscape, np.concatenate([parents, mutated(again, landscape.options, rng.integers(1, 4, size=count), rng)]))
        fits = landscape.price(parents).feasible
        if fits.sum() >= count // 4:
            break
    return parents[fits]


def anything(landscape: Landscape, rng: np.random.Generator) -> Genes:
    """One architecture (genes,) at random, within the budget if such a one is found."""
    found = feasible(landscape, 64, rng)
    return found[rng.integers(len(found))] if len(found) else landscape.draw(1, rng)[0]


def spanned(values: Floats) -> Floats:
    """`values` from 0 to 1."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros(len(values))
