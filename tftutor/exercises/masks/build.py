"""Exercise: the causal mask."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Wrong, has_shape, named_case
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
        Wrong(
            name="additive, finite",
            answer=lambda n: torch.full((n, n), -1e9).triu(1),
            hint="numbers to be added to scores, in the right pattern; the task asks for booleans",
            recognise=lambda answer: bool((answer(3).triu(1)[:2, 2] < -50).all()) and not answer(3).tril().any(),
        ),
        Wrong(
            name="floats that mark the hidden",
            answer=lambda n: torch.ones(n, n).triu(1),
            hint="two things at once: ones mark what is hidden here, and they are numbers; the task asks for booleans, "
            "True = may look",
        ),
        Wrong(
            name="three axes",
            answer=lambda n: torch.ones(1, n, n, dtype=torch.bool).tril(),
            hint="one axis too many: the task asks for rows and columns only",
        ),
    ),
    notice="Row i has i + 1 entries that are True: cut the rows and columns after the t-th token and you have the mask "
    "of the first t tokens.",
)
