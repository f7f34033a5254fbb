"""How much memory a computation holds at once, whatever the machine: bytes of tensors, counted as they come and go."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Within `with PeakMemory() as meter:`, `meter.peak` is the largest number of bytes that new tensors held at once.

    Tensors that existed before do not count. Scratch space inside a fused kernel is not seen: it never becomes a
    tensor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0  # bytes held by tensors made inside and still alive
        self.peak = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run the operation and count the storages it made."""
        before = {self._key(x) for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor) and self._key(x) not in before:
                self._watch(x.untyped_storage())
        return out

    @staticmethod
    def _key(x: torch.Tensor) -> int:
        return x.untyped_storage()._cdata

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._alive[key] = weakref.ref(storage, lambda _: self._forget(key, size))
        self.now += size
        self.peak = max(self.peak, self.now)

    def _forget(self, key: int, size: int) -> None:
        if self._alive.pop(key, None) is not None:
            self.now -= size


def peak_bytes(work: Callable[[], Any]) -> int:
    """Bytes of new tensors that `work()` holds at its peak, its result included; without gradients."""
    with torch.no_grad(), PeakMemory() as meter:
        result = work()
    del result
    return meter.peak
