"""Scheduled sampling: training a decoder on inputs of which some are its own guesses."""

from __future__ import annotations

import torch
from torch import Tensor

from tftutor.checks import expect_shape
from tftutor.data import BOS, EOS, PAD, Batch
from tftutor.masks import count_positions, padding_mask
from tftutor.models import EncoderDecoder
from tftutor.training.losses import sequence_loss

MARKS = (PAD, BOS, EOS)  # never read back while writing: the writer stops at EOS and writes none of the others


def mix_guesses(
    tgt_in: Tensor, logits: Tensor, share: float, *,
    generator: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Decoder inputs in which some symbols are replaced by the model's own guesses.

    The input at t is the answer to position t - 1, so its replacement is drawn from the logits at t - 1. Each symbol is
    replaced independently with probability `share`; the first input and the marks stay, and no mark is ever drawn.

    Args:
        tgt_in: the right inputs, ids (B, T), beginning with BOS.
        logits: what the model answers to them, (B, T, V).
        share: probability that an input is replaced, in [0, 1]; a guess may be right, so fewer symbols change.
        generator: of the draws.

    Source: Bengio et al. 2015, "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks",
    section 2.4.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: expected a probability in [0, 1], got {share}")
    rows, length, vocab_size = logits.shape
    expect_shape("tgt_in", tgt_in, B=rows, T=length)
    marks = torch.tensor(MARKS, device=tgt_in.device)
    odds = logits.detach().float().index_fill(-1, marks, float("-inf")).softmax(-1)
    drawn = torch.multinomial(odds.reshape(-1, vocab_size), 1, generator=generator)
    # the guess at t - 1 becomes the input at t
    guesses = torch.cat([tgt_in[:, :1], drawn.view(rows, length)[:, :-1]], dim=1)
    chance = torch.rand(tgt_in.shape, generator=generator, device=tgt_in.device)
    chosen = chance < share
    return torch.where(chosen & ~torch.isin(tgt_in, marks), guesses, tgt_in)


def scheduled_sampling_loss(
    model: EncoderDecoder, batch: Batch, share: float, *, label_smoothing: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The summed loss of the right answers after partly wrong inputs, and the number of tokens.

    A recurrent decoder draws its guesses on the way. A Transformer computes all positions at once, so its decoder runs
    twice: over the right inputs, to make the guesses, then over the mixture, which is trained. The guess at t thus
    comes from a right past and not from the mixed one, and no gradient flows through it.

    Args:
        model: in training mode; the encoder runs once.
        batch: see `tftutor.data.Batch`.
        share: of the inputs that are replaced; 0 is teacher forcing, in one pass.
        label_smoothing: see `sequence_loss`.
        generator: of the draws.

    Source: Mihaylova and Martins 2019, "Scheduled Sampling for Transformers".
    """
    src_mask, tgt_pos = padding_mask(batch.src_valid), count_positions(batch.tgt_valid)
    memory = model.encode(batch.src, src_mask)

    def answer(inputs: Tensor, memory: Tensor) -> Tensor:
        return model.generator(model.decode(inputs, memory, src_mask=src_mask, tgt_pos=tgt_pos))

    inputs = batch.tgt_in
    if share > 0:
        with torch.no_grad():
            guessed = answer(inputs, memory)
        inputs = mix_guesses(inputs, guessed, share, generator=generator)
    return sequence_loss(answer(inputs, memory), batch.tgt_out, batch.tgt_valid, label_smoothing=label_smoothing)


def linear_share(step: int, *, begin: int, end: int, share: float) -> float:
    """The share of replaced inputs at `step`: 0 until `begin`, then rising in a straight line to `share` at `end`.

    Source: Bengio et al. 2015, section 2.4; there the share of right inputs decays in a straight line.
    """
    if not 0 <= begin < end:
        raise ValueError(f"begin, end: expected 0 <= begin < end, got {begin}, {end}")
    return share * min(1.0, max(0.0, (step - begin) / (end - begin)))
