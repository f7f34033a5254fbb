"""Exercises: what two gaps are filled with, and a corruption that teaches nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, read_tensor, shape_text, show

# In a language half of the words are "on", half are "it". A perfect masked language model gets "??" and draws both
# letters at once.  (a) only "on" and "it" come out; (b) "on", "it", "ot", "in", a quarter each; (c) all pairs of
# letters, equally often; (d) it cannot answer, since nothing is visible.
PREDICT_TWO_GAPS = Exercise(
    id="pretraining/predict-two-gaps",
    title="Predict: two gaps at once",
    answer="prediction",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(name="a: only words", answer="a",
              hint="each gap is filled from what is visible, and the other gap is not: how should the second letter "
              "know what became of the first?"),
        Wrong(name="c: everything", answer="c",
              hint="a perfect model knows which letters stand in the first place at all"),
        Wrong(name="d: no answer", answer="d",
              hint="nothing visible is an input too: how often is the first letter an o?"),
    ),
    notice="Fill one gap, write the letter down, then ask for the other: only real words come out.",
)  # fmt: skip


def _read_shares(value: Any) -> Tensor:
    try:
        shares = torch.as_tensor(value, dtype=torch.float64).detach().cpu()
    except Exception:  # anything else
        raise Trouble("is no list of numbers", "write three shares, as in (0.8, 0.1, 0.1)", expected="three numbers",
                      got=show(value)) from None  # fmt: skip
    if shares.shape != (3,):
        raise Trouble("has the wrong shape", "three shares: masked, replaced, kept", expected="shape (3,)",
                      got=f"shape {shape_text(shares)}")  # fmt: skip
    return read_tensor(shares)


def _are_shares(trial: Trial) -> Mismatch | None:
    if bool((trial.output >= 0).all()) and abs(float(trial.output.sum()) - 1) < 1e-6:
        return None
    return Mismatch("three shares from 0 to 1 that add up to 1", show(trial.output))


def _copying_wins(trial: Trial) -> Mismatch | None:
    kept = float(trial.output[2])
    return None if kept > 1 - 1e-6 else Mismatch("right for 100 % of the chosen", f"right for {100 * kept:.3g} %")


def _fates(shares: Any) -> tuple[bool, ...]:
    """Which of the three fates occur, for shares that add up to 1."""
    given = _read_shares(shares)
    if bool((given < 0).any()) or abs(float(given.sum()) - 1) > 1e-6:
        raise ValueError("no shares")
    return tuple((given > 0).tolist())


def _sum(shares: Any) -> float:
    given = _read_shares(shares)
    return float(given.sum()) if bool((given >= 0).all()) else 1.0


BREAK_COPY = Exercise(
    id="pretraining/break-copy",
    title="Break it: a corruption that teaches nothing",
    answer="shares",
    solution=(0.0, 0.0, 1.0),
    takes="value",
    read=_read_shares,
    properties=(
        Property(sentence="they are shares", test=_are_shares, hint="masked, replaced, kept: together 1"),
        Property(sentence="copying the input is always right", test=_copying_wins,
                 hint="for which of the three fates does the input already hold the answer?"),
    ),
    wrong=(
        Wrong(name="BERT's own", answer=(0.8, 0.1, 0.1),
              hint="with these a copier is right for one chosen token in ten"),
        Wrong(name="all masked", answer=(1.0, 0.0, 0.0),
              hint="a copier would answer with the mask itself, which is never right"),
        Wrong(name="all replaced", answer=(0.0, 1.0, 0.0),
              hint="a copier would answer with the random token, and that is hardly ever the original"),
        Wrong(name="some replaced", answer=(0.0, 0.5, 0.5), recognise=lambda s: _fates(s) == (False, True, True),
              hint="some of the chosen tokens are still random, and there a copier is wrong: which share gives the "
              "answer away?"),
        Wrong(name="some masked", answer=(0.5, 0.0, 0.5), recognise=lambda s: _fates(s) == (True, False, True),
              hint="some of the chosen tokens are still hidden, and there a copier is wrong: which share gives the "
              "answer away?"),
        Wrong(name="none kept", answer=(0.5, 0.5, 0.0), recognise=lambda s: _fates(s) == (True, True, False),
              hint="none of the chosen tokens is left as it was: a copier would be right for hardly any"),
        Wrong(name="a third each", answer=(1 / 3, 1 / 3, 1 / 3), recognise=lambda s: _fates(s) == (True, True, True),
              hint="a copier is right only where the token was kept; what should become of all the others?"),
        Wrong(name="shares of all tokens", answer=(0.0, 0.0, 0.15), recognise=lambda s: _sum(s) < 0.999,
              hint="the shares are of the chosen tokens, and add up to 1, however few are chosen"),
        Wrong(name="per cent", answer=(0.0, 0.0, 100.0), recognise=lambda s: _sum(s) > 1.001,
              hint="shares, not per cent: each chosen token has one fate, so they add up to 1"),
        Wrong(name="nothing at all", answer=(0.0, 0.0, 0.0),
              hint="a chosen token has to meet some fate: the three shares add up to 1"),
        Wrong(name="order turned", answer=(0.1, 0.1, 0.8),
              hint="close: copying is right for eight in ten. What about the other two?"),
    ),
    notice="A model trained like this has a loss near zero and knows nothing; a falling loss alone proves little.",
)  # fmt: skip
