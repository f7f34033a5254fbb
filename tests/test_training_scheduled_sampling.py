"""Scheduled sampling: which inputs are replaced, by what, and what the loss is made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tiny
import torch
from torch import Tensor

from tftutor.data import BOS, EOS, PAD, Batch
from tftutor.training.losses import sequence_loss
from tftutor.training.scheduled_sampling import linear_share, mix_guesses, scheduled_sampling_loss

LENGTHS = (6, 3, 1)  # symbols of the targets


def words() -> Batch:
    """Three words of 4, 2 and 5 letters."""
    targets, letters = tiny.ids(3, 6, seed=1), tiny.ids(3, 5, vocab_size=tiny.V_SRC, seed=2)
    tgt_valid = torch.arange(7) < torch.tensor(LENGTHS)[:, None] + 1
    src_valid = torch.arange(5) < torch.tensor([[4], [2], [5]])
    out = torch.full((3, 7), PAD)
    for row, n in enumerate(LENGTHS):
        out[row, :n], out[row, n] = targets[row, :n], EOS
    inputs = torch.cat([torch.full((3, 1), BOS), torch.where(tgt_valid[:, 1:], out[:, :-1], PAD)], dim=1)
    return Batch(letters * src_valid, src_valid, inputs, out, tgt_valid)


def certain(symbols: Tensor) -> Tensor:
    """Logits (B, T, V) that leave only `symbols` (B, T) to be drawn."""
    return torch.full((*symbols.shape, tiny.V), -1e4).scatter(-1, symbols[..., None], 1e4)


def wrong_about(mix: Callable[..., Tensor]) -> list[str]:
    """What a way of mixing gets wrong when all guesses are certain."""
    batch, found = words(), []
    guesses = tiny.ids(3, 7, seed=5)
    mixed = mix(batch.tgt_in, certain(guesses), 1.0)
    symbols = batch.tgt_in > EOS
    if not torch.equal(mixed[~symbols], batch.tgt_in[~symbols]):
        found.append("marks stay")
    if not torch.equal(mixed[:, 1:][symbols[:, 1:]], guesses[:, :-1][symbols[:, 1:]]):
        found.append("the guess at t - 1 becomes the input at t")
    if not torch.equal(mix(batch.tgt_in, certain(guesses), 0.0), batch.tgt_in):
        found.append("share 0 replaces nothing")
    return found


def test_inputs_become_the_guesses_of_the_position_before() -> None:
    assert wrong_about(mix_guesses) == []


@pytest.mark.parametrize("broken", [
    lambda tgt_in, logits, share: torch.where((tgt_in > EOS) & (share > 0), logits.argmax(-1), tgt_in),  # not shifted
    lambda tgt_in, logits, share: torch.cat([tgt_in[:, :1], logits.argmax(-1)[:, :-1]], 1) if share else tgt_in,
    lambda tgt_in, logits, share: mix_guesses(tgt_in, logits, 1.0),
])  # fmt: skip
def test_the_check_finds_broken_mixtures(broken: Callable[..., Tensor]) -> None:
    assert wrong_about(broken)


def test_marks_are_never_drawn() -> None:
    batch = words()
    tempting = torch.zeros(3, 7, tiny.V)
    tempting[..., : EOS + 1] = 50.0
    mixed = mix_guesses(batch.tgt_in, tempting, 1.0, generator=torch.Generator().manual_seed(0))
    assert bool((mixed[batch.tgt_in > EOS] > EOS).all())


def test_the_share_is_the_probability_of_a_replacement() -> None:
    inputs = torch.full((200, 51), 3)
    inputs[:, 0] = BOS
    mixed = mix_guesses(inputs, certain(torch.full((200, 51), 4)), 0.3, generator=torch.Generator().manual_seed(0))
    assert 0.28 < float((mixed[:, 1:] == 4).float().mean()) < 0.32


def test_share_zero_is_teacher_forcing() -> None:
    model, batch = tiny.encoder_decoder(), words()
    logits = model(batch.src, batch.tgt_in, src_valid=batch.src_valid, tgt_valid=batch.tgt_valid)
    expected, n = sequence_loss(logits, batch.tgt_out, batch.tgt_valid, label_smoothing=0.1)
    total, count = scheduled_sampling_loss(model, batch, 0.0, label_smoothing=0.1)
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-9)
    assert int(count) == int(n) == sum(LENGTHS) + 3


def test_the_loss_is_that_of_the_mixture_and_no_gradient_flows_through_the_guesses() -> None:
    model, batch = tiny.encoder_decoder(), words()
    read = {"src_valid": batch.src_valid, "tgt_valid": batch.tgt_valid}
    total, _ = scheduled_sampling_loss(model, batch, 0.7, generator=torch.Generator().manual_seed(4))
    total.backward()
    mine = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    mixed = mix_guesses(batch.tgt_in, model(batch.src, batch.tgt_in, **read), 0.7,
                        generator=torch.Generator().manual_seed(4))  # fmt: skip
    assert not torch.equal(mixed, batch.tgt_in)
    expected, _ = sequence_loss(model(batch.src, mixed, **read), batch.tgt_out, batch.tgt_valid)
    expected.backward()
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-9)
    for grad, parameter in zip(mine, model.parameters(), strict=True):
        torch.testing.assert_close(grad, parameter.grad, rtol=0, atol=1e-9)


def test_the_encoder_runs_once() -> None:
    model, runs = tiny.encoder_decoder(), []
    model.encoder_norm.register_forward_hook(lambda *_: runs.append(1))
    scheduled_sampling_loss(model, words(), 0.5)
    assert len(runs) == 1


def test_the_share_grows_in_a_straight_line() -> None:
    shares = [linear_share(step, begin=10, end=30, share=0.5) for step in (0, 10, 20, 30, 99)]
    assert shares == pytest.approx([0, 0, 0.25, 0.5, 0.5])


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_probability(share: float) -> None:
    batch = words()
    with pytest.raises(ValueError, match="share: expected a probability"):
        mix_guesses(batch.tgt_in, torch.zeros(3, 7, tiny.V), share)


def test_shapes_and_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="tgt_in"):
        mix_guesses(words().tgt_in, torch.zeros(3, 6, tiny.V), 0.5)
    with pytest.raises(ValueError, match="begin, end"):
        linear_share(1, begin=5, end=5, share=0.5)
