"""Training in several processes (`torchrun`), as if it were one: the batch is divided, everything else is equal everywhere.

Each process has all weights and runs the same networks on its part of the batch. Statistics of batch norms are those of the
whole batch, and gradients are averaged before the update, so the losses are those of one process with the same batch, but
for rounding. Source: Goyal et al. 2017; Peng et al. 2018, MegDet (batch norms over processes).
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from nas.core.errors import ExecutorError

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that train together; this one is number `rank` of `size`, and the only one that writes is number 0."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of a batch of `count` images.

        Raises:
            ExecutorError: the batch cannot be divided into equal parts.
        """
        if count % self.size:
            raise ExecutorError(f"a batch of {count} images cannot be divided among {self.size} processes: give a multiple as --batch-size")
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def mean(self, values: Tensor) -> Tensor:
        """`values` of any shape, averaged over the processes."""
        if self.size == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.size

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces the gradients by their average over the processes, in one message; the same ones are missing everywhere."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        for gradient, averaged in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(averaged.view(gradient.shape))

    def agree(self, decision: bool) -> bool:
        """What the first process decided."""
        if self.size == 1:
            return decision
        told = torch.tensor([float(decision and self.leads)], device=_device())
        distributed.all_reduce(told)
        return bool(told.item())

    def in_turn(self, make: Callable[[], Value]) -> Value:
        """What `make` returns; the first process is done before the others begin, so that they find what it kept on disk."""
        if self.size == 1:
            return make()
        if not self.leads:
            self.agree(True)
        made = make()
        if self.leads:
            self.agree(True)
        return made

    def whole_batch_statistics(self) -> AbstractContextManager[object]:
        """Inside, batch norms in training mode use the statistics of all processes' images, and gradients know of it."""
        return nullcontext() if self.size == 1 else _WholeBatchNorm(self.size)


ALONE = Team()


def join() -> Team:
    """The team that `torchrun` started this process for, connected; or this process alone.

    Raises:
        ExecutorError: torchrun's variables are incomplete, or the other processes cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    try:
        if backend == "nccl":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group(backend)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ExecutorError(
            f"WORLD_SIZE is set, but the processes found no way to each other ({error}): start them with torchrun"
        ) from None
    return Team(distributed.get_rank(), distributed.get_world_size())


def leave(team: Team) -> None:
    """Ends what `join` began."""
    if team.size > 1:
        distributed.destroy_process_group()


def _device() -> torch.device:
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")


class _Sum(torch.autograd.Function):
    """Sum over the processes, of values and of gradients alike: each process's value counts in everyone's loss."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


class _WholeBatchNorm(TorchFunctionMode):
    """Replaces `torch.nn.functional.batch_norm` in training mode by one over all processes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is functional.batch_norm:
            return self._normalise(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    def _normalise(
        self,
        images: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        """As PyTorch's function of these arguments; running statistics, which shared weights have none of, stay as they are."""
        assert training, "only training divides a batch"
        count = images.numel() // images.shape[1] * self.size
        mean = _Sum.apply(images.sum((0, 2, 3), keepdim=True)) / count
        centred = images - mean
        variance = _Sum.apply(centred.square().sum((0, 2, 3), keepdim=True)) / count
        return torch.addcmul(bias.view(1, -1, 1, 1), centred, (variance + eps).rsqrt() * weight.view(1, -1, 1, 1))
