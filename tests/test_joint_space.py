"""Precision and pruning as genes: what they stand for, and that no network has two names."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import search_spaces
from nas import joint_space
from nas.compressors.hidden_channels import kept_channels
from nas.core.errors import SpaceError, UnknownNameError
from nas.core.space import Choice, SearchSpace, Stage
from nas.joint_space import JointSpace, PrunedSpace
from tests.joint import JOINT, KEEPS
from tests.tiny import SPACE, architectures

GRID = Choice.grid("mbconv", (3,), (2, 3))
NARROW = SearchSpace(
    "narrow", (8,), 8, 1, "relu", (Stage((8, 24), (1, 3), 2, (*GRID, Choice("shuffle_unit", 3)), False, "relu"),), 32, "relu"
)
"""A space in which pruning often leaves a network as it is."""


def everything(space):
    return [list(genes) for genes in itertools.product(*(range(gene.options) for gene in space.genes))]


@pytest.mark.parametrize(
    ("base", "keeps"),
    [(SPACE, (1.0, 0.97)), (NARROW, (1.0, 0.75, 0.5)), (NARROW, (1.0, 0.97)), (NARROW, (0.9, 0.8, 0.3, 0.01))],
)
def test_every_network_has_one_name_and_is_counted_once(base, keeps):
    joint = JointSpace(base, ("fp32", "int8"), keeps)
    found = {joint.architecture(genes) for genes in everything(joint)}
    networks = {(joint.precision(one), joint.plain(one), joint.network(one, 1, 3)) for one in found}
    assert len(found) == joint.size == len(networks)
    assert all(joint.architecture(one.genes) == one for one in found)


@given(st.lists(st.tuples(*(st.integers(0, gene.options - 1) for gene in JOINT.genes)), min_size=1, max_size=20))
def test_canonical_forms_of_many_are_those_of_one(genes):
    wanted = [JOINT.architecture(one).genes for one in genes]
    assert [tuple(map(int, one)) for one in JOINT.canonical(np.array(genes))] == wanted


@given(architectures(JOINT))
def test_a_version_is_the_network_pruned_as_the_compressor_would(architecture):
    whole, made = SPACE.network(JOINT.plain(architecture), 1, 3), JOINT.network(architecture, 1, 3)
    keep = JOINT.keep(architecture)
    wanted = [block.hidden_channels if keep == 1.0 else kept_channels(block, keep, 8) for block in whole.blocks]
    assert [block.hidden_channels for block in made.blocks] == wanted
    assert [(block.kind, block.in_channels, block.out_channels) for block in made.blocks] == [
        (block.kind, block.in_channels, block.out_channels) for block in whole.blocks
    ]


def test_a_version_says_what_it_is():
    genes = [*SPACE.largest().genes]
    texts = {(p, k): JOINT.describe(JOINT.architecture([*genes, p, k])) for p in range(2) for k in range(3)}
    plain = SPACE.describe(SPACE.largest())
    assert texts[0, 0] == f"{plain} | fp32" and texts[1, 2] == f"{plain} | int8, 0.5 of hidden channels"
    versions = [JOINT.version(JOINT.architecture([*genes, p, k])) for p in range(2) for k in range(3)]
    assert versions == ["fp32", "pruned", "pruned", "int8", "pruned_int8", "pruned_int8"]


def test_a_pruned_space_has_the_architectures_of_the_whole_one():
    half = PrunedSpace.of(SPACE, 0.5)
    assert half.key == SPACE.key and half != SPACE and PrunedSpace.of(SPACE, 1.0) is SPACE
    hidden, whole = (sum(block.hidden_channels for block in space.unique_blocks(1, 3)) for space in (half, SPACE))
    assert hidden < whole


def test_another_question_is_another_space():
    keys = {JOINT.key, JointSpace(SPACE, ("int8", "fp32"), KEEPS).key, JointSpace(SPACE, JOINT.precisions, (1.0, 0.5)).key, SPACE.key}
    assert len(keys) == 4 and JOINT.key == f"{SPACE.key}+fp32,int8+keep=1,0.75,0.5"
    with pytest.raises(SpaceError, match=r"is of .*, not of"):
        JOINT.network(SPACE.smallest(), 1, 3)


def test_a_joint_space_travels():
    JOINT.architecture([0] * len(JOINT.genes))
    assert pickle.loads(pickle.dumps(JOINT)) == JOINT


@pytest.mark.parametrize(("precision", "keep"), [("fp32", ""), ("int8", ""), ("fp32", "1"), ("int8", "1.0")])
def test_one_precision_and_all_channels_are_the_plain_space(precision, keep):
    assert joint_space.joined(SPACE, precision, keep) is None


@pytest.mark.parametrize(
    ("precision", "keep", "precisions", "keeps"),
    [
        ("fp32,int8", "", ("fp32", "int8"), (1.0,)),
        ("int8, fp32", "0.5,1", ("int8", "fp32"), (1.0, 0.5)),
        ("fp16", "0.5", ("fp16",), (0.5,)),
    ],
)
def test_what_is_asked_for(precision, keep, precisions, keeps):
    found = joint_space.joined(SPACE, precision, keep)
    assert (found.precisions, found.keeps) == (precisions, keeps)


@pytest.mark.parametrize(
    ("precision", "keep", "kind", "said"),
    [
        ("fp32,int4", "", UnknownNameError, r"no precision is named 'int4'; did you mean 'int8'\?"),
        ("fp32,", "", UnknownNameError, "no precision is named ''"),
        ("fp32,int8,fp32", "", SpaceError, "the precisions of a search are named once each, .*: fp32,int8,fp32"),
        ("fp32", "0.5,0.5", SpaceError, "the shares of hidden channels to keep of a search are named once"),
        ("fp32", "1,0", SpaceError, "above 0 and up to 1, such as 1,0.75,0.5, not 0"),
        ("fp32", "1.5", SpaceError, "above 0 and up to 1, such as 1,0.75,0.5, not 1.5"),
        ("fp32", "nan", SpaceError, "above 0 and up to 1, such as 1,0.75,0.5, not nan"),
        ("fp32", "half", SpaceError, "'half' is no list of shares of hidden channels to keep: write it as 1,0.75,0.5"),
    ],
)
def test_what_makes_no_sense_is_refused(precision, keep, kind, said):
    with pytest.raises(kind, match=said):
        joint_space.joined(SPACE, precision, keep)


def test_genes_out_of_range_are_refused():
    with pytest.raises(SpaceError, match="gene keep goes from 0 to 2, got 3"):
        JOINT.architecture([0] * (len(JOINT.genes) - 1) + [3])
    with pytest.raises(SpaceError, match="genes, got 3"):
        JOINT.architecture([0, 0, 0])


def test_the_size_of_a_shipped_space_is_known_at_once():
    joint = JointSpace(search_spaces.load("mobile_shuffle_32"), ("fp32", "int8"), KEEPS)
    assert joint.size == 6 * joint.base.size
