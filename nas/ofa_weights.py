"""Once-for-All's MobileNetV3 checkpoints (Cai et al. 2020) as shared weights of ours, kernel matrices included.

Names are translated and nothing is computed. Batch-norm statistics stay behind: every network's are measured on the
user's own images, as after a training here. Images must come as those weights were trained: RGB, with the 1,000 classes
in the order of ImageNet's sorted folder names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

import search_spaces
from nas.core.errors import CheckpointError, UnknownNameError
from nas.core.space import SearchSpace
from nas.supernet import Supernet

_LAYERS = {"expand": "inverted_bottleneck", "depthwise": "depth_conv", "se": "depth_conv.se.fc", "project": "point_linear"}
_ENDS = {"stem.conv": "first_conv", "last_conv.conv": "final_expand_layer"}
_HEAD = {"mix.": "feature_mix_layer.conv.", "classifier.": "classifier.linear."}
_SPELLINGS = (
    (".mobile_inverted_conv.", ".conv."),
    (".bn.bn.", ".bn."),
    (".conv.conv.", ".conv."),
    (".linear.linear.", ".linear."),
)
"""The authors' own versions differ in these; the right side is used here."""

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, slots=True, eq=False)
class OfaWeights:
    """The tensors of a checkpoint by the authors' names, in one spelling, without batch-norm statistics.

    `classifier` says whether the last layer is wanted, or only the features.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    classifier: bool = True

    @property
    def classes(self) -> int:
        """How many classes the checkpoint tells apart."""
        return len(self.tensors["classifier.linear.weight"])


def from_option(init: str) -> OfaWeights:
    """What `--init` asks for: "ofa:PATH" is a whole checkpoint, "ofa-features:PATH" all of it but the classifier.

    Raises:
        CheckpointError: as `read`; an UnknownNameError where it is neither.
    """
    kind, _, path = init.partition(":")
    if kind not in ("ofa", "ofa-features") or not path:
        raise UnknownNameError("start of a training", init, ("ofa:PATH", "ofa-features:PATH"))
    return replace(read(Path(path)), classifier=kind == "ofa")


def converted(space: SearchSpace, weights: OfaWeights) -> Supernet:
    """A supernet of `space` that holds `weights` and nothing else, for colour images and the checkpoint's classes.

    Raises:
        CheckpointError: as `copy_into`, or the classifier is not wanted, so that it would have to be trained.
    """
    if not weights.classifier:
        raise CheckpointError(
            f"without the classifier of {weights.path} there is one to train: give --data and --epochs, or --init ofa:PATH"
        )
    supernet = Supernet(space, weights.tensors["first_conv.conv.weight"].shape[1], weights.classes)
    copy_into(supernet, weights)
    return supernet


def read(path: Path) -> OfaWeights:
    """The checkpoint at `path`: a file of `torch.save` with named tensors, alone or under "state_dict".

    Raises:
        CheckpointError: there is no such file, it holds anything but tensors and plain values, or it is no such checkpoint.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file: --init ofa:PATH takes a checkpoint of Once-for-All's MobileNetV3")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what bytes that torch did not write end in depends on the bytes
        if type(error).__name__ == "UnpicklingError":
            raise CheckpointError(
                f"{path} is not a file of plain tensors, or it is damaged. It was not opened: a pickle can run any code. "
                "Save its state_dict() with torch.save and give that"
            ) from None
        raise CheckpointError(f"{path} is damaged, or torch.save did not write it ({type(error).__name__}): fetch it again") from None
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(name, str) and isinstance(one, Tensor) for name, one in state.items()):
        raise CheckpointError(f"{path} holds no tensors by name, neither itself nor under 'state_dict'")
    tensors = {spelt(name): one for name, one in state.items() if name.rpartition(".")[2] not in _STATISTICS}
    if "first_conv.conv.weight" not in tensors or "classifier.linear.weight" not in tensors:
        raise CheckpointError(
            f"{path} is no checkpoint of Once-for-All's MobileNetV3: it begins with {', '.join(list(state)[:3]) or 'nothing'}"
        )
    return OfaWeights(path, tensors)


@torch.no_grad()
def copy_into(supernet: Supernet, weights: OfaWeights) -> None:
    """Sets the shared weights of `supernet` to `weights`, in place; the classifier's only where they are wanted.

    Raises:
        CheckpointError: space, width, image channels or class count are others, or tensors are missing or left over.
    """
    space, tensors = supernet.space, weights.tensors
    if not space.kernel_transforms:
        raise CheckpointError(f"Once-for-All's weights are for {' and '.join(_spaces())}, not for {space.name}: give --space")
    _refuse_other_images(supernet, weights)
    wanted = {theirs(space, name): parameter for name, parameter in supernet.named_parameters()}
    _refuse_other_width(space, weights, wanted)
    for what, names in (("lacks", wanted.keys() - tensors.keys()), ("also has", tensors.keys() - wanted.keys())):
        if names:
            raise CheckpointError(f"{weights.path} is not of {space.name}: it {what} {_first_few(names)}")
    for name, parameter in wanted.items():
        if weights.classifier or not name.startswith("classifier."):
            if tensors[name].shape != parameter.shape:
                raise CheckpointError(
                    f"{weights.path} is not of {space.name}: {name} is {tuple(tensors[name].shape)}, wanted {tuple(parameter.shape)}"
                )
            parameter.copy_(tensors[name])


def theirs(space: SearchSpace, name: str) -> str:
    """What the authors call the shared tensor, or the batch norm's buffer, that we call `name` (`<slot>.<kind>.<...>`)."""
    slot, kind, rest = name.split(".", 2)
    rest = rest.replace("norm.", "bn.")
    if slot == "head":
        layer = rest.partition(".")[0]
        return rest.replace(f"{layer}.", _HEAD[f"{layer}."])
    if f"{slot}.{kind}" in _ENDS:
        return f"{_ENDS[f'{slot}.{kind}']}.{rest}"
    stage, _, number = slot.removeprefix("stage").partition("_layer")
    before = sum(max(one.depths) for one in space.stages[: int(stage) - 1])
    layer, _, rest = rest.partition(".")
    return f"blocks.{before + int(number)}.conv.{_LAYERS[layer]}.{rest}"


def _refuse_other_images(supernet: Supernet, weights: OfaWeights) -> None:
    channels = weights.tensors["first_conv.conv.weight"].shape[1]
    if channels != supernet.in_channels:
        raise CheckpointError(f"{weights.path} is for images of {channels} channels, the data has {supernet.in_channels}")
    if weights.classifier and weights.classes != supernet.classes:
        raise CheckpointError(
            f"{weights.path} tells {weights.classes} classes apart, the data has {supernet.classes}: "
            "--init ofa-features:PATH takes all but the classifier, which is then trained"
        )


def _refuse_other_width(space: SearchSpace, weights: OfaWeights, wanted: Mapping[str, Tensor]) -> None:
    """Refuses a checkpoint whose convolutions have other widths; names the space that has them, if one does."""
    ends = ("first_conv.conv.weight", "final_expand_layer.conv.weight")
    found = tuple(len(weights.tensors[name]) if name in weights.tensors else 0 for name in ends)
    own = tuple(len(wanted[name]) for name in ends)
    if found != own:
        fits = [name for name, one in _spaces().items() if (one.stem_width, one.last_conv_width) == found]
        hint = f"give --space {fits[0]}" if fits else f"no space has these (there is: {', '.join(_spaces())})"
        raise CheckpointError(
            f"{weights.path} has {found[0]} channels at the start and {found[1]} at the end{f', as {fits[0]}' if fits else ''}; "
            f"{space.name} has {own[0]} and {own[1]}: {hint}"
        )


def _spaces() -> dict[str, SearchSpace]:
    """The spaces that Once-for-All's weights are for, by name."""
    found = {name: search_spaces.load(name) for name in search_spaces.names()}
    return {name: space for name, space in found.items() if space.kernel_transforms}


def spelt(name: str) -> str:
    """`name` of a checkpoint in the one spelling that is used here."""
    for one, other in _SPELLINGS:
        name = name.replace(one, other)
    return name


def _first_few(names: "set[str]") -> str:
    shown = ", ".join(sorted(names)[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
