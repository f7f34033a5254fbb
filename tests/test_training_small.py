"""The small training of the experiments learns, repeats itself, and hides nothing."""

from __future__ import annotations

import pytest
import torch

from tftutor.models import GPT
from tftutor.training.small import dev_windows, next_character_loss, small_config, train_small


def trained(*, steps=30, seed=0, **changes):
    torch.manual_seed(seed)
    model = GPT(small_config(**changes))
    return model, train_small(model, steps=steps, seed=seed, batch_size=8, window=24)


def test_it_learns_and_repeats_itself():
    model, losses = trained()
    again, same = trained()
    assert losses == same
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert losses[0] > 4.0  # 84 characters: 4.43 nats
    assert losses[-1] < 3.5
    assert not model.training
    assert trained(seed=1)[1] != losses


def test_a_loss_of_ones_own_takes_the_place_of_the_usual_one():
    model = GPT(small_config())
    zero = train_small(model, steps=2, batch_size=3, window=5, loss=lambda m, w: 0 * next_character_loss(m, w))
    assert zero == [0.0, 0.0]


def test_dev_windows_overlap_by_the_one_character_that_is_not_predicted():
    windows = dev_windows(7, window=10)
    assert windows.shape == (7, 11)
    assert torch.equal(windows[:-1, -1], windows[1:, 0])
    model = GPT(small_config())
    with torch.no_grad():
        assert float(next_character_loss(model, windows)) == pytest.approx(4.5, abs=0.5)
