"""Masks equal loops that spell their rules out, for positions common to all rows and per row."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tftutor import masks

ROWS, QUERIES, KEYS = 2, 3, 5  # pairwise different
position = st.integers(-1, 9)


def vector(size: int) -> st.SearchStrategy[Tensor]:
    """(size,) or (ROWS, size) positions, any of them -1."""
    one = st.lists(position, min_size=size, max_size=size)
    return st.one_of(one, st.lists(one, min_size=ROWS, max_size=ROWS)).map(torch.tensor)


def by_loops(query_pos: Tensor, key_pos: Tensor, rule: Callable[[int, int], bool]) -> Tensor:
    """(ROWS, 1, QUERIES, KEYS): the rule, entry by entry."""
    query, key = query_pos.expand(ROWS, QUERIES).tolist(), key_pos.expand(ROWS, KEYS).tolist()
    return torch.tensor([[[[rule(q, k) for k in key[b]] for q in query[b]]] for b in range(ROWS)])


@settings(deadline=None)
@given(query_pos=vector(QUERIES), key_pos=vector(KEYS))
def test_causal(query_pos, key_pos) -> None:
    mask = masks.causal_mask(query_pos, key_pos)
    assert mask.shape == (1 if query_pos.ndim == key_pos.ndim == 1 else ROWS, 1, QUERIES, KEYS)
    wanted = by_loops(query_pos, key_pos, lambda q, k: 0 <= k <= q)
    assert torch.equal(mask.expand_as(wanted), wanted)


@settings(deadline=None)
@given(query_pos=vector(QUERIES), key_pos=vector(KEYS), window=st.integers(1, 12))
def test_window(query_pos, key_pos, window) -> None:
    mask = masks.window_mask(query_pos, key_pos, window)
    wanted = by_loops(query_pos, key_pos, lambda q, k: 0 <= k <= q and q - k < window)
    assert torch.equal(mask.expand_as(wanted), wanted)


@settings(deadline=None)
@given(query_pos=vector(QUERIES), key_pos=vector(KEYS), prefix=st.integers(0, 10))
def test_prefix(query_pos, key_pos, prefix) -> None:
    mask = masks.prefix_mask(query_pos, key_pos, prefix)
    wanted = by_loops(query_pos, key_pos, lambda q, k: q >= 0 and k >= 0 and (k <= q or k < prefix))
    assert torch.equal(mask.expand_as(wanted), wanted)


@settings(deadline=None)
@given(query_pos=vector(QUERIES), key_pos=vector(KEYS), window=st.integers(1, 4), dilation=st.integers(1, 4))
def test_dilated(query_pos, key_pos, window, dilation) -> None:
    mask = masks.dilated_mask(query_pos, key_pos, window, dilation)
    allowed = range(0, window * dilation, dilation)
    wanted = by_loops(query_pos, key_pos, lambda q, k: k >= 0 and q - k in allowed)
    assert torch.equal(mask.expand_as(wanted), wanted)


@settings(deadline=None)
@given(query_pos=vector(QUERIES), key_pos=vector(KEYS), reach=st.integers(0, 4), n_global=st.integers(0, 4))
def test_global(query_pos, key_pos, reach, n_global) -> None:
    mask = masks.global_mask(query_pos, key_pos, reach, n_global)
    wanted = by_loops(
        query_pos, key_pos, lambda q, k: min(q, k) >= 0 and (abs(q - k) <= reach or q < n_global or k < n_global)
    )
    assert torch.equal(mask.expand_as(wanted), wanted)


@settings(deadline=None)
@given(query_pos=vector(QUERIES), key_pos=vector(KEYS), window=st.integers(1, 4), n_sinks=st.integers(0, 4))
def test_sinks(query_pos, key_pos, window, n_sinks) -> None:
    mask = masks.sink_mask(query_pos, key_pos, window, n_sinks)
    wanted = by_loops(query_pos, key_pos, lambda q, k: 0 <= k <= q and (q - k < window or k < n_sinks))
    assert torch.equal(mask.expand_as(wanted), wanted)


def test_patterns_that_coincide() -> None:
    pos = torch.arange(7)
    causal = masks.causal_mask(pos, pos)
    assert torch.equal(masks.dilated_mask(pos, pos, 3, 1), masks.window_mask(pos, pos, 3))
    assert torch.equal(masks.sink_mask(pos, pos, 3, 0), masks.window_mask(pos, pos, 3))
    assert torch.equal(masks.sink_mask(pos, pos, 1, 7), causal)
    assert torch.equal(masks.prefix_mask(pos, pos, 0), causal)
    assert masks.global_mask(pos, pos, 0, 7).all()
    assert torch.equal(masks.global_mask(pos, pos, 2, 1) & causal, masks.sink_mask(pos, pos, 3, 1))


@pytest.mark.parametrize(
    ("make", "sizes", "message"),
    [
        (masks.dilated_mask, (0, 1), "window: expected at least 1 position, got 0"),
        (masks.dilated_mask, (1, 0), "dilation: expected at least 1 position, got 0"),
        (masks.global_mask, (-1, 0), "reach: expected at least 0 positions, got -1"),
        (masks.global_mask, (0, -1), "n_global: expected at least 0 positions, got -1"),
        (masks.sink_mask, (1, -1), "n_sinks: expected at least 0 positions, got -1"),
        (masks.sink_mask, (0, 1), "window: expected at least 1 position, got 0"),
    ],
)
def test_sizes_out_of_range_are_refused(make, sizes, message) -> None:
    with pytest.raises(ValueError, match=message):
        make(torch.arange(3), torch.arange(3), *sizes)


def test_a_prefix_per_row() -> None:
    pos = torch.arange(4)
    together = masks.prefix_mask(pos, pos, torch.tensor([0, 3]))
    assert together.shape == (2, 1, 4, 4)
    for row, prefix in enumerate([0, 3]):
        assert torch.equal(together[row], masks.prefix_mask(pos, pos, prefix)[0])


def test_window_of_everything_is_causal_and_counts_itself() -> None:
    pos = torch.arange(7)
    assert torch.equal(masks.window_mask(pos, pos, 7), masks.causal_mask(pos, pos))
    assert masks.window_mask(pos, pos, 3)[0, 0].sum(dim=-1).tolist() == [1, 2, 3, 3, 3, 3, 3]
    with pytest.raises(ValueError, match="window: expected at least 1 position, got 0"):
        masks.window_mask(pos, pos, 0)


@settings(deadline=None)
@given(rows=st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=3))
def test_positions_count_the_real_tokens_before(rows) -> None:
    wanted = [[sum(row[:t]) if real else -1 for t, real in enumerate(row)] for row in rows]
    assert masks.count_positions(torch.tensor(rows)).tolist() == wanted


def test_padding() -> None:
    valid = torch.tensor([[True, False, True], [False, True, True]])
    mask = masks.padding_mask(valid)
    assert mask.shape == (2, 1, 1, 3)
    assert torch.equal(mask[:, 0, 0], valid)


@settings(deadline=None)
@given(
    data=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=2),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
)
def test_conversions_come_back(data, dtype) -> None:
    mask = torch.tensor(data)[None, None]
    bias = masks.to_additive(mask, dtype)
    assert bias.dtype == dtype
    assert torch.equal(masks.from_additive(bias), mask)
    assert torch.equal(masks.from_additive(bias.clamp(min=torch.finfo(dtype).min)), mask)  # finite ones too
    finite = masks.to_additive(mask, dtype, finite=True)
    assert finite.isfinite().all()
    assert torch.equal(masks.from_additive(finite), mask)
    assert torch.equal(~masks.to_blocked(mask), mask)
    assert torch.equal(masks.from_blocked(masks.to_blocked(mask)), mask)
    ones = masks.to_ones(mask)
    assert ones.sum() == mask.sum()
    for kind in (torch.int64, torch.int32, dtype, torch.bool):
        assert torch.equal(masks.from_ones(ones.to(kind)), mask)


def test_additive_values() -> None:
    bias = masks.to_additive(torch.tensor([True, False]))
    assert bias.tolist() == [0.0, float("-inf")]
    assert bias.dtype == torch.get_default_dtype()


@pytest.mark.parametrize(
    "convert",
    [masks.padding_mask, masks.count_positions, masks.to_additive, masks.to_blocked, masks.to_ones],
    ids=lambda f: f.__name__,
)
def test_float_masks_are_refused(convert) -> None:
    with pytest.raises(TypeError, match="mask: expected bool"):
        convert(torch.ones(2, 3))


def test_a_bool_mask_is_not_additive() -> None:
    with pytest.raises(TypeError, match=r"bias: expected an additive float mask, got torch\.bool"):
        masks.from_additive(torch.ones(2, 3, dtype=torch.bool))


@pytest.mark.parametrize("other", [float("-inf"), -1e9, 2, 0.5])
def test_only_ones_and_zeros_are_an_attention_mask(other) -> None:
    with pytest.raises(ValueError, match="attention_mask: expected ones and zeros"):
        masks.from_ones(torch.tensor([[1, 0, other]]))


def test_ones_are_not_a_blocked_mask() -> None:
    with pytest.raises(TypeError, match=r"blocked: expected bool .*, got torch\.int64"):
        masks.from_blocked(torch.ones(2, 3, dtype=torch.int64))


def test_masks_combine() -> None:
    pos, valid = torch.arange(3), torch.tensor([[True, True, False], [False, True, True]])
    both = masks.causal_mask(pos, pos) & masks.padding_mask(valid)
    assert both.shape == (2, 1, 3, 3)
    assert both[1, 0].int().tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 1]]
