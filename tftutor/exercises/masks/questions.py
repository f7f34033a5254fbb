"""Exercises: the mask is dropped at inference, and a padding that leaves a row empty."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.masks.decoder import decoder_mask
from tftutor.exercises.values import Trouble, read_choice, show

# Causal models of one, two and three layers read a prefix in one pass; the causal mask is dropped. For which do the
# logits at the last position change?  (a) for none, (b) for all, (c) for those of two and three layers, (d) it depends
# on the length of the prefix.
PREDICT_DROPPED_MASK = Exercise(
    id="masks/predict-dropped-mask",
    title="Predict: the mask is dropped at inference",
    answer="prediction",
    solution="c",
    takes="value",
    read=read_choice,
    properties=(is_option("c", "abcd"),),
    wrong=(
        Wrong(
            name="a: none",
            answer="a",
            hint="it is true that the last position may see everything anyway; but what does it see in the second "
            "layer, and who made that?",
        ),
        Wrong(
            name="b: all",
            answer="b",
            hint="take one layer: which row of the mask does the last position use, and what is in it?",
        ),
        Wrong(
            name="d: the length",
            answer="d",
            hint="a prefix of one token has no future, of course; from two tokens on, does the answer still depend on "
            "their number?",
        ),
    ),
    notice="The last row of the mask is all True, so one layer has nothing to lose; deeper layers read earlier "
    "positions, whose own rows did change.",
)


def _read_valid(value: Any) -> Tensor:
    try:
        row = torch.as_tensor(value)
        row = row.bool() if row.ndim == 1 and bool(((row == 0) | (row == 1)).all()) else None
    except Exception:  # anything else
        row = None
    if row is None or not 1 <= row.numel() <= 16:
        raise Trouble("is no row of True and False", "write it as [True, True, False], up to 16 long",
                      expected="a list of True and False", got=show(value))  # fmt: skip
    return row


def _has_a_real_token(trial: Trial) -> Mismatch | None:
    return None if bool(trial.output.any()) else Mismatch("at least one real token", show(trial.output))


def _leaves_a_row_empty(trial: Trial) -> Mismatch | None:
    mask = decoder_mask(trial.output[None])[0, 0]
    return Mismatch("a query that may look at nothing", "none") if bool(mask.any(dim=-1).all()) else None


BREAK_EMPTY_ROW = Exercise(
    id="masks/break-empty-row",
    title="Break it: a padding that leaves a row empty",
    answer="valid",
    solution=[False, True, True],
    takes="value",
    read=_read_valid,
    properties=(
        Property(
            sentence="there is a real token",
            test=_has_a_real_token,
            hint="a text of nothing but padding is empty in every row: make it happen with a real token in it",
        ),
        Property(
            sentence="under causal & padding some query may look at nothing",
            test=_leaves_a_row_empty,
            hint="write the mask down row by row: which row has the fewest entries, and what has to be padding?",
        ),
    ),
    wrong=(
        Wrong(
            name="padding on the right",
            answer=[True, True, False],
            hint="every query sees the first token, and here that one is real: on which side does the padding have "
            "to be?",
            recognise=lambda answer: bool((v := _read_valid(answer))[0]) and not bool(v.all()),
        ),
        Wrong(
            name="no padding",
            answer=[True, True, True],
            hint="without padding every query sees at least itself",
            recognise=lambda answer: bool(_read_valid(answer).all()),
        ),
        Wrong(
            name="nothing but padding",
            answer=[False, False, False],
            hint="that breaks it, but too easily: which padding does it with a real token in the row?",
            recognise=lambda answer: not bool(_read_valid(answer).any()),
        ),
    ),
    notice="The empty row belongs to padding, whose output nobody reads; a softmax makes NaN of it all the same, and "
    "in the next layer 0 times NaN is NaN for everyone.",
)
