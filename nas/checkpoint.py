"""A supernet in training as one safetensors file: weights, momentum, and what they belong to."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nas.core.errors import CheckpointError
from nas.files import atomic_write
from nas.supernet import Supernet

_WEIGHT, _MOMENTUM = "weight/", "momentum/"


def write(path: Path, supernet: Supernet, optimizer: torch.optim.Optimizer, step: int, belongs_to: Mapping[str, str]) -> None:
    """Writes weights, momentum and `step`, whole or not at all; `belongs_to` must be equal when it is read again."""
    tensors = {_WEIGHT + name: tensor.detach().contiguous() for name, tensor in supernet.named_parameters()}
    for name, parameter in supernet.named_parameters():
        momentum = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if momentum is not None:
            tensors[_MOMENTUM + name] = momentum.detach().contiguous()
    atomic_write(path, save(tensors, metadata={**belongs_to, "step": str(step)}))


def read(path: Path, supernet: Supernet, optimizer: torch.optim.Optimizer, belongs_to: Mapping[str, str]) -> int:
    """Loads what `write` wrote into `supernet` and `optimizer`, in place, and returns the step.

    Raises:
        CheckpointError: the file is damaged, or belongs to another space, data set, class count or schedule.
    """
    tensors, metadata = _open(path, belongs_to)
    _copy_weights(tensors, supernet, path)
    for name, parameter in supernet.named_parameters():
        momentum = tensors.get(_MOMENTUM + name)
        if momentum is not None:
            optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
    return int(metadata["step"])


def read_weights(path: Path, supernet: Supernet, belongs_to: Mapping[str, str]) -> None:
    """Loads only the weights that `write` wrote into `supernet`, in place.

    Raises:
        CheckpointError: as `read`.
    """
    tensors, _ = _open(path, belongs_to)
    _copy_weights(tensors, supernet, path)


def _open(path: Path, belongs_to: Mapping[str, str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a checkpoint that is whole and belongs here."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or missing ({error}): delete it, or give --fresh, and it is trained again") from None
    for key, wanted in belongs_to.items():
        if metadata.get(key) != wanted:
            raise CheckpointError(
                f"{path} is of {key} {metadata.get(key)}, this run is of {key} {wanted}: give --fresh to train again, or another --out"
            )
    return tensors, metadata


@torch.no_grad()
def _copy_weights(tensors: Mapping[str, Tensor], supernet: Supernet, path: Path) -> None:
    for name, parameter in supernet.named_parameters():
        saved = tensors.get(_WEIGHT + name)
        if saved is None or saved.shape != parameter.shape:
            found = "missing" if saved is None else f"of shape {tuple(saved.shape)}"
            raise CheckpointError(f"{path}: {name} is {found}, wanted {tuple(parameter.shape)}: give --fresh to train again")
        parameter.copy_(saved)
