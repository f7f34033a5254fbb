"""Invented tasks: the stated answer is the right one, and the draws depend on the generator only."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from tftutor.data import BOS, EOS
from tftutor.data import synthetic as s


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_copy_and_reverse() -> None:
    for reverse in (False, True):
        batch = s.copy_batch(40, 6, 9, generator=seeded(), reverse=reverse)
        lengths = set()
        for row in range(40):
            word = batch.src[row][batch.src_valid[row]].tolist()[:-1]
            answer = batch.tgt_out[row][batch.tgt_valid[row]].tolist()
            assert answer == (word[::-1] if reverse else word) + [EOS]
            assert batch.tgt_in[row][batch.tgt_valid[row]].tolist() == [BOS, *answer[:-1]]
            assert set(word) <= set(range(3, 12))
            lengths.add(len(word))
        assert lengths == set(range(1, 7))


def test_lookup() -> None:
    for partner in (s.cycle(5), s.swapped_pairs(6)):
        task = s.lookup_batch(partner, 30, 4, generator=seeded())
        assert {t.shape for t in task} == {(30, len(partner))}
        for symbols, values, partners, targets in zip(*(t.tolist() for t in task), strict=True):
            held = dict(zip(symbols, values, strict=True))
            assert sorted(symbols) == list(range(len(partner)))
            assert targets == [held[int(partner[symbol])] for symbol in symbols]
            assert [symbols[p] for p in partners] == [int(partner[symbol]) for symbol in symbols]
        assert set(task.values.flatten().tolist()) == set(range(4))
    assert s.cycle(3).tolist() == [1, 2, 0]
    assert s.swapped_pairs(6).tolist() == [1, 0, 3, 2, 5, 4]


def recalled(tokens: torch.Tensor) -> list[int]:
    """The answer, found by searching each row for the last key."""
    answers = []
    for row in tokens.tolist():
        memory = dict(zip(row[:-1:2], row[1:-1:2], strict=True))
        assert len(memory) == len(row) // 2         # keys are different
        answers.append(memory[row[-1]])
    return answers


def test_recall() -> None:
    tokens, targets = s.recall_batch(50, 4, 7, 5, generator=seeded())
    assert tokens.shape == (50, 9)
    assert recalled(tokens) == targets.tolist()
    assert set(tokens[:, ::2].flatten().tolist()) == set(range(3, 10))
    assert set(tokens[:, 1::2].flatten().tolist()) == set(range(10, 15))
    assert len({row.index(row[-1]) for row in tokens.tolist()}) == 4     # every pair is asked for
    assert recalled(tokens.roll(1, 0)) != targets.tolist()


def test_selective_copy() -> None:
    tokens, targets = s.selective_copy_batch(30, 11, 4, 5, generator=seeded())
    assert tokens.shape == (30, 15)
    assert (tokens[:, 11:] == 4).all()
    for row, answer in zip(tokens[:, :11].tolist(), targets.tolist(), strict=True):
        assert [t for t in row if t != 3] == answer
    assert set(targets.flatten().tolist()) == set(range(5, 10))
    assert set((tokens[:, :11] != 3).nonzero()[:, 1].tolist()) == set(range(11))


def test_cipher() -> None:
    tokens, known = s.cipher_batch(40, 7, 5, generator=seeded())
    assert tokens.shape == (40, 14)
    assert known.shape == (40, 7)
    codes = set()
    for row, can_know in zip(tokens.tolist(), known.tolist(), strict=True):
        code: dict[int, int] = {}
        for plain, cipher, expected in zip(row[::2], row[1::2], can_know, strict=True):
            assert (plain in code) == expected
            assert code.setdefault(plain, cipher) == cipher
            assert 3 <= plain < 8 <= cipher < 13
        assert len(set(code.values())) == len(code)     # a permutation
        codes.add(tuple(sorted(code.items())))
    assert len(codes) > 30      # a new code in every row


@pytest.mark.parametrize("draw", [
    lambda g: s.copy_batch(4, 6, 9, generator=g).src,
    lambda g: s.lookup_batch(s.cycle(5), 4, 3, generator=g).values,
    lambda g: s.recall_batch(4, 3, 7, 5, generator=g)[0],
    lambda g: s.selective_copy_batch(4, 11, 3, 5, generator=g)[0],
    lambda g: s.cipher_batch(4, 7, 5, generator=g)[0],
])
def test_draws_depend_on_the_generator_only(draw) -> None:
    torch.manual_seed(1)
    first = draw(seeded())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = draw(seeded())
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, second)
    third = draw(seeded(3))
    assert first.shape != third.shape or not torch.equal(first, third)


def test_bad_sizes_are_named() -> None:
    g = seeded()
    for call, match in (
        (lambda: s.copy_batch(2, 0, 3, generator=g), "max_length: expected at least 1, got 0"),
        (lambda: s.lookup_batch(torch.tensor([0, 5]), 2, 3, generator=g), r"partner: expected symbols 0\.\.1"),
        (lambda: s.recall_batch(2, 5, 4, 3, generator=g), "n_pairs: expected at most n_keys=4 different keys, got 5"),
        (lambda: s.selective_copy_batch(2, 3, 4, 5, generator=g), "n_data: expected at most length=3, got 4"),
        (lambda: s.cipher_batch(0, 3, 4, generator=g), "batch_size"),
        (lambda: s.swapped_pairs(3), "n: expected an even number, got 3"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
