"""A device that is not there: finds out whether code would mix tensors of two devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class Accelerator(TorchFunctionMode):
    """Pretends that the arguments live on an accelerator: what is made without `device` is on the CPU, and may not mix.

    Indexing something with a CPU tensor is allowed, as it is on a real one.
    """

    makers = frozenset({"arange", "zeros", "ones", "full", "tensor", "empty", "linspace", "range", "as_tensor"})

    def __init__(self) -> None:
        super().__init__()
        self.mixed = False
        self._cpu: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        strays = [x for x in tensors if any(x is stray for stray in self._cpu)]
        result = func(*args, **kwargs)
        if name in self.makers and kwargs.get("device") is None and not tensors:
            self._cpu.append(result)
        elif strays and name not in ("to", "type_as", "cuda", "__get__", "__getitem__"):
            if len(strays) < len(tensors):
                self.mixed = True
            elif isinstance(result, Tensor):
                self._cpu.append(result)  # made from CPU tensors alone
        return result


def mixes_devices(answer: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether an answer mixes tensors of both kinds."""
    with Accelerator() as pretended:
        answer(*args)
    return pretended.mixed
