"""Where numbers go is told without moving one; here they are moved, and the two agree."""

import math
import random
import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latency_models import moves
from latency_models.plain_graph import Node


def transpose(shape, order, channels_last=False):
    out = tuple(shape[axis] for axis in order)
    return Node("Transpose", "t", ("x",), ("y",), {"perm": list(order)}, (tuple(shape),), (out,), channels_last)


def reshape(shape, out, channels_last=False):
    return Node("Reshape", "r", ("x", "s"), ("y",), {}, (tuple(shape), (len(out),)), (tuple(out),), channels_last)


def moved(chain):
    """The numbers 0, 1, 2... of the first tensor in the order that they have after `chain`."""
    shape = chain[0].in_shapes[0]
    numbers = np.arange(math.prod(shape)).reshape(shape)
    for node in chain:
        numbers = numbers.transpose(node.attributes["perm"]) if node.type == "Transpose" else numbers.reshape(node.out_shapes[0])
    return np.ascontiguousarray(numbers).ravel()


def by_moving(chain):
    shape, flat = chain[0].in_shapes[0], moved(chain)
    if np.array_equal(flat, np.arange(flat.size)):
        return ""
    if chain[0].channels_last:
        pixels = flat.reshape(-1, shape[3])
        kept = np.array_equal(pixels - pixels[0], np.arange(len(pixels))[:, None] * shape[3] + 0 * pixels)
    else:
        planes = flat.reshape(-1, shape[2] * shape[3])
        kept = np.array_equal(planes - planes[:, :1], np.arange(planes.shape[1]) + 0 * planes)
    if kept:
        return "Shuffle"
    rows = flat.size // int(flat[1])
    turned = flat.size % int(flat[1]) == 0 and np.array_equal(flat, np.arange(flat.size).reshape(rows, -1).T.ravel())
    return "Layout" if turned else "Copy"


@given(
    st.tuples(st.sampled_from((1, 2)), st.sampled_from((1, 2, 4, 6)), st.integers(1, 3), st.integers(1, 3)), st.booleans(), st.integers()
)
def test_what_a_chain_does_is_what_it_does_to_numbers(shape, channels_last, seed):
    """Reshapes as exporters write them: an axis is split, or two are joined."""
    chance, chain, now = random.Random(seed), [], list(shape)
    for _ in range(chance.randint(1, 5)):
        axis = chance.randrange(len(now))
        way = chance.choice(("turn", "split", "join"))
        if way == "turn":
            order = chance.sample(range(len(now)), len(now))
            chain.append(transpose(now, order, channels_last))
        elif way == "split":
            part = chance.choice([each for each in range(1, now[axis] + 1) if now[axis] % each == 0])
            chain.append(reshape(now, [*now[:axis], part, now[axis] // part, *now[axis + 1 :]], channels_last))
        elif len(now) > 1:
            first = min(axis, len(now) - 2)
            chain.append(reshape(now, [*now[:first], now[first] * now[first + 1], *now[first + 2 :]], channels_last))
        now = list(chain[-1].out_shapes[0]) if chain else now
    if not chain:
        return
    found, wanted = moves.kind_of(chain), by_moving(chain)
    cut = moves._order(chain, shape) is None  # a reshape cut across what was moved apart: a copy, even if a later one puts it back
    assert found == ("Copy" if cut else wanted), chain


def test_a_shuffle_of_any_size_takes_no_memory():
    channels, rows, columns = 64, 4096, 8192
    shape = (1, channels, rows, columns)
    apart = (1, 2, channels // 2, rows, columns)
    chain = [reshape(shape, apart), transpose(apart, (0, 2, 1, 3, 4)), reshape((1, 32, 2, rows, columns), shape)]
    tracemalloc.start()
    assert moves.kind_of(chain) == "Shuffle"
    assert tracemalloc.get_traced_memory()[1] < 1e6, "its numbers alone would be 17 GB"
    tracemalloc.stop()


def test_an_image_turned_twice_is_where_it_was():
    shape = (1, 6, 5, 4)
    there, back = transpose(shape, (0, 2, 3, 1)), transpose((1, 5, 4, 6), (0, 3, 1, 2))
    assert moves.kind_of([there]) == "Layout" and moves.kind_of([there, back]) == ""
    assert moves.kind_of([transpose(shape, (0, 1, 3, 2))]) == "Copy", "pixels within a channel"
