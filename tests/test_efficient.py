"""Attention for long sequences equals dense attention under the equivalent mask, and never makes an N x N matrix."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import normal
from torch import Tensor

from tftutor import efficient, masks
from tftutor.attention import attend, attend_with_weights
from tftutor.budget import count_flops
from tftutor.meter import peak_bytes

B, H, DH = 2, 3, 6
EXACT = 1e-12


def inputs(length: int, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(normal(B, H, length, DH, seed=seed + i) for i in range(3))


def difference(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max()) if a.numel() else 0.0


def ragged(length: int) -> tuple[Tensor, Tensor]:
    """(B, N) marks of real tokens with holes at the end of one row and inside the other, and positions of keys."""
    valid = torch.ones(B, length, dtype=torch.bool)
    valid[0, length // 3] = False
    valid[1, 2 * length // 3 :] = False
    return valid, torch.arange(length).where(valid, -1)


lengths = st.integers(1, 40)
sizes = st.integers(1, 45)


@settings(deadline=None)
@given(length=lengths, window=sizes, dilation=st.integers(1, 5))
def test_a_causal_window_is_its_mask(length, window, dilation) -> None:
    q, k, v = inputs(length)
    valid, key_pos = ragged(length)
    mask = masks.dilated_mask(torch.arange(length).expand(B, -1), key_pos, window, dilation)
    ours = efficient.window_attention(q, k, v, window=window, dilation=dilation, key_valid=valid)
    assert difference(ours, attend(q, k, v, mask=mask)) < EXACT
    if dilation == 1:
        assert torch.equal(mask, masks.window_mask(torch.arange(length).expand(B, -1), key_pos, window))


@settings(deadline=None)
@given(length=lengths, reach=st.integers(0, 45), n_global=st.integers(0, 7))
def test_a_window_with_global_tokens_is_its_mask(length, reach, n_global) -> None:
    q, k, v = inputs(length)
    valid, key_pos = ragged(length)
    mask = masks.global_mask(torch.arange(length).expand(B, -1), key_pos, reach, n_global)
    ours = efficient.longformer_attention(q, k, v, reach=reach, n_global=n_global, key_valid=valid)
    assert difference(ours, attend(q, k, v, mask=mask)) < EXACT


@settings(deadline=None)
@given(length=lengths, block=st.integers(1, 9), n_random=st.integers(0, 3))
def test_random_blocks_are_their_mask(length, block, n_random) -> None:
    q, k, v = inputs(length)
    valid, _ = ragged(length)
    n_blocks = -(-length // block)
    layout = efficient.bigbird_layout(n_blocks, n_random=n_random, generator=torch.Generator().manual_seed(length))
    mask = efficient.layout_mask(layout, length, block=block)
    mask[..., :block, :] = mask[..., (n_blocks - 1) * block :, :] = True
    ours = efficient.bigbird_attention(q, k, v, layout, block=block, key_valid=valid)
    assert difference(ours, attend(q, k, v, mask=mask & masks.padding_mask(valid))) < EXACT


def test_a_layout_names_no_block_twice_and_the_asked_number_of_random_ones() -> None:
    layout = efficient.bigbird_layout(12, n_random=3)
    for i, row in enumerate(layout.tolist()):
        real = [j for j in row if j >= 0]
        assert len(set(real)) == len(real)
        assert {0, 11, i} <= set(real)
    assert (layout[2:-2] >= 0).all()
    assert layout.shape == (12, 8)


@settings(deadline=None)
@given(length=lengths, n_queries=lengths, block=sizes, causal=st.booleans())
def test_one_piece_after_another_is_the_whole(length, n_queries, block, causal) -> None:
    q, k, v = inputs(length)
    q = q[:, :, -n_queries:]
    valid, _ = ragged(length)
    pos = torch.arange(length)
    mask = masks.padding_mask(valid)
    if causal:
        mask = mask & masks.causal_mask(pos[-q.shape[2] :], pos)
    ours = efficient.blockwise_attention(q, k, v, causal=causal, key_valid=valid, block=block)
    assert difference(ours, attend(q, k, v, mask=mask)) < EXACT


@given(order=st.permutations(range(5)))
def test_pieces_merge_in_any_order(order) -> None:
    q, k, v = inputs(10)
    parts = [efficient.partial_attention(q, k[:, :, i::5], v[:, :, i::5]) for i in order]
    merged = parts[0]
    for part in parts[1:]:
        merged = efficient.merge(merged, part)
    assert difference(efficient.finish(merged), attend(q, k, v)) < EXACT


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
def test_large_scores_neither_overflow_nor_vanish(size) -> None:
    q, k, v = inputs(12)
    ours = efficient.blockwise_attention(q * size, k, v, block=5)
    assert difference(ours, attend(q * size, k, v)) < 1e-9


def test_without_the_largest_score_the_pieces_overflow() -> None:
    """The variant that the tests above must reject: exponentials summed as they are."""
    q, k, v = inputs(12)
    weights = [(1e6 * q @ part.mT / math.sqrt(DH)).exp() for part in k.split(5, dim=2)]
    mixed = sum(w @ part for w, part in zip(weights, v.split(5, dim=2), strict=True))
    assert not (mixed / sum(w.sum(dim=-1, keepdim=True) for w in weights)).isfinite().all()


def test_a_query_that_may_look_at_nothing_gets_zeros() -> None:
    q, k, v = inputs(7)
    nobody = torch.zeros(B, 7, dtype=torch.bool)
    for heads in (
        efficient.blockwise_attention(q, k, v, key_valid=nobody, block=3),
        efficient.window_attention(q, k, v, window=2, key_valid=nobody),
        efficient.longformer_attention(q, k, v, reach=1, n_global=2, key_valid=nobody),
        efficient.bigbird_attention(q, k, v, efficient.bigbird_layout(4, n_random=1), block=2, key_valid=nobody),
    ):
        assert difference(heads, torch.zeros_like(q)) == 0


def dense_linear(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    weights = (efficient.positive_features(q) @ efficient.positive_features(k).mT) * mask
    return weights / weights.sum(dim=-1, keepdim=True) @ v


@settings(deadline=None)
@given(length=lengths, chunk=sizes)
def test_linear_attention_is_its_definition(length, chunk) -> None:
    q, k, v = inputs(length)
    valid, _ = ragged(length)
    valid[:, 0] = True
    both = efficient.linear_attention(q, k, v, key_valid=valid)
    assert difference(both, dense_linear(q, k, v, masks.padding_mask(valid))) < EXACT
    causal = masks.causal_mask(torch.arange(length), torch.arange(length))
    assert difference(efficient.linear_attention(q, k, v, causal=True, chunk=chunk),
                      dense_linear(q, k, v, causal)) < EXACT  # fmt: skip


def test_linear_attention_step_by_step_is_the_causal_one() -> None:
    q, k, v = inputs(9)
    state, outputs = None, []
    for t in range(9):
        out, state = efficient.linear_attention_step(*(x[:, :, t : t + 1] for x in (q, k, v)), state)
        outputs.append(out)
    assert difference(torch.cat(outputs, dim=2), efficient.linear_attention(q, k, v, causal=True, chunk=4)) < EXACT
    assert state.mixed.shape == (B, H, DH, DH)  # whatever the number of tokens


def test_the_mixture_of_all_tokens_by_the_identity_is_attention() -> None:
    q, k, v = inputs(8)
    same = torch.eye(8, dtype=q.dtype)
    assert difference(efficient.linformer_attention(q, k, v, key_mix=same, value_mix=same), attend(q, k, v)) < EXACT
    with pytest.raises(ValueError, match=r"key_mix: expected shape \(H, n_mixed, N=8\), got \(1, 4, 9\)"):
        efficient.linformer_attention(q, k, v, key_mix=normal(4, 9), value_mix=same)


def shared_attention(qk: Tensor, v: Tensor, *, causal: bool) -> Tensor:
    """Dense attention with the keys of `lsh_attention`; oneself only where there is nothing else."""
    pos = torch.arange(qk.shape[2])
    mask = masks.causal_mask(pos, pos) if causal else torch.ones(1, 1, len(pos), len(pos), dtype=torch.bool)
    keys = qk / qk.square().sum(dim=-1, keepdim=True).sqrt()
    bias = -1e5 * torch.eye(len(pos), dtype=qk.dtype)
    return attend_with_weights(qk, keys, v, mask=mask, bias=bias[None, None], scale=1.0).heads


@pytest.mark.parametrize("causal", [False, True])
def test_two_chunks_that_see_each_other_miss_nobody(causal) -> None:
    qk, _, v = inputs(8)
    buckets = efficient.lsh_buckets(qk, normal(H, DH, 3, 2))
    ours = efficient.lsh_attention(qk, v, buckets, chunk=4, causal=causal)  # 2 chunks a round, but rounds are linked
    one = efficient.lsh_attention(qk, v, buckets[:, :, :1], chunk=4, causal=causal)
    assert difference(one, shared_attention(qk, v, causal=causal)) < 1e-5  # a norm's 1e-6 apart
    assert ours.shape == qk.shape


def test_hashing_finds_the_neighbours_and_more_rounds_find_more() -> None:
    generator = torch.Generator().manual_seed(0)
    qk = torch.randn(1, 1, 512, 32, generator=generator)
    qk[:, :, 256:] = qk[:, :, :256] + 0.1 * torch.randn(1, 1, 256, 32, generator=generator)  # each has a near twin
    qk = 20 * torch.nn.functional.normalize(qk, dim=-1)  # sharp: a twin has nearly all of the weight
    v = torch.randn(1, 1, 512, 8, generator=generator)
    dense = shared_attention(qk, v, causal=False)
    errors = []
    for rounds in (1, 4, 16):
        rotations = torch.randn(1, 32, rounds, 16, generator=generator)
        ours = efficient.lsh_attention(qk, v, efficient.lsh_buckets(qk, rotations), chunk=16)
        errors.append(float((ours - dense).norm() / dense.norm()))
    scattered = torch.randint(0, 32, (1, 1, 4, 512), generator=generator)  # buckets that say nothing
    blind = efficient.lsh_attention(qk, v, scattered, chunk=16)
    assert errors[0] > errors[1] > errors[2]
    assert errors[1] < 0.5 * float((blind - dense).norm() / dense.norm())


def test_buckets_of_two_choices_are_pairs_of_them() -> None:
    vectors, one, two = normal(B, H, 30, DH), normal(H, DH, 2, 2, seed=1), normal(H, DH, 2, 3, seed=2)
    first, second = (efficient.lsh_buckets(vectors, rotation) for rotation in (one, two))
    pairs = efficient.lsh_buckets(vectors, one, two)
    assert torch.equal(pairs % 4, first)
    assert torch.equal(pairs // 4, second)
    assert pairs.shape == (B, H, 2, 30)
    with pytest.raises(ValueError, match="rotations: expected at least one tensor, got none"):
        efficient.lsh_buckets(vectors)


def test_a_text_that_does_not_fill_its_chunks_is_refused() -> None:
    qk, _, v = inputs(10)
    with pytest.raises(ValueError, match="qk: expected a multiple of chunk=4 tokens, got 10; pad the text"):
        efficient.lsh_attention(qk, v, torch.zeros(B, H, 1, 10, dtype=torch.int64), chunk=4)


CAUSAL: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "blockwise": lambda q, k, v: efficient.blockwise_attention(q, k, v, causal=True, block=5),
    "window": lambda q, k, v: efficient.window_attention(q, k, v, window=4),
    "dilated": lambda q, k, v: efficient.window_attention(q, k, v, window=3, dilation=2),
    "linear": lambda q, k, v: efficient.linear_attention(q, k, v, causal=True, chunk=5),
}
BOTH_WAYS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "blockwise": lambda q, k, v: efficient.blockwise_attention(q, k, v, block=5),
    "longformer": lambda q, k, v: efficient.longformer_attention(q, k, v, reach=2, n_global=1),
    "bigbird": lambda q, k, v: efficient.bigbird_attention(q, k, v, efficient.bigbird_layout(5, n_random=1), block=4),
    "linear": efficient.linear_attention,
    "linformer": lambda q, k, v: efficient.linformer_attention(
        q, k, v, key_mix=normal(4, 20, seed=7), value_mix=normal(4, 20, seed=8)),
}  # fmt: skip


def change_before_the_last(fn: Callable[[Tensor, Tensor, Tensor], Tensor]) -> float:
    """How far outputs before the last token move when the last key and value change."""
    q, k, v = inputs(20)
    k2, v2 = k.clone(), v.clone()
    k2[:, :, -1] += 1
    v2[:, :, -1] += 1
    return difference(fn(q, k, v)[:, :, :-1], fn(q, k2, v2)[:, :, :-1])


@pytest.mark.parametrize("name", CAUSAL)
def test_the_causal_ones_do_not_look_ahead(name) -> None:
    assert change_before_the_last(CAUSAL[name]) == 0


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_the_others_do(name) -> None:
    assert change_before_the_last(BOTH_WAYS[name]) > 1e-3


def test_a_token_that_is_not_hashed_apart_does_not_leak_backwards() -> None:
    qk, _, v = inputs(12)
    v2 = v.clone()
    v2[:, :, -1] += 1
    buckets = torch.zeros(B, H, 1, 12, dtype=torch.int64)
    ours, changed = (efficient.lsh_attention(qk, x, buckets, chunk=4, causal=True) for x in (v, v2))
    assert difference(ours[:, :, :-1], changed[:, :, :-1]) == 0


LINEAR_MEMORY: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "blockwise": lambda q, k, v: efficient.blockwise_attention(q, k, v, block=128),
    "window": lambda q, k, v: efficient.window_attention(q, k, v, window=32),
    "dilated": lambda q, k, v: efficient.window_attention(q, k, v, window=32, dilation=4),
    "longformer": lambda q, k, v: efficient.longformer_attention(q, k, v, reach=16, n_global=4),
    "bigbird": lambda q, k, v: efficient.bigbird_attention(
        q, k, v, efficient.bigbird_layout(q.shape[2] // 16, n_random=2), block=16),
    "linear": efficient.linear_attention,
    "linear causal": lambda q, k, v: efficient.linear_attention(q, k, v, causal=True, chunk=64),
    "lsh": lambda q, k, v: efficient.lsh_attention(
        q, v, efficient.lsh_buckets(q, normal(1, 8, 2, 8).float()), chunk=16),
    "linformer": lambda q, k, v: efficient.linformer_attention(
        q, k, v, key_mix=torch.ones(16, q.shape[2]), value_mix=torch.ones(16, q.shape[2])),
}  # fmt: skip


def growth(fn: Callable[[Tensor, Tensor, Tensor], Tensor]) -> float:
    """By how much the peak memory grows when the text becomes four times as long."""
    peaks = []
    for length in (1024, 4096):
        q, k, v = (torch.randn(1, 1, length, 8) for _ in range(3))
        peaks.append(peak_bytes(lambda q=q, k=k, v=v: fn(q, k, v)))
    return peaks[1] / peaks[0]


@pytest.mark.parametrize("name", LINEAR_MEMORY)
def test_memory_grows_in_proportion_to_the_length(name) -> None:
    assert growth(LINEAR_MEMORY[name]) < 4.5


def test_a_dense_matrix_behind_a_sparse_name_is_found_out() -> None:
    def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        pos = torch.arange(q.shape[2])
        return attend_with_weights(q, k, v, mask=masks.window_mask(pos, pos, 32)).heads

    assert growth(masked) > 12


def counted(fn: Callable[[Tensor, Tensor, Tensor], Tensor], length: int) -> int:
    return count_flops(lambda: fn(*(torch.randn(1, 1, length, 8) for _ in range(3))))


def test_dense_operations_are_counted_whichever_path_they_take() -> None:
    for fn in (attend, lambda q, k, v: attend_with_weights(q, k, v).heads):
        assert counted(fn, 96) == 4 * 96 * 96 * 8


@pytest.mark.parametrize("name", LINEAR_MEMORY)
def test_operations_grow_in_proportion_to_the_length(name) -> None:
    ratio = counted(LINEAR_MEMORY[name], 1024) / counted(LINEAR_MEMORY[name], 256)
    assert ratio == 16 if name == "blockwise" else ratio < 4.3
