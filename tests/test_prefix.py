"""A decoder-only stack under a prefix mask: what may see what, in one pass, in steps, in ragged batches."""

from __future__ import annotations

import functools

import pytest
import torch
from tiny import GPT_SCHEMES, gpt, ids, left_padded, right_padded
from torch import Tensor

from tftutor import masks
from tftutor.models import GPT
from tftutor.models import gpt as gpt_module
from tftutor.state import SlidingState

B, T = 3, 7
EXACT = 1e-12  # float64
PREFIX = torch.tensor([4, 2, 7])
every_scheme = pytest.mark.parametrize("positions", GPT_SCHEMES)
Run = functools.partial


def change(run, tokens: Tensor, at: int) -> Tensor:
    """How much the logits of each place change when the token at place `at` does, (B, T)."""
    other = tokens.clone()
    other[:, at] = 3 + (tokens[:, at] - 2) % 8
    with torch.no_grad():
        return (run(other) - run(tokens)).abs().amax(dim=-1)


def sees(run, tokens: Tensor) -> Tensor:
    """Bool (B, T, T): whether place t depends on the token at place s."""
    return torch.stack([change(run, tokens, at) > 1e-9 for at in range(tokens.shape[1])], dim=2)


def expected(prefix: Tensor, length: int) -> Tensor:
    """What place t may depend on, by words: what stands at or before it, and its own prefix if it is inside it."""
    rows = torch.zeros(len(prefix), length, length, dtype=torch.bool)
    for b, n in enumerate(prefix.tolist()):
        for t in range(length):
            for s in range(length):
                rows[b, t, s] = s <= t or (t < n and s < n)
    return rows


@every_scheme
def test_a_place_depends_on_what_the_mask_says(positions) -> None:
    model, tokens = gpt(positions=positions), ids(B, T)
    found = sees(lambda x: model(x, prefix=PREFIX), tokens)
    assert torch.equal(found, expected(PREFIX, T))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda q, k, p: masks.causal_mask(q, k),
        lambda q, k, p: masks.prefix_mask(q, k, p + 1),
        lambda q, k, p: masks.prefix_mask(q, k, p - 1),
        lambda q, k, p: masks.prefix_mask(q, k, p[:1]),
        lambda q, k, p: torch.ones(1, 1, len(q), len(k), dtype=torch.bool),
        lambda q, k, p: masks.prefix_mask(q, k, p) & (k >= p[:, None, None, None] - 1),
    ],
    ids=["causal", "one more", "one less", "first row's", "all", "the prefix forgotten"],
)
def test_the_check_rejects_other_masks(monkeypatch, wrong) -> None:
    model, tokens, prefix = gpt(), ids(B, T), torch.tensor([4, 2, 5])
    monkeypatch.setattr(gpt_module, "prefix_mask", wrong)
    found = sees(lambda x: model(x, prefix=prefix), tokens)
    assert not torch.equal(found, expected(prefix, T))


@every_scheme
@pytest.mark.parametrize("prefix", [None, 0, 1])
def test_a_prefix_of_one_token_is_causal(positions, prefix) -> None:
    model, tokens = gpt(positions=positions), ids(B, T)
    given = None if prefix is None else torch.full((B,), prefix)
    assert torch.equal(model(tokens), model(tokens, prefix=given))
    assert not torch.equal(model(tokens), model(tokens, prefix=torch.full((B,), 2)))


def written(model: GPT, tokens: Tensor, prefix: Tensor, chunks: list[int], *, first: Tensor | None) -> Tensor:
    """Logits (B, T, V) from a first call that reads `chunks[0]` columns, and steps that read the others."""
    state, parts = model.new_state(len(tokens)), []
    with torch.no_grad():
        for n, part in enumerate(tokens.split(chunks, dim=1)):
            parts.append(model.step(part, state, prefix=first if n == 0 else None))
    return torch.cat(parts, dim=1)


@every_scheme
@pytest.mark.parametrize("chunks", [[4, 1, 1, 1], [5, 2], [7]], ids=str)
def test_steps_after_the_prefix_equal_the_full_pass(positions, chunks) -> None:
    model, tokens, prefix = gpt(positions=positions), ids(B, T), torch.tensor([4, 2, 0])
    full = model(tokens, prefix=prefix).detach()
    assert (written(model, tokens, prefix, chunks, first=prefix) - full).abs().max() <= EXACT
    assert (written(model, tokens, prefix, chunks, first=None) - full).abs().max() > 1e-3  # the prefix forgotten
    assert (written(model, tokens, prefix, chunks, first=(prefix - 1).clamp(min=0)) - full).abs().max() > 1e-3


@every_scheme
@pytest.mark.parametrize("pad", [left_padded, right_padded])
def test_padding_changes_nothing(positions, pad) -> None:
    model, lengths, prefix = gpt(positions=positions), [7, 3, 5], torch.tensor([4, 3, 2])
    valid, real = pad(lengths, T), [ids(1, n, seed=n) for n in lengths]
    tokens = torch.zeros(B, T, dtype=torch.int64)
    for row, mark, one in zip(tokens, valid, real, strict=True):
        row[mark] = one[0]
    with torch.no_grad():
        together = model(tokens, valid=valid, prefix=prefix)
        state = model.new_state(B)
        stepped = model.step(tokens, state, valid=valid, prefix=prefix)
        for b, one in enumerate(real):
            alone = model(one, prefix=prefix[b : b + 1])[0]
            assert (together[b][valid[b]] - alone).abs().max() <= EXACT
            assert (stepped[b][valid[b]] - alone).abs().max() <= EXACT
        moved = model(tokens, valid=valid, prefix=prefix.roll(1).clamp(max=torch.tensor(lengths)))
    assert (moved - together)[valid].abs().max() > 1e-3  # prefixes of the wrong rows


def test_a_row_may_begin_beside_others_that_go_on() -> None:
    model, one, other = gpt(), ids(1, 4), ids(1, 4, seed=5)
    state = model.new_state(2)
    tokens = torch.cat([one, other])
    only_first = torch.tensor([[True] * 4, [False] * 4])
    with torch.no_grad():
        model.step(tokens, state, valid=only_first, prefix=torch.tensor([4, 0]))
        both = model.step(tokens, state, prefix=torch.tensor([0, 4]))
        alone = model(other, prefix=torch.tensor([4]))
        went_on = model(torch.cat([one, one], dim=1), prefix=torch.tensor([4]))[:, 4:]
    assert (both[1:] - alone).abs().max() <= EXACT
    assert (both[:1] - went_on).abs().max() <= EXACT


def test_a_sliding_state_takes_a_prefix_that_fits() -> None:
    model, tokens = gpt(positions="rope"), ids(1, 9)
    state = model.new_state(1, window=4, sinks=2)
    assert isinstance(state, SlidingState)
    with torch.no_grad():
        logits = model.step(tokens, state, prefix=torch.tensor([5]))
        first = model(tokens[:, :6], prefix=torch.tensor([5]))
        assert (logits[:, :6] - first).abs().max() <= EXACT
        with pytest.raises(ValueError, match="prefix: expected a prefix that comes whole"):
            model.step(tokens, model.new_state(1, window=4, sinks=2), prefix=torch.tensor([7]))


@pytest.mark.parametrize(
    ("prefix", "error", "message"),
    [
        (torch.tensor([4, 2, 8]), ValueError, "prefix: expected .* whole .* at most 7 tokens of row 2"),
        (torch.tensor([4, -1, 3]), ValueError, "prefix: expected .* row 1, got -1"),
        (torch.tensor([4, 2]), ValueError, "prefix: expected shape"),
        (torch.tensor([4.0, 2.0, 1.0]), TypeError, "prefix: expected counts"),
    ],
)
def test_bad_prefixes_are_one_clear_line(prefix, error, message) -> None:
    with pytest.raises(error, match=message):
        gpt()(ids(B, T), prefix=prefix)


def test_a_prefix_cannot_come_in_parts_or_late() -> None:
    model, state = gpt(), gpt().new_state(B)
    with torch.no_grad():
        model.step(ids(B, 2), state)
        with pytest.raises(ValueError, match="whole in the first call"):
            model.step(ids(B, T), state, prefix=PREFIX)
        model.step(ids(B, T), state, prefix=torch.ones(B, dtype=torch.int64))  # one token sees itself anyway
        valid = right_padded([2, 2, 2], T)
        with pytest.raises(ValueError, match="at most 2 tokens"):
            model.step(ids(B, T), model.new_state(B), valid=valid, prefix=PREFIX)
