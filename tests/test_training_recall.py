"""Associative recall: the texts hold what they should, and one layer learns to answer."""

from __future__ import annotations

import pytest
import torch

from tftutor.training.recall import MIXERS, N_VALUES, Recaller, draw_pairs, recall_share, train_recall


def test_every_key_is_told_once_and_asked_once() -> None:
    keys, values, answers = draw_pairs(3, 7, generator=torch.Generator().manual_seed(0))
    assert keys.shape == values.shape == (3, 14)
    assert (values[:, 7:] == N_VALUES).all()
    assert (values[:, :7] < N_VALUES).all()
    for row in range(3):
        told = dict(zip(keys[row, :7].tolist(), values[row, :7].tolist(), strict=True))
        assert len(told) == 7
        assert [told[key] for key in keys[row, 7:].tolist()] == answers[row].tolist()
        assert keys[row, 7:].tolist() != keys[row, :7].tolist()  # in another order


@pytest.mark.parametrize("mixer", MIXERS)
def test_questions_see_the_pairs_and_pairs_do_not_see_questions(mixer) -> None:
    torch.manual_seed(0)
    model = Recaller(mixer)
    keys, values, _ = draw_pairs(2, 5, generator=torch.Generator().manual_seed(1))
    before = model(keys, values)
    other = values.clone()
    other[:, 0] = (values[:, 0] + 1) % N_VALUES
    assert (model(keys, other) - before).abs().amax(dim=(0, 2))[5:].min() > 0
    asked = keys.clone()
    asked[:, 5:] = keys[:, 5:].flip(1)
    assert torch.allclose(model(asked, values)[:, :5], before[:, :5], rtol=0, atol=1e-6)


def test_attention_learns_it_and_a_layer_that_hides_the_values_does_not() -> None:
    torch.manual_seed(0)
    model = Recaller("attention")
    assert recall_share(model, 4) < 0.3
    train_recall(model, steps=150, sizes=(4,))
    assert recall_share(model, 4) > 0.9
    assert not model.training
    with torch.no_grad():
        model.value.weight[:] = model.value.weight[0].clone()
    assert recall_share(model, 4) < 0.3


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="mixer: expected one of 'attention', 'linear attention', 'ret"):
        Recaller("rwkv")
    with pytest.raises(ValueError, match="n_pairs: expected at most 64 different keys, got 65"):
        draw_pairs(1, 65, generator=torch.Generator())
