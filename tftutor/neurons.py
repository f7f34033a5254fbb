"""Hidden features of feed-forward layers, one by one: when each is on, and what the model is without some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from tftutor.layers import FeedForward, GatedFeedForward


@contextmanager
def record_neurons(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the hidden features of every feed-forward layer during the `with` block.

    Yields a dict from module name to features (..., F), as the layer's last matrix gets them: behind the activation,
    and multiplied by the gate where there is one. A layer that runs several times leaves its last features.

    Example:
        >>> with record_neurons(model) as neurons:
        ...     model(src, tgt)
        >>> neurons["decoder.0.ffn"].shape
        torch.Size([2, 3, 1024])
    """
    with _record({name: layer.down_proj for name, layer in _layers(model).items()}) as found:
        yield found


@contextmanager
def record_inputs(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect what every feed-forward layer reads during the `with` block: name -> (..., D), of its last pass."""
    with _record(_layers(model)) as found:
        yield found


@contextmanager
def silence_neurons(model: nn.Module, silent: Mapping[str, Any]) -> Iterator[None]:
    """Set some hidden features to zero during the `with` block.

    Args:
        model: any module.
        silent: name of a feed-forward layer -> what to silence of its F features: numbers, a slice, or a bool tensor.
    """
    layers = _layers(model)
    unknown = sorted(silent.keys() - layers.keys())
    if unknown:
        raise ValueError(f"silent: expected names among {', '.join(layers)}, got {unknown[0]!r}")

    def zero(which: Any) -> Callable[..., tuple[Tensor, ...]]:
        def cut(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden = args[0].clone()
            hidden[..., which] = 0.0
            return (hidden, *args[1:])

        return cut

    hooks = [layers[name].down_proj.register_forward_pre_hook(zero(which)) for name, which in silent.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _record(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Collect the first argument of each module's last call."""
    found: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
            found[name] = args[0].detach()

        return keep

    hooks = [module.register_forward_pre_hook(keeper(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _layers(model: nn.Module) -> dict[str, FeedForward | GatedFeedForward]:
    kinds = FeedForward | GatedFeedForward
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
