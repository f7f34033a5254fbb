"""One process or several: what `torchrun` started, and the few things they must agree on.

Each process computes its share of every batch; DistributedDataParallel averages their gradients. Wanted is the gradient
of the sum over all tokens, divided by their number. The shares hold unequal numbers of tokens, so the loss of a process
is its own sum, times the number of processes, divided by the number of all tokens (`Processes.loss_weight`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among `world_size` that train together."""

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, batch: list[int]) -> list[int]:
        """This process's part of a batch; it may be empty."""
        return batch[self.rank :: self.world_size]

    def total(self, *numbers: float) -> list[float]:
        """Each number summed over all processes."""
        if self.world_size == 1:
            return list(numbers)
        totals = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(totals)
        return totals.tolist()

    def loss_weight(self, n_tokens: float, all_tokens: float) -> float:
        """By what to multiply the summed loss of this process's `n_tokens`, of `all_tokens` in the step.

        DistributedDataParallel divides by the number of processes; this undoes it and divides by all tokens.
        """
        return self.world_size / all_tokens if n_tokens else 0.0

    def from_main(self, value: Any) -> Any:
        """What the main process passed, in all processes."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over all processes."""
        if self.world_size == 1:
            return model
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices)


@contextmanager
def processes(device: str | torch.device | None = None) -> Iterator[Processes]:
    """The processes that `torchrun` started, or this one alone.

    Args:
        device: where to compute; None: a GPU if there is one, one GPU per process.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if device is None:
        device = f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world_size == 1:
        yield Processes(device=device)
        return
    mine = not dist.is_initialized()
    if mine:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(hours=2))
    try:
        yield Processes(
            rank=dist.get_rank(),
            world_size=dist.get_world_size(),
            local_world_size=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
            device=device,
        )
    finally:
        if mine:
            dist.destroy_process_group()
