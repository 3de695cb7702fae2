"""Laws of a space, looked at in all of its points where it is small enough."""

import itertools
import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.errors import SpaceError
from nas.core.space import Choice, SearchSpace, Stage, make_divisible
from tests.tiny import SPACE, architectures

EVERY = {SPACE.architecture(genes) for genes in itertools.product(*(range(gene.options) for gene in SPACE.genes))}


def test_size_is_the_number_of_distinct_architectures():
    assert SPACE.size == len(EVERY) == 576


def test_distinct_architectures_are_distinct_networks():
    assert len({SPACE.network(architecture, 1, 10) for architecture in EVERY}) == len(EVERY)


def test_ids_are_distinct():
    assert len({architecture.id for architecture in EVERY}) == len(EVERY)


def test_genes_are_resolution_then_depth_width_and_layers_of_each_stage():
    assert [(gene.name, gene.options) for gene in SPACE.genes] == [
        ("resolution", 2),
        ("stage1_depth", 2),
        ("stage1_width", 2),
        ("stage1_layer0", 3),
        ("stage1_layer1", 3),
        ("stage2_depth", 2),
        ("stage2_width", 2),
        ("stage2_layer0", 2),
        ("stage2_layer1", 2),
    ]


def test_each_gene_decides_what_its_name_says():
    network = SPACE.network(SPACE.architecture([1, 1, 0, 2, 0, 0, 1, 1, 0]), 3, 10)
    assert network.resolution == 12
    assert network.slots == ("stem", "stage1_layer0", "stage1_layer1", "stage2_layer0", "head")
    found = [(b.kind, b.in_channels, b.hidden_channels, b.out_channels, b.kernel, b.stride, b.in_height) for b in network.blocks]
    assert found == [
        ("conv", 3, 8, 8, 3, 1, 12),
        ("mbconv", 8, 24, 8, 5, 2, 12),
        ("shuffle_unit", 8, 4, 8, 3, 1, 6),
        ("mbconv", 8, 24, 24, 3, 2, 6),
        ("head", 24, 32, 10, 1, 1, 3),
    ]


def test_description_says_every_choice():
    assert SPACE.describe(SPACE.architecture([1, 1, 0, 2, 0, 0, 1, 1, 0])) == "12px | 2x8 mbconv_k5_e3 shuffle_unit_k3 | 1x24 mbconv_k3_e3"


def test_unused_genes_are_zeroed():
    assert SPACE.architecture([0, 0, 1, 2, 2, 0, 0, 1, 1]).genes == (0, 0, 1, 2, 0, 0, 0, 1, 0)


@given(architectures())
def test_a_canonical_architecture_is_its_own(architecture):
    assert SPACE.architecture(architecture.genes) == architecture


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ([0] * 8, "tiny has 9 genes, got 8"),
        ([0, 0, 0, 3, 0, 0, 0, 0, 0], "gene stage1_layer0 of tiny goes from 0 to 2, got 3"),
        ([-1, 0, 0, 0, 0, 0, 0, 0, 0], "gene resolution of tiny goes from 0 to 1, got -1"),
    ],
)
def test_genes_that_are_no_point_are_refused(genes, message):
    with pytest.raises(SpaceError, match=message):
        SPACE.architecture(genes)


def test_an_architecture_of_a_changed_space_is_refused():
    changed = replace(SPACE, head_width=40)
    with pytest.raises(SpaceError, match=rf"is of tiny@\w{{8}}, not of {changed.key}"):
        changed.network(SPACE.smallest(), 1, 10)


@pytest.mark.parametrize(
    "change",
    [
        {"resolutions": (8, 16)},
        {"stem_activation": "relu6"},
        {"head_width": 40},
        {"stages": SPACE.stages[:1]},
        {"stem_pool": True},
        {"last_conv_width": 48},
        {"head_kind": "wide_head"},
        {"kernel_transforms": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_changes_with_anything_in_the_space(change):
    assert replace(SPACE, **change).digest != SPACE.digest
    assert replace(replace(SPACE, **change), **{name: getattr(SPACE, name) for name in change}).digest == SPACE.digest


def test_the_digest_is_the_same_in_every_version():
    """A changed digest orphans every checkpoint and study."""
    assert SPACE.key == "tiny@82446cc3"


def test_a_pooled_stem_a_last_convolution_and_another_head_are_blocks_like_others():
    space = replace(SPACE, resolutions=(16, 30), stem_pool=True, last_conv_width=48, head_kind="wide_head")
    networks = [space.network(one, 1, 10) for one in (space.smallest(), space.largest())]
    for network in networks:
        assert network.slots[:2] == ("stem", "stem_pool") and network.slots[-2:] == ("last_conv", "head")
        kinds = [(block.kind, block.in_channels, block.hidden_channels, block.out_channels, block.kernel) for block in network.blocks]
        assert kinds[1] == ("max_pool", 8, 8, 8, 3) and network.blocks[1].stride == 2
        assert kinds[-2:] == [("conv", kinds[-3][3], 48, 48, 1), ("wide_head", 48, 32, 10, 1)]
        assert set(network.blocks) <= set(space.unique_blocks(1, 10))
        assert all((slot, block.kind) in space.shared_blocks(1, 10) for slot, block in zip(network.slots, network.blocks, strict=True))
    assert networks[1].blocks[-1].in_height == 4  # 30 px, halved by the pooling and by each stage


def test_unique_blocks_are_exactly_those_of_all_networks():
    found = SPACE.unique_blocks(1, 10)
    assert len(set(found)) == len(found)
    assert set(found) == {block for architecture in EVERY for block in SPACE.network(architecture, 1, 10).blocks}
    assert found == SPACE.unique_blocks(1, 10)


def test_shared_blocks_contain_every_block_and_no_more():
    shared = SPACE.shared_blocks(1, 10)
    wanted = {}
    for architecture in EVERY:
        network = SPACE.network(architecture, 1, 10)
        for slot, block in zip(network.slots, network.blocks, strict=True):
            sizes = (block.in_channels, block.hidden_channels, block.out_channels, block.kernel)
            before = wanted.get((slot, block.kind), sizes)
            wanted[slot, block.kind] = tuple(map(max, sizes, before))
    assert {key: (b.in_channels, b.hidden_channels, b.out_channels, b.kernel) for key, b in shared.items()} == wanted


def stage(**changes: object) -> Stage:
    return replace(SPACE.stages[0], **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolutions": ()}, "needs stages and distinct resolutions"),
        ({"resolutions": (8, 8)}, r"distinct resolutions, got \(8, 8\)"),
        ({"stages": ()}, "needs stages"),
        ({"last_conv_width": -8}, "the last convolution of tiny has -8 channels: write 0 for none"),
        ({"stages": (stage(widths=()),)}, "stage 1 of tiny needs widths"),
        ({"stages": (stage(choices=()),)}, "stage 1 of tiny needs widths, depths from 1 and choices"),
        ({"stages": (stage(), stage(depths=(0, 1)))}, "stage 2 of tiny needs widths, depths from 1"),
        ({"stages": (stage(widths=(8, 8)),)}, "stage 1 of tiny lists an option twice: 8, 8"),
        ({"stages": (stage(choices=(Choice("mbconv", 3, 2),) * 2),)}, "lists an option twice: mbconv_k3_e2, mbconv_k3_e2"),
        ({"resolutions": (12, 8)}, r"the resolutions of tiny must rise, got \(12, 8\): write \(8, 12\)"),
        ({"stages": (stage(widths=(16, 8)),)}, "the widths of stage 1 of tiny must rise"),
        ({"stages": (stage(), stage(widths=(24,), depths=(2, 1)))}, "the depths of stage 2 of tiny must rise"),
        ({"stages": (stage(stride=1),)}, "stage 1 of tiny: a shuffle unit of stride 1 needs other widths"),
    ],
)
def test_a_space_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(SpaceError, match=message):
        replace(SPACE, **changes)


def test_smallest_and_largest_do_not_depend_on_the_order_of_choices():
    turned = replace(SPACE, stages=tuple(replace(one, choices=one.choices[::-1]) for one in SPACE.stages))
    for ends in ((SPACE.smallest(), turned.smallest()), (SPACE.largest(), turned.largest())):
        assert SPACE.network(ends[0], 1, 10) == turned.network(ends[1], 1, 10)


def test_what_is_computed_once_is_no_part_of_the_value():
    used = replace(SPACE)
    assert used.digest and used.genes and used.smallest()
    assert used == SPACE and repr(used) == repr(replace(SPACE)) and pickle.loads(pickle.dumps(used)).key == SPACE.key
    assert replace(used, head_width=40).digest != used.digest
    with pytest.raises(AttributeError):
        used.head_width = 40


def test_a_grid_is_every_kernel_with_every_ratio():
    assert [str(choice) for choice in Choice.grid("mbconv", (3, 5), (2, 4))] == [
        "mbconv_k3_e2",
        "mbconv_k5_e2",
        "mbconv_k3_e4",
        "mbconv_k5_e4",
    ]


def test_hidden_channels_are_expanded_or_half():
    assert Choice("mbconv", 3, 3).hidden_channels(12, 40) == 40  # 36 rounds to 40: 32 would be more than 10 % below
    assert Choice("shuffle_unit", 3).hidden_channels(12, 40) == 20


@given(st.floats(0.1, 1e5))
def test_rounding_gives_a_multiple_near_by(channels):
    found = make_divisible(channels)
    assert found % 8 == 0 and found >= 8 and 0.9 * channels <= found < channels + 8


@given(st.floats(0.1, 1e4), st.floats(0, 100))
def test_rounding_keeps_the_order(channels, more):
    assert make_divisible(channels) <= make_divisible(channels + more)


def test_a_space_is_a_value():
    assert hash(SPACE) == hash(replace(SPACE)) and isinstance(SPACE, SearchSpace)
