"""Structured pruning: removes the hidden channels of each block that contribute least to its output.

Hidden channels touch no other block, so a pruned network is again a plain network with smaller blocks, really smaller
in memory and time. Every prunable block keeps the same share: its cost then falls in proportion, which a budget can
be planned with. Blocks with a hidden width of `multiple` or less stay, and so does the head, whose features are the
classifier's only input.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from nas.compressors import NetworkCompressor
from nas.core.network import BlockSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.network import Network

KEPT_WHOLE = ("head", "wide_head")
"""Block kinds that are never pruned."""


def kept_channels(block: BlockSpec, keep: float, multiple: int) -> int:
    """Hidden channels that `block` keeps: the share `keep`, to the nearest `multiple`, one `multiple` at least."""
    from search_spaces import blocks

    if block.kind in KEPT_WHOLE or not blocks.load(block.kind).hidden_axes:
        return block.hidden_channels
    nearest = int(block.hidden_channels * keep / multiple + 0.5) * multiple
    return min(block.hidden_channels, max(multiple, nearest))


def requires(network: "Network", keep: float, multiple: int) -> str:
    """Why `network` cannot be pruned, "" if it can."""
    if not 0 < keep < 1:
        return f"the share of hidden channels to keep must be above 0 and below 1, got {keep}"
    if all(kept_channels(block, keep, multiple) == block.hidden_channels for block in network.spec.blocks):
        widest = max(block.hidden_channels for block in network.spec.blocks)
        return f"keeping {keep:.0%} of at most {widest} hidden channels, in multiples of {multiple}, removes none; keep less"
    return ""


def prune(network: "Network", keep: float, multiple: int) -> "Network":
    """A copy of `network` with the share `keep` of its hidden channels; batch-norm statistics are those of the kept ones."""
    import torch

    from nas.network import Network

    spec = network.spec
    smaller = replace(spec, blocks=tuple(replace(b, hidden_channels=kept_channels(b, keep, multiple)) for b in spec.blocks))
    with torch.device("meta"):
        pruned = Network(smaller)
    pruned = pruned.to_empty(device="cpu")
    with torch.no_grad():
        for slot, before, after in zip(spec.slots, spec.blocks, smaller.blocks, strict=True):
            state = _kept_state(network.get_submodule(slot), before, after.hidden_channels)
            pruned.get_submodule(slot).load_state_dict(state)
    return pruned.eval()


def cropped(block: "nn.Module", spec: BlockSpec, hidden: int) -> "nn.Module":
    """`block` with its `hidden` most important hidden channels alone, in evaluation mode; itself where that is all of them.

    Its batch norms must have statistics, and those of the result need `recalibrate` again.
    """
    import torch

    from nas.network import channels_last
    from search_spaces import blocks

    if hidden == spec.hidden_channels:
        return block
    with torch.device("meta"):
        smaller = blocks.load(spec.kind).build(replace(spec, hidden_channels=hidden))
    smaller = channels_last(smaller.to_empty(device="cpu"))
    smaller.load_state_dict(_kept_state(block, spec, hidden))
    return smaller.eval()


def importance(block: "nn.Module", spec: BlockSpec) -> "Tensor":
    """How much each hidden channel of `block` varies its output, (hidden,).

    The standard deviation of the channel's activation, times the norm of the weights that read it, as folded with the
    batch norm behind them. Before the activation a batch norm gives mean beta and deviation gamma, taken as normal;
    what a channel adds on average does not count, because the next batch norm, re-calibrated, subtracts it. The last
    hidden batch norm and the last reader that the block's `hidden_axes` names must each be of a `ConvNorm`.
    """
    import torch

    from search_spaces import blocks
    from search_spaces.blocks.layers import ConvNorm

    axes = blocks.load(spec.kind).hidden_axes
    last = block.get_submodule([name for name in axes if name.endswith(".norm")][-1].removesuffix(".norm"))
    reader = block.get_submodule([name for name, axis in axes.items() if axis == 1][-1].removesuffix(".conv"))
    assert isinstance(last, ConvNorm) and isinstance(reader, ConvNorm), spec.kind
    variance = reader.norm.running_var
    assert variance is not None, spec.kind
    normal = torch.distributions.Normal(0.0, 1.0).icdf(torch.linspace(0.01, 0.99, 99))
    gamma, beta = last.norm.weight.detach(), last.norm.bias.detach()
    deviation: Tensor = last.act(beta[:, None] + gamma.abs()[:, None] * normal).std(dim=1)
    scale = reader.norm.weight.detach() / (variance + reader.norm.eps).sqrt()
    folded = reader.conv.weight.detach().flatten(1) * scale[:, None]
    return deviation * folded.norm(dim=0)


def _kept_state(block: "nn.Module", spec: BlockSpec, hidden: int) -> "dict[str, Tensor]":
    """State of `block` with its `hidden` most important hidden channels, in their old order."""
    from search_spaces import blocks
    from search_spaces.blocks.layers import SqueezeExcite, squeezed_channels

    state = dict(block.state_dict())
    if hidden == spec.hidden_channels:
        return state
    channels = _largest(importance(block, spec), hidden)
    for name, axis in blocks.load(spec.kind).hidden_axes.items():
        _select(state, name, axis, channels)
    for name, layer in block.named_modules():
        if isinstance(layer, SqueezeExcite):
            reads, gates = state[f"{name}.reduce.weight"], state[f"{name}.expand.weight"]
            units = _largest(reads.flatten(1).norm(dim=1) * gates.flatten(1).norm(dim=0), squeezed_channels(hidden))
            _select(state, f"{name}.reduce", 0, units)
            _select(state, f"{name}.expand", 1, units)
    return state


def _largest(scores: "Tensor", count: int) -> "Tensor":
    """Indices of the `count` largest scores, rising."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def _select(state: "dict[str, Tensor]", layer: str, axis: int, kept: "Tensor") -> None:
    """Keeps `kept` along `axis` of the layer's tensors; those without that axis (biases of readers, counters) stay."""
    for name, tensor in state.items():
        if name.rpartition(".")[0] == layer and tensor.dim() > axis:
            state[name] = tensor.index_select(axis, kept)


PLUGIN = NetworkCompressor(step="pruned", requires=requires, apply=prune)
