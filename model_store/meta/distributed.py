"""One training by several processes under ``torchrun``: each takes its shard of the users of every batch.

All processes hold the same data, network and generator, and deal the same episodes. Each computes its share of the
loss, whose parts add up to the loss of the whole batch; so do their gradients, which are summed over all processes
before every process takes the same step. Only dropout differs from the draws of one process. Rank 0
alone validates, decides, and writes.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

Value = TypeVar("Value")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> ProcessGroup:
        """The processes that ``joined`` connected; this one alone without it."""
        if not distributed.is_initialized():
            return ALONE
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process validates, decides and writes."""
        return self.rank == 0

    @property
    def shard(self) -> slice:
        """This process's shard of anything that all processes hold."""
        return slice(self.rank, None, self.size)

    def total(self, part: Tensor) -> Tensor:
        """The sum of every process's ``part``, without a gradient."""
        whole = part.detach().clone()
        if self.size > 1:
            distributed.all_reduce(whole)
        return whole

    def add_gradients(self, network: nn.Module) -> None:
        """Replace the gradients of ``network`` by their sums over all processes."""
        if self.size > 1:
            gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
            flat = parameters_to_vector(gradients)
            distributed.all_reduce(flat)
            vector_to_parameters(flat, gradients)

    def broadcast(self, compute: Callable[[], Value]) -> Value:
        """Run ``compute`` on rank 0 and broadcast the result."""
        if self.size == 1:
            return compute()
        values = [compute() if self.is_first else None]
        distributed.broadcast_object_list(values)
        return values[0]  # type: ignore[return-value]

    def reseed(self, seed: int, epoch: int) -> None:
        """Seed dropout per process and epoch, so that processes differ and a resumed epoch repeats."""
        if self.size > 1:
            torch.manual_seed(seed + (epoch * self.size + self.rank) * 1_000_003)


ALONE = ProcessGroup()


@contextmanager
def joined() -> Iterator[ProcessGroup]:
    """Join the other processes that ``torchrun`` started, until the block ends; without it, stay alone.

    The data and the network are in memory, so the processes talk through gloo.
    """
    if int(os.environ.get("WORLD_SIZE") or "1") == 1:
        yield ALONE
        return
    # Its functions keep the group of the moment of import as a default. An optimiser imports it, so that the group's
    # threads would outlive the group, and one that still frees a tensor when the interpreter ends aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    distributed.init_process_group("gloo")
    try:
        yield ProcessGroup.current()
    finally:
        distributed.destroy_process_group()
