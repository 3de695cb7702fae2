"""Shared weights: the tensors of the largest blocks, on crops of which every network of the space runs.

A block is run by `torch.func.functional_call` over a plain module without weights of its own, given views of the
shared tensors; extraction copies the same views into a stand-alone `Network`. Both run the same operators on the same
numbers, so they agree exactly. Nothing is stored on layers and no active setting exists. Where the space says so, a
smaller depthwise kernel is not only a view of the larger one but a learned linear map of it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from nas.core.network import BlockSpec, NetworkSpec
from nas.core.space import SearchSpace
from nas.network import Network, batch_norms, channels_last
from search_spaces import blocks

After = Callable[[BlockSpec, Tensor, Tensor], Tensor]
"""From a block, what it took and what it gave to what the next one takes."""


def crop(shared: Tensor, shape: torch.Size) -> Tensor:
    """View of the first channels (axes 0 and 1) and the middle of the kernel (axes 2 and 3) of `shared`.

    `shape` may not be larger than `shared` in any axis.
    """
    for axis, (size, full) in enumerate(zip(shape, shared.shape, strict=True)):
        if size != full:
            shared = shared.narrow(axis, (full - size) // 2 if axis >= 2 else 0, size)
    return shared


def transform_name(weight: str, larger: int) -> str:
    """State name of the matrix that makes the depthwise kernel `weight` of `larger` pixels one of two pixels less."""
    return f"{weight.removesuffix('weight')}{larger}to{larger - 2}_matrix"


def transformed(kernels: Tensor, size: int, state: Mapping[str, Tensor], name: str) -> Tensor:
    """Depthwise kernels (channels, 1, k, k) made `size` pixels wide, two at a time: the middle, times a matrix of `state`.

    Source: Cai et al. 2020, Once-for-All, section 3.3 and figure 4; a matrix is ((k - 2)^2, (k - 2)^2) and all channels share it.
    """
    channels = len(kernels)
    for larger in range(kernels.shape[-1], size, -2):
        middle = kernels[:, :, 1:-1, 1:-1].reshape(channels, -1)
        kernels = functional.linear(middle, state[transform_name(name, larger)]).view(channels, 1, larger - 2, larger - 2)
    return kernels


@dataclass(frozen=True, slots=True)
class _Template:
    """A block without weights: its module on the meta device, parameter shapes, and scratch batch-norm statistics."""

    module: nn.Module
    shapes: Mapping[str, torch.Size]
    scratch: Mapping[str, Tensor]


@lru_cache(maxsize=4096)
def _template(spec: BlockSpec, device: str) -> _Template:
    with torch.device("meta"):
        module = blocks.load(spec.kind).build(spec)
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    scratch = {name: torch.zeros(buffer.shape, dtype=buffer.dtype, device=device) for name, buffer in module.named_buffers()}
    return _Template(module.train(), shapes, scratch)


class Supernet(nn.Module):
    """All shared tensors of a space, for images of `in_channels` and `classes` outputs.

    State names are `<slot>.<kind>.<parameter of the block>`. There are no batch-norm statistics to share: each
    network needs its own (`nas.network.recalibrate`).
    """

    def __init__(self, space: SearchSpace, in_channels: int, classes: int) -> None:
        super().__init__()
        self.space = space
        self.in_channels = in_channels
        self.classes = classes
        for (slot, kind), spec in space.shared_blocks(in_channels, classes).items():
            if slot not in self._modules:
                self.add_module(slot, nn.ModuleDict())
            block = channels_last(blocks.load(kind).build(spec))
            for norm in batch_norms(block):
                norm.track_running_stats = False
                norm.running_mean = norm.running_var = norm.num_batches_tracked = None
            if space.kernel_transforms:
                _add_transforms(block)
            self.get_submodule(slot).add_module(kind, block)

    def forward(self, images: Tensor, network: NetworkSpec, after: After | None = None) -> Tensor:
        """Logits (n, classes) of `network` on normalised images (n, c, resolution, resolution), in training mode.

        Batch norms use the statistics of this batch. Gradients flow into the crops. `after` may change what a block gives.
        """
        for slot, spec in zip(network.slots, network.blocks, strict=True):
            template = _template(without_size(spec), str(images.device))
            weights = dict(self._crops(slot, spec.kind, template.shapes))
            given = functional_call(template.module, {**weights, **template.scratch}, (images,))
            images = after(spec, images, given) if after else given
        return images

    @torch.no_grad()
    def extract(self, network: NetworkSpec) -> Network:
        """A stand-alone copy of `network`, in evaluation mode; its batch norms still need `recalibrate`."""
        with torch.device("meta"):
            extracted = Network(network)
        extracted = channels_last(extracted.to_empty(device=next(self.parameters()).device))
        for slot, spec in zip(network.slots, network.blocks, strict=True):
            block = extracted.get_submodule(slot)
            own = dict(block.named_parameters())
            for name, weights in self._crops(slot, spec.kind, {name: tensor.shape for name, tensor in own.items()}):
                own[name].copy_(weights)
        for norm in batch_norms(extracted):
            norm.reset_running_stats()
        return extracted.eval()

    def _crops(self, slot: str, kind: str, shapes: Mapping[str, torch.Size]) -> Iterator[tuple[str, Tensor]]:
        shared: dict[str, Tensor] = dict(self.get_submodule(f"{slot}.{kind}").named_parameters())
        for name, shape in shapes.items():
            full = shared[name]
            if self.space.kernel_transforms and len(shape) == 4 and shape[-1] < full.shape[-1]:
                full = transformed(full[: shape[0]], shape[-1], shared, name)
            yield name, crop(full, shape)


def _add_transforms(block: nn.Module) -> None:
    """Gives every depthwise convolution of `block` its matrices, at first those of a plain crop."""
    for name, weight in list(block.named_parameters()):
        if weight.ndim == 4 and weight.shape[1] == 1:
            for larger in range(weight.shape[-1], 3, -2):
                layer, _, matrix = transform_name(name, larger).rpartition(".")
                block.get_submodule(layer).register_parameter(matrix, nn.Parameter(torch.eye((larger - 2) ** 2)))


@lru_cache(maxsize=65_536)
def without_size(spec: BlockSpec) -> BlockSpec:
    """`spec` for one-pixel images: the same module at every resolution."""
    return BlockSpec(
        spec.kind, spec.in_channels, spec.hidden_channels, spec.out_channels, spec.kernel, spec.stride, spec.se, spec.activation, 1, 1
    )
