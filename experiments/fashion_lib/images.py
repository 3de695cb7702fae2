"""The images of the comparison: all of Fashion-MNIST, less what the package's own shared weights have seen from validation."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.data import ImageData, Split
    from nas.supernet import Supernet


def load(source: str, space_name: str, images: int) -> "ImageData":
    """The data set that `source` names, with `images` of its training images, the same ones for every network.

    Validation images that are training images of the embedded data are left out, so that a supernet may begin with the weights
    that the package brings. They are a twelfth of Fashion-MNIST's, and none of another data set's.
    """
    import search_spaces
    from nas import data

    resolution = search_spaces.load(space_name).resolutions[-1]
    found = data.load(source, resolution, seed=0)
    seen = data.load("embedded", resolution, seed=0).train
    validation = without(found.validation, seen)
    few = found.train.some(images)
    name = f"{found.name}, {len(few):,} training and {len(validation):,} validation images"
    return replace(found, name=name, train=few, validation=validation)


def without(split: "Split", seen: "Split") -> "Split":
    """`split` less the images that are in `seen` too, pixel for pixel."""
    import torch

    from nas.data import Split

    known = {image.tobytes() for image in seen.images.numpy()}
    stay = torch.tensor([image.tobytes() not in known for image in split.images.numpy()])
    return Split(split.images[stay], split.labels[stay])


def supernet_of(space_name: str, data: "ImageData", path: Path) -> "Supernet":
    """The shared weights that the supernet command left at `path`.

    Raises:
        CheckpointError: there are none, or they are of another space or of other images.
    """
    import search_spaces
    from nas.supernet import Supernet
    from nas.supernet_training import load_trained

    supernet = Supernet(search_spaces.load(space_name), data.channels, len(data.classes))
    load_trained(supernet, data, path)
    return supernet


def weights_of(out: Path) -> Path:
    """Where the shared weights are kept in the folder `out`."""
    return out / "supernet.safetensors"


def provenance(path: Path) -> dict[str, str]:
    """How the shared weights at `path` were trained, as their checkpoint says it; "start" is what they began with."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        told = file.metadata() or {}
    return {name: told[name] for name in ("data", "start", "schedule", "recipe", "step") if name in told}


def digest(supernet: "Supernet") -> str:
    """Eight hexadecimal digits of the shared weights: what was found with others is not taken for theirs."""
    found = hashlib.sha256()
    for name, parameter in sorted(supernet.named_parameters()):
        found.update(name.encode() + parameter.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:8]
