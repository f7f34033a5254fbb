"""Exercise: the mask of a padded decoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.attention import attend_with_weights
from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, has_shape, named_case
from tftutor.exercises.values import read_mask


def decoder_mask(valid: Tensor) -> Tensor:
    """The mask of a decoder that reads a padded batch: causal, and no padding.

    valid: bool (B, T), True = a real token. Padding may be on either side.
    Returns bool (B, 1, T, T), True = may look: batch, heads, who looks, whom at.
    Only rows of real tokens count; those of padding may hold anything.
    """
    n = valid.shape[1]
    return torch.ones(n, n, dtype=torch.bool).tril() & valid[:, None, None, :]


def _valid_cases(_generator: torch.Generator) -> list[Case]:
    rows = (["11"], ["110", "111"], ["011", "111"], ["01101", "11100", "00111", "11111"], ["0011110", "1111111"])
    return [named_case(valid=torch.tensor([[char == "1" for char in row] for row in batch])) for batch in rows]


def _attended(mask: Tensor, x: Tensor) -> Tensor:
    """(B, T, D): what each token receives from vectors x (B, T, D) under the mask."""
    return attend_with_weights(x[:, None], x[:, None], x[:, None], mask=mask).heads[:, 0]


def _unmoved(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Trial], Mismatch | None]:
    """The property that new vectors at `change(valid, t)` (B, T) leave the real token at t where it was."""

    def test(trial: Trial) -> Mismatch | None:
        (valid,), mask = trial.args, trial.output
        old, new = torch.randn(2, *valid.shape, 3, generator=torch.Generator().manual_seed(0))
        for t in range(valid.shape[1]):
            x = torch.where(change(valid, torch.tensor(t))[..., None], new, old)
            moved = (_attended(mask, x) - _attended(mask, old))[:, t].abs().amax(dim=-1)
            moved = moved.masked_fill(~valid[:, t], 0.0)
            if moved.max() > 1e-6:
                row = int(moved.argmax())
                return Mismatch(f"no change at position {t} of row {row}", f"a change of {moved.max():.2f}")
        return None

    return test


def _sees_all_it_may(trial: Trial) -> Mismatch | None:
    (valid,), mask = trial.args, trial.output
    missing = decoder_mask(valid) & ~mask & valid[:, None, :, None]
    if not missing.any():
        return None
    row, _, query, key = missing.nonzero()[0].tolist()
    return Mismatch(f"row {row}: the token at {query} sees the one at {key}", "hidden")


DECODER_MASK = Exercise(
    id="masks/decoder-mask",
    title="Causal and padding at once",
    answer="decoder_mask",
    solution=decoder_mask,
    cases=_valid_cases,
    read=read_mask,
    properties=(
        has_shape("the axes are batch, heads (1), queries, keys", lambda v: (len(v), 1, v.shape[1], v.shape[1])),
        Property(
            sentence="other vectors at the padding change no real token",
            test=_unmoved(lambda valid, _t: ~valid),
            hint="who looks at padding here, and in which axis of the mask does the one who is looked at stand?",
        ),
        Property(
            sentence="other vectors in the future change no real token",
            test=_unmoved(lambda valid, t: (torch.arange(valid.shape[1]) > t).expand_as(valid)),
            hint="the token at t moved when later ones did: which of the two conditions was lost?",
        ),
        Property(
            sentence="a real token sees itself and all real tokens before it",
            test=_sees_all_it_may,
            hint="something is hidden that is neither padding nor future",
        ),
    ),
    wrong=(
        Wrong(
            name="or",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril().bool() | valid[:, None, None, :],
            hint="a key is visible here when one of the two conditions allows it: both have to. (Masks in which True "
            "means hidden combine the other way round.)",
        ),
        Wrong(
            name="causal only",
            answer=lambda valid: torch.ones(len(valid), 1, valid.shape[1], valid.shape[1]).tril().bool(),
            hint="padding on the right lies in the future and is hidden already; what about padding on the left?",
        ),
        Wrong(
            name="padding only",
            answer=lambda valid: valid[:, None, None, :].repeat(1, 1, valid.shape[1], 1),
            hint="this is an encoder's mask: later tokens are visible",
        ),
        Wrong(
            name="rows instead of columns",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril().bool() & valid[:, None, :, None],
            hint="this forbids padding to look; what matters is that nobody looks at padding",
        ),
        Wrong(
            name="valid inverted",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril().bool() & ~valid[:, None, None, :],
            hint="only padding is visible: which value of `valid` marks a real token?",
        ),
        Wrong(
            name="everything inverted",
            answer=lambda valid: ~decoder_mask(valid),
            hint="every entry is the opposite of what it should be: True means may look here",
        ),
        Wrong(
            name="upper triangle",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).triu().bool() & valid[:, None, None, :],
            hint="the padding is right; of the two triangles you took the one that shows the future",
        ),
        Wrong(
            name="without the diagonal",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril(-1).bool() & valid[:, None, None, :],
            hint="a real token does not even see itself: look at the diagonal",
        ),
        Wrong(
            name="no axis for heads",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril().bool() & valid[:, None, :],
            hint="three axes (B, T, T) line up with (H, T, T) of the scores: row b of the batch would become head b. "
            "Where does the axis for heads go?",
        ),
        Wrong(
            name="floats multiplied",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril() * valid[:, None, None, :],
            hint="the product has the right pattern; of ones and zeros make booleans, or they will be added to scores",
        ),
        Wrong(
            name="one too far",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril(1).bool() & valid[:, None, None, :],
            hint="the padding is right; every token sees one token ahead, which is the one it is asked for",
        ),
        Wrong(
            name="lengths instead of places",
            answer=lambda valid: (
                torch.ones(valid.shape[1], valid.shape[1]).tril().bool()
                & (torch.arange(valid.shape[1]) < valid.sum(dim=1)[:, None])[:, None, None]
            ),
            hint="how many tokens are real tells which ones only if all padding is on the right; `valid` says it place "
            "by place",
        ),
        Wrong(
            name="padding hidden by True",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril().bool() | ~valid[:, None, None, :],
            hint="your triangle says True = may look and your padding True = hidden: bring both to one convention "
            "before you combine them",
        ),
        Wrong(
            name="no axes added",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril().bool() & valid,
            hint="(T, T) and (B, T) meet on the wrong axes: between batch and keys `valid` lacks the axes of heads and "
            "queries",
        ),
        Wrong(
            name="batch in the place of heads",
            answer=lambda valid: torch.ones(valid.shape[1], valid.shape[1]).tril().bool() & valid[None, :, None, :],
            hint="the texts of the batch stand on the axis of the heads: which of the four axes comes first?",
        ),
        Wrong(
            name="additive",
            answer=lambda valid: torch.zeros(len(valid), 1, valid.shape[1], valid.shape[1]).masked_fill(
                ~decoder_mask(valid), float("-inf")
            ),
            hint="right as a mask to be added to scores; the task asks for True and False",
        ),
    ),
    notice="Real tokens never have an empty row, since they see themselves; rows of padding may have one.",
)
