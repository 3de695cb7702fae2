"""What a network *is*, as plain values: the common language of spaces, weights, latency, pruning and export."""

from dataclasses import dataclass

from nas.core.errors import SpaceError


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One block of a network; equal specs compute the same function shape and cost the same.

    `kind` names the file in `search_spaces/blocks/` that builds and prices it. `hidden_channels` are the inner
    (expanded) channels, which pruning may reduce without touching any other block. Sizes are in pixels.
    """

    kind: str
    in_channels: int
    hidden_channels: int
    out_channels: int
    kernel: int
    stride: int
    se: bool
    activation: str
    in_height: int
    in_width: int

    def __post_init__(self) -> None:
        counts = (self.in_channels, self.hidden_channels, self.out_channels, self.in_height, self.in_width)
        if min(counts) < 1 or self.kernel % 2 == 0 or self.stride not in (1, 2):
            raise SpaceError(f"not a block: {self} (channels and sizes from 1, odd kernel, stride 1 or 2)")

    @property
    def out_height(self) -> int:
        """Rows of the output: the input's divided by the stride, rounded up ("same" padding)."""
        return -(-self.in_height // self.stride)

    @property
    def out_width(self) -> int:
        """Columns of the output, as `out_height`."""
        return -(-self.in_width // self.stride)


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A whole network: square images of `resolution` pixels through `blocks`, in order, to `classes` logits.

    `slots[i]` names the place of `blocks[i]` in its space ("stem", "stage1_layer0", ..., "head"): shared weights
    are found by it. A pruned network is again a `NetworkSpec`, with fewer hidden channels in some blocks.
    """

    resolution: int
    in_channels: int
    classes: int
    slots: tuple[str, ...]
    blocks: tuple[BlockSpec, ...]

    def __post_init__(self) -> None:
        if len(self.slots) != len(self.blocks) or len(set(self.slots)) != len(self.slots) or not self.blocks:
            raise SpaceError("a network needs one distinct slot name for each of its blocks")
        channels, height = self.in_channels, self.resolution
        for slot, block in zip(self.slots, self.blocks, strict=True):
            if block.in_channels != channels or block.in_height != height:
                raise SpaceError(f"{slot} expects {block.in_channels} channels of {block.in_height} px, gets {channels} of {height}")
            channels, height = block.out_channels, block.out_height
        if channels != self.classes:
            raise SpaceError(f"the last block gives {channels} values for {self.classes} classes")
