"""What a wrong symbol in its past costs a decoder: the tools to plant one, and to look at what follows.

All functions are for encoder-decoders of one interface (`forward`, `start`, `step`) and words padded on the right.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tftutor.checks import expect_shape
from tftutor.data import BOS, EOS, PAD, Batch
from tftutor.decoding import greedy, inference
from tftutor.models import EncoderDecoder

MARKS = (PAD, BOS, EOS)


def forced_logits(model: EncoderDecoder, batch: Batch, tgt_in: Tensor | None = None) -> Tensor:
    """Logits (B, T, V) in evaluation mode after the right inputs, or after `tgt_in` (B, T) in their place."""
    tgt_in = batch.tgt_in if tgt_in is None else tgt_in
    with inference(model):
        return model(batch.src, tgt_in, src_valid=batch.src_valid, tgt_valid=batch.tgt_valid)


def all_right(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Whether the likeliest token is the right one at every real position of a row: bool (B,).

    With the right inputs and no ties this is whether greedy decoding writes exactly this row.

    Args:
        logits: (B, T, V).
        targets: ids (B, T).
        valid: bool (B, T), True = a real token, the end mark included.
    """
    return ((logits.argmax(dim=-1) == targets) | ~valid).all(dim=1)


def wrong_symbols(logits: Tensor, batch: Batch, where: int, *, generator: torch.Generator | None = None) -> Tensor:
    """A wrong symbol for input `where` of each row: ids (B,), never a mark and never the right one.

    Args:
        logits: what the model answers to the right inputs, (B, T, V).
        batch: words with at least `where` target symbols.
        where: index of the input to be replaced, from 1.
        generator: draws one of all wrong symbols evenly; None: the model's likeliest wrong symbol, the error that it
            would make if it made one.
    """
    _expect_long_enough(batch, where)
    odds = logits[:, where - 1].float().softmax(dim=-1) if generator is None else torch.ones_like(logits[:, 0])
    odds = odds.index_fill(-1, torch.tensor(MARKS), 0.0).scatter(-1, batch.tgt_in[:, where, None], 0.0)
    return odds.argmax(dim=-1) if generator is None else torch.multinomial(odds, 1, generator=generator)[:, 0]


def replace_input(batch: Batch, where: int, symbols: Tensor) -> Tensor:
    """The right inputs with `symbols` (B,) at index `where`: ids (B, T)."""
    _expect_long_enough(batch, where)
    expect_shape("symbols", symbols, B=len(batch))
    tgt_in = batch.tgt_in.clone()
    tgt_in[:, where] = symbols
    return tgt_in


class Mistakes(NamedTuple):
    """Words whose first mistake, in greedy decoding, is one symbol in the place of another."""

    rows: list[int]  # of the batch
    answers: list[list[int]]  # their right symbols, without marks
    begun_wrong: list[list[int]]  # right symbols and then the model's mistake
    begun_right: list[list[int]]  # the same, with the right symbol in its place


def first_mistakes(logits: Tensor, batch: Batch) -> Mistakes:
    """The words on which the model goes wrong, cut off behind the first mistake, once with it and once corrected.

    Up to its first mistake greedy decoding reads the right symbols, so teacher forcing tells where it will be. Left out
    are words whose first mistake is to end too early or too late.

    Args:
        logits: what the model answers to the right inputs, (B, T, V).
        batch: the words.
    """
    guesses = logits.argmax(dim=-1)
    wrong = (guesses != batch.tgt_out) & batch.tgt_valid
    found = Mistakes([], [], [], [])
    for row in wrong.any(dim=1).nonzero()[:, 0].tolist():
        t = int(wrong[row].int().argmax())
        guess, right = int(guesses[row, t]), int(batch.tgt_out[row, t])
        if guess in MARKS or right in MARKS:
            continue
        answer = batch.tgt_out[row, batch.tgt_valid[row]][:-1].tolist()
        found.rows.append(row)
        found.answers.append(answer)
        found.begun_wrong.append([*answer[:t], guess])
        found.begun_right.append(answer[: t + 1])
    return found


def write_on(model: EncoderDecoder, batch: Batch, begun: list[list[int]]) -> list[list[int]]:
    """Each row finished greedily after a given beginning: the ids without marks, beginning included.

    Args:
        model: in any mode; it writes in evaluation mode.
        batch: the words; only their sources are read.
        begun: for each word the symbols it begins with, without BOS, of any lengths.
    """
    rows = [torch.tensor([BOS, *row]) for row in begun]
    prompt = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    valid = torch.arange(prompt.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
    with inference(model):
        state = model.start(batch.src, batch.src_valid)
    room = model.cfg.max_len - prompt.shape[1]
    written = greedy(model, prompt, state, max_new_tokens=room, eos_id=EOS, valid=valid)
    return [
        list(first) + [i for i in row[:n] if i not in MARKS]
        for first, row, n in zip(begun, written.tokens.tolist(), written.lengths.tolist(), strict=True)
    ]


def _expect_long_enough(batch: Batch, where: int) -> None:
    shortest = int(batch.tgt_valid.sum(dim=1).min()) - 1
    if not 1 <= where <= shortest:
        raise ValueError(f"where: expected 1..{shortest}, the symbols of the shortest target, got {where}")
