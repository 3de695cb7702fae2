"""The authors' own Once-for-All package (`pip install ofa`), with weights that no two layers share."""

import sys
from functools import cache
from types import ModuleType

import pytest
import torch

WIDTHS = {"mobilenet_v3": 1.0, "mobilenet_v3_w12": 1.2}
"""Our spaces, and the width that the package calls them by."""


@cache
def _import():
    """The package's module; its data loaders want torchvision, of which networks use nothing: an empty one will do."""
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    stubs = {name: ModuleType(name) for name in names if name not in sys.modules}
    for name, stub in stubs.items():
        stub.RandomResizedCrop = object
        if "." in name:
            parent, _, child = name.rpartition(".")
            setattr(stubs[parent], child, stub)
    sys.modules.update(stubs)
    try:
        from ofa.imagenet_classification.elastic_nn.networks import ofa_mbv3
        from ofa.utils import pytorch_utils
    finally:
        for name in stubs:
            del sys.modules[name]
    return ofa_mbv3.OFAMobileNetV3, pytorch_utils


def elastic_network(space_name, classes):
    """The package's elastic network for one of our spaces: random weights, kernel matrices and batch-norm statistics."""
    pytest.importorskip("ofa", reason="the package ofa is not installed: pip install ofa")
    kind, _ = _import()
    network = kind(
        n_classes=classes,
        dropout_rate=0,
        width_mult=WIDTHS[space_name],
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("_matrix"):
                tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
            elif name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif tensor.ndim == 1:
                tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    return network


def pictures(count, resolution):
    """Random images (count, 3, resolution, resolution) with coarse patterns, as photographs have."""
    coarse = torch.randn(count, 3, 7, 7, generator=torch.Generator().manual_seed(resolution))
    return torch.nn.functional.interpolate(coarse, size=(resolution, resolution), mode="bilinear")


def activate(network, space, architecture):
    """Makes `architecture` the package's active network."""
    kernels, expands, depths = [], [], []
    genes = iter(architecture.genes[1:])
    for number, stage in enumerate(space.stages):
        depth, _ = stage.depths[next(genes)], next(genes)
        layers = [stage.choices[next(genes)] for _ in range(max(stage.depths))]
        if number:  # the first stage is fixed
            depths.append(depth)
            kernels += [layer.kernel for layer in layers]
            expands += [int(layer.expand) for layer in layers]
    network.set_active_subnet(ks=kernels, e=expands, d=depths)


def macs_and_parameters(network, resolution):
    """What the package itself counts; the former it adds up in single precision."""
    _, utils = _import()
    return utils.count_net_flops(network, (1, 3, resolution, resolution)), utils.count_parameters(network)
