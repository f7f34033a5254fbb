"""The five wirings are what their formulas say, and differ in what reaches the first block."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tftutor.training.depth import CONTEXT, WIRINGS, DeepNet, gradient_sizes, last_character_loss, likeness

TOKENS = torch.randint(0, 80, (7, CONTEXT + 1), generator=torch.Generator().manual_seed(0))


def net(wiring: str, depth: int = 3, **options: object) -> DeepNet:
    torch.manual_seed(0)
    return DeepNet(wiring, depth, width=12, **options)


def silenced(wiring: str) -> list[torch.Tensor]:
    """States of a net whose blocks return zero."""
    quiet = net(wiring)
    for block in quiet.blocks:
        nn.init.zeros_(block[2].weight), nn.init.zeros_(block[2].bias)
    return quiet.states(TOKENS[:, :-1])


@pytest.mark.parametrize("wiring", WIRINGS)
def test_silent_blocks_show_the_wiring(wiring) -> None:
    first, *_, last = silenced(wiring)
    expected = {"plain": 0 * first, "norm": 0 * first, "residual": first, "pre": first,
                "post": nn.functional.layer_norm(first, (12,))}[wiring]  # fmt: skip
    torch.testing.assert_close(last, expected, rtol=0, atol=1e-4)


def test_gradients_are_those_of_the_states() -> None:
    deep = net("residual")
    x0 = deep.states(TOKENS[:, :-1])[0].detach().requires_grad_()
    x = x0
    for block in deep.blocks:
        x = x + block(x)
    loss = nn.functional.cross_entropy(deep.leave(x), TOKENS[:, -1])
    torch.testing.assert_close(loss, last_character_loss(deep, TOKENS))
    first, last = torch.autograd.grad(loss, (x0, x))
    sizes = gradient_sizes(deep, TOKENS)
    assert len(sizes) == 4
    torch.testing.assert_close(sizes[[0, -1]], torch.stack([g.square().mean().sqrt() for g in (first, last)]))


def test_depth_starves_the_plain_stack_only() -> None:
    ratio = {wiring: float(gradient_sizes(net(wiring, 16), TOKENS)[0]) for wiring in WIRINGS}
    assert ratio["plain"] < 1e-6 * min(ratio[name] for name in WIRINGS if name != "plain")


def test_larger_weights_make_the_residual_stream_explode() -> None:
    with torch.no_grad():
        small, large = (net("residual", 16, he=he).states(TOKENS[:, :-1])[-1].square().mean() for he in (False, True))
    assert large > 1e4 * small


def test_likeness_of_known_vectors() -> None:
    same, apart = torch.ones(3, 4), torch.eye(3, 4)
    assert likeness([same, apart]).tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    assert likeness([torch.tensor([[1.0, 0.0], [-2.0, 0.0]])]).tolist() == pytest.approx([-1.0])


def test_an_unknown_wiring_is_refused() -> None:
    with pytest.raises(ValueError, match=r"wiring: expected one of 'plain', .*, got 'both'"):
        DeepNet("both", 2)
