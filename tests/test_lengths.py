"""Reading beyond the length of training: losses by place, other readings of a model, streams, hidden needles."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tftutor.data.shakespeare import encode_text
from tftutor.lengths import (
    LETTERS,
    MARK,
    draw_letters,
    hide_needles,
    masked,
    needle_recall,
    place_losses,
    sliding,
    stream_losses,
    teach_needles,
)
from tftutor.masks import causal_mask, window_mask
from tftutor.models import GPT
from tftutor.training.small import next_character_loss, small_config


@pytest.fixture
def model() -> GPT:
    torch.manual_seed(0)
    model = GPT(small_config(positions="rope", max_len=90)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # a fresh model hardly looks at anything
    return model


@pytest.fixture
def windows() -> Tensor:
    return torch.randint(5, 80, (7, 24), generator=torch.Generator().manual_seed(1))


def test_losses_by_place_average_to_the_loss(model, windows):
    losses = place_losses(model, windows, batch_size=3)  # 7 windows: a last batch of one
    assert losses.shape == (23,)
    with torch.no_grad():
        torch.testing.assert_close(losses.mean(), next_character_loss(model, windows))


def test_a_place_does_not_depend_on_what_follows(model, windows):
    torch.testing.assert_close(place_losses(model, windows)[:10], place_losses(model, windows[:, :11]))
    blind = masked(model, lambda query, key: torch.ones(1, 1, len(query), len(key), dtype=torch.bool))
    assert (place_losses(blind, windows)[:10] - place_losses(blind, windows[:, :11])).abs().max() > 1e-3


def test_a_window_as_long_as_the_text_hides_nothing(model, windows):
    exact = place_losses(model, windows)
    torch.testing.assert_close(place_losses(sliding(model, window=23), windows), exact)
    torch.testing.assert_close(place_losses(masked(model, causal_mask), windows), exact)
    assert (place_losses(sliding(model, window=5), windows) - exact).abs().max() > 1e-3


@pytest.mark.parametrize("positions", ["rope", "alibi", "t5", "none"])
def test_a_window_without_sinks_is_a_mask(positions, windows):
    # Distances do not change when positions are renumbered, so that both readings agree in the first layer; the keys
    # that a sliding cache keeps of the second layer were made when their own window stood elsewhere, as under the mask.
    torch.manual_seed(0)
    model = GPT(small_config(positions=positions, max_len=90)).double().eval()
    mask = functools.partial(window_mask, window=5)
    torch.testing.assert_close(
        place_losses(sliding(model, window=5), windows), place_losses(masked(model, mask), windows)
    )


def test_a_stream_reports_each_piece_and_does_not_grow(model, windows):
    text = windows.flatten()  # 168 characters, more than the model's 90 positions
    report = stream_losses(model, text, model.new_state(1, window=9, sinks=2), every=50)
    assert [part.read for part in report] == [50, 100, 150, 167]
    assert len({part.nbytes for part in report}) == 1
    whole = place_losses(sliding(model, window=9, sinks=2), text[None])
    torch.testing.assert_close(torch.tensor([part.nats for part in report], dtype=torch.float64),
                               torch.stack([part.mean() for part in whole.split(50)]))  # fmt: skip


def test_needles_stand_where_they_were_put(windows):
    letters = draw_letters(7, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([3, 20])
    text = hide_needles(windows, places, letters)
    assert (text[:, places] == encode_text(MARK)).all()
    assert (text[:, places + 1] == letters[:, None]).all()
    others = torch.ones(24, dtype=torch.bool)
    others[[3, 4, 20, 21]] = False
    assert torch.equal(text[:, others], windows[:, others])
    assert set(letters.tolist()) <= set(encode_text(LETTERS).tolist())


def looks_back(distance: int) -> Callable[[Tensor], Tensor]:
    """A reader that expects what stood `distance` - 1 characters before the place it reads."""
    return lambda tokens: torch.nn.functional.one_hot(tokens.roll(distance - 1, dims=1), 90).float()


def test_recall_is_that_of_the_reader(windows):
    distances = (2, 6, 22)
    assert needle_recall(looks_back(6), windows, distances)[1] == 1
    assert max(needle_recall(looks_back(6), windows, distances)[::2]) < 1


def test_teaching_changes_the_model_in_place_and_repeats_itself():
    taught = []
    for _ in range(2):
        torch.manual_seed(0)
        model = GPT(small_config(positions="none"))
        before = model.unembed.weight.detach().clone()
        teach_needles(model, steps=2, window=20, batch_size=3, needles=2)
        assert not torch.equal(model.unembed.weight, before)
        assert not model.training
        taught.append(model.unembed.weight)
    assert torch.equal(*taught)
