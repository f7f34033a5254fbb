"""The cache and the state: where tokens go, what is remembered, who comes and goes."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import encoder_decoder, gpt, ids, normal, right_padded

from tftutor.state import KV, DecoderState, KVCache, Slots

B, G, MAX, DH = 2, 3, 16, 6


def cache(batch_size: int = B, n_kv_heads: int = G) -> KVCache:
    return KVCache(batch_size, n_kv_heads, MAX, DH, like=torch.zeros(1))


def state(n_rows: int = B, max_len: int = MAX) -> DecoderState:
    return DecoderState(n_rows, [cache(n_rows)], max_len=max_len, device=torch.device("cpu"))


def kv(n_rows: int, length: int, *, seed: int = 0) -> KV:
    return KV(normal(n_rows, G, length, DH, seed=seed).float(), normal(n_rows, G, length, DH, seed=seed + 1).float())


def read(memory: DecoderState, new: KV, valid: torch.Tensor | None = None) -> tuple[Slots, KV]:
    """One step of a decoder with one layer."""
    tokens = torch.zeros(new.keys.shape[0], new.keys.shape[2], dtype=torch.int64)
    slots = memory.place(tokens, valid)
    everything = memory.layers[0].append(new, slots)
    memory.advance(tokens, slots)
    return slots, everything


@pytest.mark.parametrize(("n_kv_heads", "nbytes"), [(1, 1536), (2, 3072), (4, 6144)])
def test_bytes_are_counted_per_key_value_head(n_kv_heads, nbytes) -> None:
    one = cache(n_kv_heads=n_kv_heads)  # batch 2, 16 positions, heads of width 6, keys and values, 4 bytes each
    assert one.nbytes == nbytes
    both = DecoderState(B, [one, cache(n_kv_heads=n_kv_heads)], max_len=MAX, device=torch.device("cpu"))
    assert both.nbytes == 2 * nbytes


def test_equal_rows_are_appended_as_one_slice_without_copying() -> None:
    memory, first, second = state(), kv(B, 4), kv(B, 3, seed=7)
    read(memory, first)
    slots, now = read(memory, second)
    assert slots.query_pos.tolist() == [4, 5, 6]
    assert slots.key_pos.tolist() == list(range(7))
    for part, a, b in zip(now, first, second, strict=True):
        assert torch.equal(part, torch.cat([a, b], dim=2))
    assert now.keys.untyped_storage().nbytes() == memory.nbytes // 2  # a view of the whole buffer


@settings(deadline=None)
@given(data=st.data())
def test_any_ragged_steps_equal_lists_that_grow(data) -> None:
    """A cache is a list of keys per row; slots say which row holds what."""
    memory, n_rows = state(3), 3
    lists: list[list[float]] = [[] for _ in range(n_rows)]
    for step in range(data.draw(st.integers(1, 4))):
        width = data.draw(st.integers(1, 4))
        marks = data.draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=n_rows,
                                   max_size=n_rows))  # fmt: skip
        new = kv(n_rows, width, seed=10 * step)
        before = [len(row) for row in lists]
        slots, now = read(memory, new, torch.tensor(marks))
        query_pos, key_pos = slots.query_pos.expand(n_rows, width), slots.key_pos.expand(n_rows, -1)
        for b, row in enumerate(lists):
            row.extend(new.keys[b, 0, t, 0].item() for t in range(width) if marks[b][t])
            assert key_pos[b].tolist() == [s if s < len(row) else -1 for s in range(slots.stop)]
            assert now.keys[b, 0, : len(row), 0].tolist() == row
            wanted = [before[b] + sum(marks[b][:t]) if marks[b][t] else -1 for t in range(width)]
            assert query_pos[b].tolist() == wanted
        assert memory.lengths.tolist() == [len(row) for row in lists]
        assert slots.stop == max(memory.lengths.tolist())


def test_reorder_repeats_leaves_out_and_keeps_contents() -> None:
    memory, new = state(), kv(B, 4)
    read(memory, new, right_padded([4, 2], 4))
    memory.reorder(torch.tensor([1, 0, 1]))
    assert memory.lengths.tolist() == [2, 4, 2]
    assert len(memory) == 3
    more = kv(3, 1, seed=5)
    slots, now = read(memory, more)
    assert slots.key_pos.tolist() == [[0, 1, 2, -1, -1], [0, 1, 2, 3, 4], [0, 1, 2, -1, -1]]
    assert torch.equal(now.keys[2, :, :3], torch.cat([new.keys[1, :, :2], more.keys[2]], dim=1))
    assert torch.equal(now.values[1, :, :5], torch.cat([new.values[0], more.values[1]], dim=1))


def test_reorder_within_the_batch_does_not_mix_rows() -> None:
    memory, new = state(), kv(B, 4)
    read(memory, new)
    memory.reorder(torch.tensor([1, 1]))
    for part, source in zip(memory.layers[0]._buffers, new, strict=True):
        assert torch.equal(part[:, :, :4], source[[1, 1]])


def test_drop_and_admit() -> None:
    memory, new, joining, newer = state(), kv(B, 4), state(1), kv(1, 6, seed=3)
    read(memory, new)
    read(joining, newer)
    memory.drop(torch.tensor([0]))
    memory.admit(joining)
    assert memory.lengths.tolist() == [4, 6]
    slots, now = read(memory, kv(2, 1, seed=9))
    assert slots.query_pos.tolist() == [[4], [6]]
    assert torch.equal(now.keys[0, :, :4], new.keys[1])
    assert torch.equal(now.keys[1, :, :6], newer.keys[0])


def test_everyone_may_leave_and_others_come() -> None:
    memory, joining = state(), state(1)
    read(memory, kv(B, 4))
    memory.drop(torch.tensor([0, 1]))
    assert len(memory) == 0
    read(joining, kv(1, 2))
    memory.admit(joining)
    slots, _ = read(memory, kv(1, 1))
    assert slots.query_pos.tolist() == [2]


def test_admit_refuses_the_state_of_another_model() -> None:
    other = DecoderState(1, [], max_len=MAX, device=torch.device("cpu"))
    with pytest.raises(
        ValueError, match=re.escape("other: expected a state of the same model (1 layers, 16 positions)")
    ):
        state().admit(other)


def test_a_full_state_refuses_and_stays_as_it_was() -> None:
    memory = state(max_len=5)
    read(memory, kv(B, 4))
    with pytest.raises(ValueError, match="tokens: expected at most 5 positions in the state, got 6"):
        read(memory, kv(B, 2))
    assert memory.lengths.tolist() == [4, 4]
    read(memory, kv(B, 3), right_padded([1, 0], 3))  # padding takes no room
    assert memory.lengths.tolist() == [5, 4]


def test_rows_and_marks_must_fit() -> None:
    tokens = torch.zeros(3, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match="tokens: expected 2 rows as in the state, got 3"):
        state().place(tokens, None)
    with pytest.raises(ValueError, match="valid: expected the shape of the tokens"):
        state(3).place(tokens, torch.ones(3, 2, dtype=torch.bool))


def test_no_gradients_through_the_cache() -> None:
    memory, new = state(), kv(B, 4)
    new.keys.requires_grad_()
    with pytest.raises(RuntimeError, match=r"KVCache is for inference: call the model under torch\.no_grad"):
        read(memory, new)
    model = gpt()
    with pytest.raises(RuntimeError, match="KVCache is for inference"):
        model.step(ids(1, 3), model.new_state(1))


def test_the_cache_counts_key_value_heads_and_layers() -> None:
    with torch.no_grad():
        full, shared = (gpt(n_kv_heads=g).new_state(2) for g in (4, 1))
        assert full.nbytes == 4 * shared.nbytes == 2 * 2 * 2 * 40 * 24 * 8  # layers, k and v, rows, positions, D, bytes
        state = encoder_decoder(n_kv_heads=2).start(ids(2, 7))
    assert [tuple(kv.keys.shape) for kv in state.memory] == [(2, 2, 7, 6)] * 3  # encoded once, at key/value-head count
    assert len(state.layers) == 3


def test_rows_with_sources_of_other_lengths_join() -> None:
    model = encoder_decoder()
    with torch.no_grad():
        one, two = model.start(ids(1, 4)), model.start(ids(2, 6), right_padded([6, 5], 6))
        one.admit(two)
        plain = model.start(ids(1, 6))
        plain.admit(model.start(ids(2, 6)))
    assert one.src_valid.sum(dim=1).tolist() == [4, 6, 5]
    assert one.memory[0].keys.shape[2] == 6
    assert plain.src_valid is None  # no padding anywhere, none to mark


def test_the_dtype_of_the_model_is_kept() -> None:
    model = gpt().bfloat16()
    assert model.new_state(1).layers[0]._buffers.keys.dtype == torch.bfloat16
