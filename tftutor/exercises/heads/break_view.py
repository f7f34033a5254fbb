"""Exercise: the reshape that goes wrong in silence."""

from __future__ import annotations

import math
from typing import Any

import torch

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.heads.layers import multi_head, view_attention
from tftutor.exercises.values import Trouble, number_text, show


def _read_shape(value: Any) -> tuple[int, int]:
    try:
        n_tokens, n_heads = (int(item) for item in value)
        whole = all(int(item) == item for item in value)
    except Exception:  # anything else
        raise Trouble("is no pair of sizes", "write it as (T, H)", expected="two integers", got=show(value)) from None
    if not whole:
        raise Trouble("is no pair of sizes", "sizes are whole numbers", expected="two integers", got=show(value))
    if not (1 <= n_tokens <= 64 and 1 <= n_heads <= 64):
        raise Trouble("is out of range", "T counts tokens, H heads", expected="1 to 64", got=show(value))
    return n_tokens, n_heads


def _has_heads(trial: Trial) -> Mismatch | None:
    n_heads = trial.output[1]
    return None if n_heads > 1 else Mismatch("at least 2 heads", number_text(n_heads))


def _forgotten_transpose_goes_unnoticed(trial: Trial) -> Mismatch | None:
    n_tokens, n_heads = trial.output
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, n_tokens, n_heads * 3, generator=generator)
    w = torch.randn(4, n_heads * 3, n_heads * 3, generator=generator) / math.sqrt(n_heads * 3)
    change = float((view_attention(x, *w, n_heads) - multi_head(x, *w, n_heads)).abs().max())
    return None if change < 1e-5 else Mismatch("the same result", f"entries that differ by {number_text(change)}")


BREAK_VIEW = Exercise(
    id="heads/break-view",
    title="Break it: forget the transpose so that no test notices",
    answer="sizes",
    solution=(1, 4),
    takes="value",
    read=_read_shape,
    properties=(
        Property(sentence="there is more than one head", test=_has_heads, hint="with one head nothing has to be split"),
        Property(
            sentence="attention with the forgotten transpose gives the right result",
            test=_forgotten_transpose_goes_unnoticed,
            hint="in memory a token's heads lie side by side, and the tokens follow one another: when does the order "
            "of these two not matter?",
        ),
    ),
    wrong=(
        Wrong(
            name="one head",
            answer=(5, 1),
            hint="true, and a model with one head would not have split anything: find a T that works for every H",
            recognise=lambda answer: _read_shape(answer)[1] == 1,
        ),
        Wrong(
            name="as many tokens as heads",
            answer=(4, 4),
            hint="tempting: the shapes would not even tell the two axes apart. But then what should be head a of token "
            "t is head t of token a",
            recognise=lambda answer: _read_shape(answer)[0] == _read_shape(answer)[1] > 1,
        ),
        Wrong(
            name="more tokens than one",
            answer=(2, 4),
            hint="write down the memory of one row of the batch, token after token, and cut it into H equal pieces: "
            "what does each hold?",
            recognise=lambda answer: 1 < _read_shape(answer)[0] != _read_shape(answer)[1] > 1,
        ),
    ),
    notice="Generation with a cache feeds one token at a time: the fault is invisible there and ruins every prompt.",
)
