"""Planting wrong symbols, finding first mistakes, writing on."""

from __future__ import annotations

import pytest
import tiny
import torch
from test_training_scheduled_sampling import LENGTHS, certain, words

from tftutor.data import BOS, EOS, PAD
from tftutor.training.exposure import (
    all_right,
    first_mistakes,
    forced_logits,
    replace_input,
    write_on,
    wrong_symbols,
)


def test_forced_logits_are_those_of_evaluation_mode() -> None:
    model, batch = tiny.encoder_decoder(dropout=0.5), words()
    model.train()
    logits = forced_logits(model, batch)
    assert model.training
    assert not logits.requires_grad
    model.eval()
    expected = model(batch.src, batch.tgt_in, src_valid=batch.src_valid, tgt_valid=batch.tgt_valid)
    torch.testing.assert_close(logits, expected.detach(), rtol=0, atol=1e-12)


def test_all_right_wants_every_real_position() -> None:
    batch = words()
    best = torch.where(batch.tgt_valid, batch.tgt_out, 7)  # padding is never right
    assert all_right(certain(best), batch.tgt_out, batch.tgt_valid).tolist() == [True] * 3
    for row, n in enumerate(LENGTHS):
        for t in (0, n):  # the first answer, the end mark
            worse = best.clone()
            worse[row, t] = 3 + (worse[row, t] - 2) % 8
            verdict = all_right(certain(worse), batch.tgt_out, batch.tgt_valid)
            assert verdict.tolist() == [i != row for i in range(3)]


@pytest.mark.parametrize("even", [True, False])
def test_wrong_symbols_are_wrong_and_no_marks(even: bool) -> None:
    batch = words()
    logits = torch.randn(3, 7, tiny.V, generator=torch.Generator().manual_seed(0))
    logits[..., : EOS + 1] = 9.0
    for seed in range(20):
        symbols = wrong_symbols(logits, batch, 1, generator=torch.Generator().manual_seed(seed) if even else None)
        assert bool((symbols > EOS).all())
        assert bool((symbols != batch.tgt_in[:, 1]).all())
    if not even:
        ranked = logits[:, 0].argsort(dim=-1, descending=True).tolist()
        right = batch.tgt_in[:, 1].tolist()
        likeliest = [next(i for i in row if i > EOS and i != r) for row, r in zip(ranked, right, strict=True)]
        assert symbols.tolist() == likeliest


def test_one_input_is_replaced() -> None:
    batch = words()
    replaced = replace_input(batch, 1, torch.tensor([9, 9, 9]))
    assert replaced[:, 1].tolist() == [9, 9, 9]
    assert torch.equal(replaced[:, [0, 2, 3, 4, 5, 6]], batch.tgt_in[:, [0, 2, 3, 4, 5, 6]])
    assert not torch.equal(replaced, batch.tgt_in)
    for where in (0, 2):  # BOS; the shortest word has one symbol
        with pytest.raises(ValueError, match=r"where: expected 1\.\.1"):
            replace_input(batch, where, torch.tensor([9, 9, 9]))


def test_first_mistakes_are_cut_behind_the_mistake() -> None:
    batch = words()
    best = batch.tgt_out.clone()
    wrong = 3 + (best[0, 2] - 2) % 8
    best[0, 2], best[0, 4] = wrong, 3 + (best[0, 4] - 2) % 8  # two mistakes: the first counts
    best[1, 1] = EOS  # ends too early
    best[2, 1] = 5  # goes on behind its end
    found = first_mistakes(certain(best), batch)
    answer = batch.tgt_out[0, :6].tolist()
    assert found.rows == [0]
    assert found.answers == [answer]
    assert found.begun_wrong == [[*answer[:2], int(wrong)]]
    assert found.begun_right == [answer[:3]]
    assert first_mistakes(certain(batch.tgt_out), batch).rows == []


def by_hand(model: torch.nn.Module, src: torch.Tensor, begun: list[int], limit: int) -> list[int]:
    """Greedy decoding of one word by full passes."""
    row = [BOS, *begun]
    while len(row) < limit:
        best = int(model(src, torch.tensor([row]))[0, -1].argmax())
        if best == EOS:
            break
        row.append(best)
    return [i for i in row if i not in (PAD, BOS, EOS)]


def test_rows_are_finished_as_if_alone() -> None:
    model, batch = tiny.encoder_decoder(), words()
    begun = [[4, 6, 5], [], [8]]
    written = write_on(model, batch, begun)
    for row, first in enumerate(begun):
        src = batch.src[row : row + 1, : int(batch.src_valid[row].sum())]
        alone = by_hand(model, src, first, model.cfg.max_len)
        n = min(len(written[row]), len(alone), 30)
        assert written[row][: len(first)] == first
        assert written[row][:n] == alone[:n]
        assert n > len(first)


def test_the_beginning_makes_a_difference() -> None:
    model, batch = tiny.encoder_decoder(), words()
    one, other = (write_on(model, batch, [[symbol]] * 3) for symbol in (4, 9))
    assert [row[1:] for row in one] != [row[1:] for row in other]
