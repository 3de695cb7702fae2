"""Shared weights: the tensors of the largest blocks, on crops of which every network of the space runs.

A block is run by `torch.func.functional_call` over a plain module without weights of its own, given views of the
shared tensors; extraction copies the same views into a stand-alone `Network`. Both run the same operators on the same
numbers, so they agree exactly. Nothing is stored on layers and no active setting exists.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nas.core.network import BlockSpec, NetworkSpec
from nas.core.space import SearchSpace
from nas.network import Network, batch_norms, channels_last
from search_spaces import blocks


def crop(shared: Tensor, shape: torch.Size) -> Tensor:
    """View of the first channels (axes 0 and 1) and the middle of the kernel (axes 2 and 3) of `shared`.

    `shape` may not be larger than `shared` in any axis.
    """
    for axis, (size, full) in enumerate(zip(shape, shared.shape, strict=True)):
        if size != full:
            shared = shared.narrow(axis, (full - size) // 2 if axis >= 2 else 0, size)
    return shared


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
            self.get_submodule(slot).add_module(kind, block)

    def forward(self, images: Tensor, network: NetworkSpec) -> Tensor:
        """Logits (n, classes) of `network` on normalised images (n, c, resolution, resolution), in training mode.

        Batch norms use the statistics of this batch. Gradients flow into the crops.
        """
        for slot, spec in zip(network.slots, network.blocks, strict=True):
            template = _template(_without_size(spec), str(images.device))
            weights = dict(self._crops(slot, spec.kind, template.shapes))
            images = functional_call(template.module, {**weights, **template.scratch}, (images,))
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
        shared = dict(self.get_submodule(f"{slot}.{kind}").named_parameters())
        for name, shape in shapes.items():
            yield name, crop(shared[name], shape)


@lru_cache(maxsize=65_536)
def _without_size(spec: BlockSpec) -> BlockSpec:
    """`spec` for one-pixel images: the same module at every resolution."""
    return BlockSpec(
        spec.kind, spec.in_channels, spec.hidden_channels, spec.out_channels, spec.kernel, spec.stride, spec.se, spec.activation, 1, 1
    )
