"""The whole networks of a table, found again: a table keeps what each of them took, and chance, which drew them, repeats itself."""

from collections.abc import Collection, Iterator, Sequence
from itertools import product

import search_spaces
from hardware_profiles.table_file import NetworkTiming
from nas.core.errors import UnknownNameError
from nas.core.network import BlockSpec, NetworkSpec
from search_spaces import blocks


def specs(timings: Sequence[NetworkTiming], rows: Collection[BlockSpec]) -> list[tuple[NetworkTiming, NetworkSpec]]:
    """Each network of a table whose blocks are `rows`, with what it is; without those whose space is unknown or has changed."""
    spaces = dict.fromkeys(timing.space for timing in timings)
    return [found for key in spaces for found in _of_space([timing for timing in timings if timing.space == key], key, rows)]


def is_timing_of(timing: NetworkTiming, spec: NetworkSpec) -> bool:
    """Whether `timing` has the blocks and multiply-accumulates of `spec`."""
    return (timing.blocks, timing.macs) == (len(spec.blocks), blocks.macs(spec))


def _of_space(timings: Sequence[NetworkTiming], key: str, rows: Collection[BlockSpec]) -> Iterator[tuple[NetworkTiming, NetworkSpec]]:
    """The same for one space: a table does not say for which images and classes, but its blocks do."""
    try:
        space = search_spaces.load(key.partition("@")[0])
    except UnknownNameError:
        return iter(())
    if space.key != key or space.size < len(timings):
        return iter(())
    drawn = space.random(len(timings))
    stems = [row.in_channels for row in rows if row == space.beginning(row.in_channels, row.in_height)[0][1]]
    heads = [row.out_channels for row in rows if row.kind == space.head_kind]
    for in_channels, classes in product(dict.fromkeys(stems), dict.fromkeys(heads)):
        if all(is_timing_of(timing, space.network(one, in_channels, classes)) for timing, one in zip(timings, drawn, strict=True)):
            return zip(timings, (space.network(one, in_channels, classes) for one in drawn), strict=True)
    return iter(())
