"""Exercises: the causal mask, and the mask of a padded decoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.attention import attend_with_weights
from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, has_shape, named_case
from tftutor.exercises.values import read_mask


def causal(n: int) -> Tensor:
    """Which position may look at which, in a text of n tokens.

    Returns bool (n, n): row = the one who looks, column = whom at;
    True = may look. Everybody sees itself and what came before.
    """
    return torch.ones(n, n, dtype=torch.bool).tril()


def _entries(rows: Tensor, where: Callable[[Tensor], Tensor], wanted: bool) -> Mismatch | None:
    """None if `rows` (n, n) is `wanted` wherever `where` selects, else the first entry that is not."""
    chosen = where(torch.ones_like(rows, dtype=torch.bool))
    wrong = (chosen & (rows != wanted)).nonzero().tolist()
    if not wrong:
        return None
    query, key = wrong[0]
    return Mismatch(f"{wanted} in row {query}, column {key}", str(not wanted))


CAUSAL = Exercise(
    id="masks/causal",
    title="The causal mask",
    answer="causal",
    solution=causal,
    cases=lambda _generator: [named_case(n=n) for n in (1, 2, 3, 5, 8)],
    read=read_mask,
    properties=(
        has_shape("there is one row and one column per token", lambda n: (n, n)),
        Property(
            sentence="nobody sees what comes later",
            test=lambda trial: _entries(trial.output, lambda all_: all_.triu(1), False),
            hint="a later token has a larger column number than row number: what stands there?",
        ),
        Property(
            sentence="everybody sees itself",
            test=lambda trial: _entries(trial.output, lambda all_: all_.triu().tril(), True),
            hint="look at the entries whose row number equals their column number",
        ),
        Property(
            sentence="everybody sees all that came before",
            test=lambda trial: _entries(trial.output, lambda all_: all_.tril(-1), True),
            hint="the last token may look at every earlier one: is its row full?",
        ),
    ),
    wrong=(
        Wrong(
            name="upper triangle",
            answer=lambda n: torch.ones(n, n, dtype=torch.bool).triu(),
            hint="in your mask the first token sees all later ones, and the last sees only itself: which of the two "
            "triangles lies in the past?",
        ),
        Wrong(
            name="without the diagonal",
            answer=lambda n: torch.ones(n, n, dtype=torch.bool).tril(-1),
            hint="a token may see itself; in your mask the first one sees nothing at all, which a softmax turns into "
            "NaN",
        ),
        Wrong(
            name="polarity",
            answer=lambda n: torch.ones(n, n, dtype=torch.bool).triu(1),
            hint="every entry is the opposite of what it should be: this is the mask of nn.MultiheadAttention, where "
            "True means hidden",
        ),
        Wrong(
            name="one too far",
            answer=lambda n: torch.ones(n, n, dtype=torch.bool).tril(1),
            hint="each token sees one token ahead, and that one is the answer it is asked for",
        ),
        Wrong(
            name="everything",
            answer=lambda n: torch.ones(n, n, dtype=torch.bool),
            hint="here everybody sees everybody, the future included",
        ),
        Wrong(
            name="only itself",
            answer=lambda n: torch.eye(n, dtype=torch.bool),
            hint="the past is hidden as well: a token that sees only itself has nobody to attend to",
        ),
        Wrong(
            name="floats",
            answer=lambda n: torch.ones(n, n).tril(),
            hint="right triangle, wrong type: ones and zeros as floats would be added to scores, not obeyed; ask for "
            "booleans",
        ),
        Wrong(
            name="additive",
            answer=lambda n: torch.full((n, n), float("-inf")).triu(1),
            hint="this is an additive mask, right in its own convention; the task asks for True and False",
        ),
        Wrong(
            name="four axes",
            answer=lambda n: torch.ones(1, 1, n, n, dtype=torch.bool).tril(),
            hint="the axes for batch and heads come later: the task asks for two axes",
        ),
    ),
    notice="Row i has i + 1 entries that are True: cut the rows and columns after the t-th token and you have the mask "
    "of the first t tokens.",
)


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
    ),
    notice="Real tokens never have an empty row, since they see themselves; rows of padding may have one.",
)
