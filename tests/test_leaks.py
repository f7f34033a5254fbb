"""Influence tables against layers whose influence is known, and leaks that each of the two ways overlooks."""

from __future__ import annotations

import pytest
import torch
from tiny import gpt, ids, normal
from torch import Tensor

from tftutor.attention import attend
from tftutor.properties import gradient_influence, influence, leak_change, leak_gradient

B, T, D = 2, 6, 5


def mixing(matrix: Tensor):
    """Output t is the sum of matrix[t, s] times input s."""
    return lambda x: torch.einsum("ts,bsd->btd", matrix.to(x.dtype), x)


def masked(mask: Tensor):
    """Attention of vectors among themselves under a mask (T, T)."""
    return lambda x: attend(x[:, None], x[:, None], x[:, None], mask=mask)[:, 0]


@pytest.mark.parametrize("measure", [influence, gradient_influence])
def test_the_table_shows_which_input_reaches_which_output(measure) -> None:
    matrix = (torch.rand(T, T, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    assert torch.equal(measure(mixing(matrix), normal(B, T, D)) > 0, matrix > 0)


@pytest.mark.parametrize("measure", [influence, gradient_influence])
@pytest.mark.parametrize("diagonal", [-1, 0, 1])
def test_rows_are_outputs_and_columns_inputs(measure, diagonal) -> None:
    mask = torch.ones(T, T, dtype=torch.bool).tril(diagonal)
    table = measure(masked(mask), normal(B, T, D))
    assert not table[~mask & ~torch.eye(T, dtype=torch.bool)].any()
    assert table.diagonal(-2).min() > 0


def test_ids_and_models() -> None:
    assert leak_change(gpt(), ids(B, T)) == 0
    table = influence(gpt(), ids(B, T))
    assert table.shape == (T, T)
    assert (table.tril() > 0).sum() == T * (T + 1) // 2
    alone = influence(lambda x: x.double(), ids(B, T))  # (B, T) -> (B, T)
    assert torch.equal(alone > 0, torch.eye(T, dtype=torch.bool))


def test_a_detached_way_is_seen_by_changes_only() -> None:
    def fn(x: Tensor) -> Tensor:
        return x.cumsum(dim=1) / x.detach().norm(dim=(1, 2), keepdim=True)

    assert leak_gradient(fn, normal(B, T, D)) == 0
    assert leak_change(fn, normal(B, T, D)) > 0.01


def test_a_way_that_a_replacement_does_not_take_is_seen_by_gradients_only() -> None:
    def fn(x: Tensor) -> Tensor:  # the replacements hide the last token's influence
        return x + 1e-3 * torch.sin(1e3 * (x[:, -1:] - x[:, -1:].detach()))

    assert leak_gradient(fn, normal(B, T, D)) > 0.01
    assert leak_change(fn, normal(B, T, D)) == 0


def test_nan_is_below_no_bound() -> None:
    def fn(x: Tensor) -> Tensor:
        return (x @ x.mT).masked_fill(torch.ones(T, T).triu().bool(), -torch.inf).softmax(-1) @ x

    assert not leak_change(fn, normal(B, T, D)) <= 1.0


def test_nothing_is_left_behind() -> None:
    x, state = normal(B, T, D), torch.random.get_rng_state()
    before = x.clone()
    with torch.no_grad():
        gradient_influence(mixing(torch.eye(T)), x)
    influence(mixing(torch.eye(T)), x)
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert torch.equal(state, torch.random.get_rng_state())
