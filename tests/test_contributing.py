"""The examples of CONTRIBUTING.md are what the code accepts."""

import re
import tomllib
from pathlib import Path

import pytest
import torch

import hardware_profiles
from nas.core import plugins
from nas.core.network import BlockSpec
from nas.core.operators import convolution, depthwise
from nas.core.space import Choice, SearchSpace, Stage
from search_spaces.blocks import Block
from tests.strategies.problems import space_landscape

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def example(heading, language="python"):
    found = re.search(rf"^## {heading}\n.*?```{language}\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found.group(1)


def plugin(heading, **names):
    exec("from __future__ import annotations\n" + example(heading), names)
    return names["PLUGIN"]


def test_the_block_computes_the_shape_and_the_weights_that_it_says():
    from nas.core.operators import Operator

    block = plugin("A block", Block=Block, BlockSpec=BlockSpec, Operator=Operator, convolution=convolution, depthwise=depthwise)
    spec = BlockSpec("example", 8, 8, 16, 5, 2, False, "relu", 14, 14)
    module = block.build(spec).eval()
    assert module(torch.zeros(1, 8, 14, 14)).shape == (1, 16, spec.out_height, spec.out_width)
    convolutions = sum(p.numel() for name, p in module.named_parameters() if "conv" in name)
    assert convolutions + 8 + 16 == sum(operator.weights for operator in block.operators(spec))


def test_the_space_is_one_whose_first_options_are_its_smallest_network():
    space = plugin("A space", SearchSpace=SearchSpace, Stage=Stage, Choice=Choice)
    assert space.size > 10 and space.network(space.smallest(), 1, 10).resolution == 24


def test_the_device_is_read(tmp_path):
    (tmp_path / "raspberry-pi-5.toml").write_text(example("A device", "toml"))
    device = hardware_profiles.load(str(tmp_path / "raspberry-pi-5.toml"))
    assert device.name == "raspberry-pi-5" and [target.origin for target in device.targets] == ["measured"]
    assert tomllib.loads(example("A device", "toml"))["targets"][0]["model"] in plugins.names("latency_models")


def test_the_strategy_is_a_seeded_sampler():
    from optuna.samplers import BaseSampler

    assert isinstance(plugin("A strategy")(space_landscape(), 0)(0), BaseSampler)


@pytest.mark.parametrize("package", re.findall(r"^\| an? [^|]*\| `([a-z_/]+)/NAME\.py`", TEXT, re.MULTILINE))
def test_a_folder_named_in_the_table_holds_plug_ins(package):
    assert plugins.names(package.replace("/", "."))
    for name in plugins.names(package.replace("/", ".")):
        plugins.load(package.replace("/", "."), name, "plug-in")
