"""Exercises: who moves when one token changes, and two vectors that only RMSNorm tells apart."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, number_text, read_choice, read_matrix

# A causal language model with batch norm, in training mode; the last token of the second sentence changes. Which
# outputs move? (a) the last of the second sentence; (b) those of the second sentence; (c) the last of every sentence;
# (d) all.
PREDICT_LEAK = Exercise(
    id="norms/predict-leak",
    title="Predict: one token changes",
    answer="prediction",
    solution="d",
    takes="value",
    read=read_choice,
    properties=(is_option("d", "abcd"),),
    wrong=(
        Wrong(
            name="a: only itself",
            answer="a",
            hint="the mask keeps attention from it, yet attention is not the only way: over which tokens does the mean "
            "of a feature run?",
        ),
        Wrong(
            name="b: its sentence",
            answer="b",
            hint="that would be statistics taken for each sentence by itself: whose tokens are in a batch?",
        ),
        Wrong(
            name="c: its position",
            answer="c",
            hint="that would be statistics taken for each position by itself: does the mean here run over one position "
            "or over all?",
        ),
    ),
    notice="The mean of a feature belongs to all tokens of the batch: earlier and later ones, this row and others.",
)


def _normed(rows: Tensor) -> Tensor:
    return F.layer_norm(rows, rows.shape[-1:], eps=1e-9)


def _rms(rows: Tensor) -> Tensor:
    return F.rms_norm(rows, rows.shape[-1:], eps=1e-9)


def _two_rows(trial: Trial) -> Mismatch | None:
    got = tuple(trial.output.shape)
    return None if got[0] == 2 and got[1] >= 2 else Mismatch("two rows of at least two numbers", f"shape {got}")


def _not_constant(trial: Trial) -> Mismatch | None:
    spread = trial.output.std(dim=1).min().item()
    return None if spread > 1e-3 else Mismatch("rows whose numbers differ", "a row of equal numbers")


def _same_to_layer_norm(trial: Trial) -> Mismatch | None:
    a, b = _normed(trial.output)
    gap = (a - b).abs().max().item()
    return None if gap < 1e-3 else Mismatch("two equal rows after layer norm", f"a difference of {number_text(gap)}")


def _other_to_rms_norm(trial: Trial) -> Mismatch | None:
    a, b = _rms(trial.output)
    gap = (a - b).abs().max().item()
    return None if gap > 0.1 else Mismatch("two rows that differ by more than 0.1 after RMSNorm",
                                           f"a difference of {number_text(gap)}")  # fmt: skip


def _related(test: Any) -> Any:
    """Recognises answers by how their two rows are related."""

    def recognise(answer: Any) -> bool:
        try:
            rows = read_matrix(answer)
        except Trouble:
            return False
        return rows.shape[0] == 2 and rows.shape[1] >= 2 and bool(test(*rows))

    return recognise


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-6)


BREAK_EQUALITY = Exercise(
    id="norms/break-equality",
    title="Break the equality of the two norms",
    answer="pair",
    solution=[[1, 2, 4], [11, 12, 14]],
    takes="value",
    read=read_matrix,
    properties=(
        Property(
            sentence="there are two vectors", test=_two_rows, hint="hand in a nested list with two rows: [[...], [...]]"
        ),
        Property(
            sentence="neither vector has all its numbers equal",
            test=_not_constant,
            hint="without any spread layer norm makes zeros of everything: take numbers that differ",
        ),
        Property(
            sentence="layer norm makes them equal",
            test=_same_to_layer_norm,
            hint="which changes of a vector does layer norm ignore?",
        ),
        Property(
            sentence="RMSNorm does not",
            test=_other_to_rms_norm,
            hint="RMSNorm ignores only one of the two changes that layer norm ignores; make the other one large",
        ),
    ),
    wrong=(
        Wrong(
            name="the same vector twice",
            answer=[[1, 2, 4], [1, 2, 4]],
            recognise=_related(lambda a, b: _close(a, b) and a.std() > 1e-3),
            hint="these are one vector twice: no norm tells them apart",
        ),
        Wrong(
            name="a multiple",
            answer=[[1, 2, 4], [2, 4, 8]],
            recognise=_related(lambda a, b: a.std() > 1e-3 and (a @ b) > 0 and _close(_rms(a[None]), _rms(b[None]))),
            hint="a common factor is ignored by both norms: which other change does layer norm ignore?",
        ),
        Wrong(
            name="a negative multiple",
            answer=[[1, 2, 4], [-1, -2, -4]],
            recognise=_related(lambda a, b: a.std() > 1e-3 and _close(_normed(a[None]), -_normed(b[None]))),
            hint="layer norm keeps signs: turned round, a vector comes out turned round",
        ),
        Wrong(
            name="reordered",
            answer=[[1, 2, 4], [4, 2, 1]],
            recognise=_related(lambda a, b: a.std() > 1e-3 and not _close(a, b) and _close(a.sort()[0], b.sort()[0])),
            hint="the same numbers in another order have the same mean and variance, but each stays in its own place",
        ),
        Wrong(
            name="constant vectors",
            answer=[[1, 1, 1], [5, 5, 5]],
            recognise=_related(lambda a, b: min(a.std(), b.std()) <= 1e-3),
            hint="without any spread layer norm makes zeros of everything, which is no test: take numbers that differ",
        ),
        Wrong(
            name="a small shift",
            answer=[[1, 2, 4], [1.01, 2.01, 4.01]],
            recognise=_related(lambda a, b: a.std() > 1e-3 and (b - a).abs().max() > 0 and (b - a).std() < 1e-4),
            hint="the idea is right; the difference after RMSNorm is too small to see: exaggerate",
        ),
        Wrong(
            name="one vector",
            answer=[[1, 2, 4]],
            recognise=lambda answer: len(read_matrix(answer)) == 1,
            hint="one vector is nothing to compare: hand in two, [[...], [...]]",
        ),
        Wrong(
            name="three vectors",
            answer=[[1, 2, 4], [11, 12, 14], [21, 22, 24]],
            recognise=lambda answer: len(read_matrix(answer)) > 2,
            hint="these are more than two vectors: hand in the two that you want to compare",
        ),
        Wrong(
            name="vectors of one number",
            answer=[[1], [11]],
            recognise=lambda answer: read_matrix(answer).shape == (2, 1),
            hint="a single number has no spread, and layer norm makes 0 of it: take at least two numbers each",
        ),
        Wrong(
            name="one number changed",
            answer=[[1, 2, 4], [1, 2, 14]],
            recognise=_related(
                lambda a, b: (
                    min(a.std(), b.std()) > 1e-3
                    and int((a != b).sum()) == 1
                    and not _close(_normed(a[None]), _normed(b[None]))
                )
            ),
            hint="one number changed by itself changes the spread, which layer norm sees: do the same to all of them",
        ),
    ),
    notice="Layer norm forgets a common shift and a common factor, RMSNorm the factor only.",
)
