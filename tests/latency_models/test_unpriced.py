import pytest

from latency_models import unpriced
from latency_models.plain_graph import Node
from latency_models.unpriced import Unpriced


def node(kind, ins, outs, **attributes):
    names = tuple(f"in{i}" for i in range(len(ins))), tuple(f"out{i}" for i in range(len(outs)))
    return Node(kind, "name", *names, attributes, tuple(ins), tuple(outs))


@pytest.mark.parametrize(
    ("of", "macs"),
    [
        (node("ConvTranspose", [(1, 8, 5, 5), (8, 16, 2, 2)], [(1, 16, 10, 10)]), 25 * 8 * 16 * 4),
        (node("Conv", [(1, 8, 5, 5, 5), (4, 8, 3, 3, 3)], [(1, 4, 5, 5, 5)]), 125 * 4 * 8 * 27),
        (node("MatMul", [(1, 4, 10, 32), (1, 4, 32, 20)], [(1, 4, 10, 20)]), 4 * 10 * 20 * 32),
        (node("Gemm", [(32, 10), (32, 20)], [(10, 20)], transA=1), 10 * 20 * 32),
        (node("LSTM", [(9, 1, 8), (1, 16, 8), (1, 16, 4)], [(9, 1, 1, 4)]), 9 * (16 * 8 + 16 * 4)),
        (node("Where", [(1, 8), (1, 8), (1, 8)], [(1, 8)]), 0),
        (node("Loop", [(1,), (1, 8)], [(1, 8)]), None),
        (node("Mystery", [(1, 8)], [(1, 8)]), None),
    ],
)
def test_the_work_of_a_node_is_counted_or_unknown(of, macs):
    found = unpriced.of(of)
    assert found.macs == macs and found.name == f"{of.type} name"
    assert found.elements == sum(unpriced.size(shape) for shape in (*of.in_shapes, *of.out_shapes))


def test_where_a_shape_is_not_known_nothing_is():
    assert unpriced.of(node("MatMul", [(4, 8), None], [(4, 2)])) == Unpriced("MatMul name", None, None)


def test_the_share_with_a_price_is_the_least_of_work_traffic_and_number():
    share = unpriced.priced_share
    assert share(100, 100, 10, ()) == 1.0 and share(0, 0, 0, [Unpriced("a", None, None)]) == 0.0
    assert share(100, 100, 9, [Unpriced("a", 0, 0)]) == 0.9
    assert share(100, 100, 9, [Unpriced("a", 300, 0)]) == 0.25
    assert share(100, 100, 9, [Unpriced("a", 0, 400), Unpriced("b", None, None)]) == 0.2


def test_only_what_is_known_to_be_little_is_negligible():
    def little(*unpriced_nodes):
        return unpriced.negligible(1000, 1000, unpriced_nodes)

    assert little() and little(Unpriced("a", 5, 5)) and little(Unpriced("a", 10, 0))
    assert not little(Unpriced("a", 6, 5), Unpriced("b", 6, 0)), "together they are more than a hundredth"
    assert not little(Unpriced("a", 0, 20)) and not little(Unpriced("a", None, 0)) and not little(Unpriced("a", 0, None))
