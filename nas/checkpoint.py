"""A supernet in training as one safetensors file: weights, momentum, running average, and what they belong to."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nas.core.errors import CheckpointError
from nas.files import atomic_write
from nas.supernet import Supernet

ANY = "any"
"""What weights belong to that were not trained here: converted ones are for every data set of as many classes."""

UNSAID = ("channels", "recipe")
"""What checkpoints of earlier versions do not say; shapes tell the channels, and a recipe may go on as another."""

_WEIGHT, _MOMENTUM, _AVERAGE = "weight/", "momentum/", "average/"
_SETBACKS = "setbacks"


def write(
    path: Path,
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    step: int,
    belongs_to: Mapping[str, str],
    average: Mapping[str, Tensor] | None = None,
    setbacks: int = 0,
) -> None:
    """Writes weights, momentum, their running `average`, `step` and how often it was rolled back, whole or not at all.

    `belongs_to` must be equal when it is read again.
    """
    tensors = {_WEIGHT + name: tensor.detach().contiguous() for name, tensor in supernet.named_parameters()}
    for name, tensor in momenta(supernet, optimizer).items():
        tensors[_MOMENTUM + name] = tensor.detach().contiguous()
    for name, tensor in (average or {}).items():
        tensors[_AVERAGE + name] = tensor.contiguous()
    atomic_write(path, save(tensors, metadata={**belongs_to, "step": str(step), _SETBACKS: str(setbacks)}))


def read(
    path: Path,
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    belongs_to: Mapping[str, str],
    average: Mapping[str, Tensor] | None = None,
) -> int:
    """Loads what `write` wrote into `supernet`, `optimizer` and the tensors of `average`, in place, and returns the step.

    Raises:
        CheckpointError: the file is damaged, or belongs to another space, data set, class count or schedule.
    """
    tensors, metadata = _open(path, belongs_to)
    _copy_weights(tensors, supernet, path, (_WEIGHT,))
    for name, own in (average or {}).items():
        own.copy_(tensors.get(_AVERAGE + name, tensors[_WEIGHT + name]))
    set_momenta(
        supernet, optimizer, {name.removeprefix(_MOMENTUM): tensor for name, tensor in tensors.items() if name.startswith(_MOMENTUM)}
    )
    return int(metadata["step"])


def belongs(path: Path, belongs_to: Mapping[str, str]) -> bool:
    """Whether the checkpoint at `path` is of what `belongs_to` says.

    Raises:
        CheckpointError: the file is damaged.
    """
    with _reading(path) as file:
        metadata = file.metadata() or {}
    return not any(_differs(metadata, key, wanted) for key, wanted in belongs_to.items())


def setbacks(path: Path) -> int:
    """How often the training whose checkpoint is at `path` was rolled back; 0 of a checkpoint that is not there."""
    return int(_open(path, {})[1].get(_SETBACKS, "0")) if path.exists() else 0


def momenta(supernet: Supernet, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The momentum of every parameter that has one."""
    found = {name: optimizer.state.get(parameter, {}).get("momentum_buffer") for name, parameter in supernet.named_parameters()}
    return {name: momentum for name, momentum in found.items() if momentum is not None}


def set_momenta(supernet: Supernet, optimizer: torch.optim.Optimizer, given: Mapping[str, Tensor]) -> None:
    """Gives every parameter the momentum of its name, or zeros if there is none in `given`: no network had used it."""
    for name, parameter in supernet.named_parameters():
        momentum = torch.zeros_like(parameter)
        optimizer.state[parameter]["momentum_buffer"] = momentum.copy_(given[name]) if name in given else momentum


def read_weights(path: Path, supernet: Supernet, belongs_to: Mapping[str, str]) -> None:
    """Loads only the weights that `write` wrote into `supernet`, in place: their running average, if there is one.

    Raises:
        CheckpointError: as `read`.
    """
    tensors, _ = _open(path, belongs_to)
    _copy_weights(tensors, supernet, path, (_AVERAGE, _WEIGHT))


def _open(path: Path, belongs_to: Mapping[str, str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a checkpoint that is whole and belongs here."""
    with _reading(path) as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    for key, wanted in belongs_to.items():
        if _differs(metadata, key, wanted):
            raise CheckpointError(
                f"{path} is of {key} {metadata.get(key)}, this run is of {key} {wanted}: give --fresh to train again, or another --out"
            )
    return tensors, metadata


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """The opened safetensors file at `path`.

    Raises:
        CheckpointError: it is missing, damaged, or a pickle.
    """
    _refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or missing ({error}): delete it, or give --fresh, and it is trained again") from None


def _differs(metadata: Mapping[str, str], key: str, wanted: str) -> bool:
    return metadata.get(key, wanted if key in UNSAID else None) not in (wanted, ANY)


def _refuse_pickle(path: Path) -> None:
    """Raises for a file of `torch.save` or `pickle`, of any version."""
    if path.is_file():
        with path.open("rb") as file:
            if file.read(2) in (b"PK", *(bytes([0x80, protocol]) for protocol in range(2, 6))):
                raise CheckpointError(
                    f"{path} is a pickle of Python objects (torch.save), wanted is safetensors, plain tensors that nas.train writes; "
                    "Once-for-All's own files are translated by nas.train --init ofa:PATH"
                )


@torch.no_grad()
def _copy_weights(tensors: Mapping[str, Tensor], supernet: Supernet, path: Path, kinds: Sequence[str]) -> None:
    """Copies the tensors of the first of `kinds` that is there."""
    for name, parameter in supernet.named_parameters():
        saved = next((tensors[kind + name] for kind in kinds if kind + name in tensors), None)
        if saved is None or saved.shape != parameter.shape:
            found = "missing" if saved is None else f"of shape {tuple(saved.shape)}"
            raise CheckpointError(f"{path}: {name} is {found}, wanted {tuple(parameter.shape)}: give --fresh to train again")
        parameter.copy_(saved)
