"""Exercise: one stack, BERT or GPT by its mask."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case
from tftutor.exercises.values import read_mask


def stack_mask(valid: Tensor, causal: bool) -> Tensor:
    """Who may look at whom in a stack that is BERT or GPT.

    valid: bool (B, T), True = a real token, False = padding.
    causal: True for GPT, False for BERT.
    Returns bool (B, 1, T, T): entry [b, 0, i, j] is True where query i may
    attend to key j.
    """
    mask = valid[:, None, None, :].expand(-1, 1, valid.shape[1], -1)
    return mask.tril() if causal else mask


def _cases(_generator: torch.Generator) -> list[Case]:
    cases = []
    for lengths in ((2, 3), (4, 2, 5), (6, 3, 1, 4)):
        places = torch.arange(max(lengths))
        right = places < torch.tensor(lengths)[:, None]
        cases += [named_case(valid=right, causal=causal) for causal in (False, True)]
    return [*cases, named_case(valid=right.flip(1), causal=True), named_case(valid=right.flip(1), causal=False)]


def _shape(trial: Trial) -> Mismatch | None:
    rows, length = trial.args[0].shape
    got = tuple(trial.output.shape)
    return None if got == (rows, 1, length, length) else Mismatch(f"shape {(rows, 1, length, length)}", f"shape {got}")


def _padding_hidden(trial: Trial) -> Mismatch | None:
    keys = trial.args[0][:, None, None, :]
    return compare(trial.output & keys, trial.output)


def _both(valid: Tensor) -> Tensor:
    return valid[:, None, None, :].expand(-1, 1, valid.shape[1], -1)


def _plain(valid: Tensor, causal: bool) -> Tensor:
    """The mask of a text without padding: (T, T)."""
    square = torch.ones(valid.shape[1], valid.shape[1], dtype=torch.bool)
    return square.tril() if causal else square


def _same(valid: Tensor) -> Tensor:
    return _both(valid) == _both(valid).mT


def _wrong(name: str, hint: str, answer: Callable[[Tensor, bool], Tensor]) -> Wrong:
    return Wrong(name=name, hint=hint, answer=answer)


STACK_MASK = Exercise(
    id="pretraining/stack-mask",
    title="BERT or GPT by the mask",
    answer="stack_mask",
    solution=stack_mask,
    cases=_cases,
    read=read_mask,
    properties=(
        Property(sentence="there is one square mask for each row, the same for all heads", test=_shape,
                 hint="the axes are rows, heads (one stands for all), queries, keys"),
        Property(sentence="nobody looks at padding", test=_padding_hidden, hint="which of the last two axes are keys?"),
        equals("BERT sees all real tokens, GPT those up to its own", stack_mask,
               hint="write the mask of a row of three tokens, one of them padding, by hand, for both families"),
    ),
    wrong=(
        _wrong("no axis of heads", "the axes are rows, heads, queries, keys: one of them is missing",
               lambda v, c: (_both(v).tril() if c else _both(v))[:, 0]),
        _wrong("never causal", "both families get the mask of BERT: what may GPT not see?", lambda v, c: _both(v)),
        _wrong("always causal", "both families get the mask of GPT: BERT looks to the right as well",
               lambda v, c: _both(v).tril()),
        _wrong("families swapped", "causal=True is the one that may not look ahead",
               lambda v, c: _both(v) if c else _both(v).tril()),
        _wrong("padding forgotten in GPT", "to the left of a token there can be padding too: the causal mask and the "
               "padding mask both hold", lambda v, c: torch.ones_like(_both(v)).tril() if c else _both(v)),
        _wrong("padding forgotten", "the triangle is right; padding may still be looked at",
               lambda v, c: torch.ones_like(_both(v)).tril() if c else torch.ones_like(_both(v))),
        _wrong("not itself", "a token may look at itself: the diagonal belongs to the mask",
               lambda v, c: _both(v).tril(-1) if c else _both(v)),
        _wrong("the past hidden", "GPT looks back, not ahead: the wrong triangle is left",
               lambda v, c: _both(v).triu() if c else _both(v)),
        _wrong("blocked and not allowed", "True means blocked in your mask; here it means that one may look",
               lambda v, c: ~(_both(v).tril() if c else _both(v))),
        _wrong("padding as queries", "you blank the rows of padding, which ask; it is as keys that they do harm",
               lambda v, c: _both(v).mT.tril() if c else _both(v).mT),
        _wrong("queries and keys", "queries of padding may stay as they are, nobody reads them; mask keys only",
               lambda v, c: (_both(v) & _both(v).mT).tril() if c else _both(v) & _both(v).mT),
        _wrong("a triangle or a row", "either of the two conditions is enough in your mask; both have to hold",
               lambda v, c: _both(v) | torch.ones_like(_both(v)).tril() if c else _both(v)),
        _wrong("BERT without the axis of queries", "true for every query alike, so one row would do; but here the axis "
               "of queries is asked for in full", lambda v, c: _both(v).tril() if c else v[:, None, None, :]),
        _wrong("axes in another order", "the axis of heads stands before those of queries and keys",
               lambda v, c: stack_mask(v, c).transpose(1, 2)),
        _wrong("one for all rows", "rows of a batch have padding in different places: each needs its own mask",
               lambda v, c: _plain(v, c)[None, None]),
        _wrong("one square", "one square for the whole batch: rows have padding in different places, so each needs its "
               "own, and the heads an axis of size one", _plain),
        _wrong("rows as heads", "the axis of rows and that of heads have changed places",
               lambda v, c: stack_mask(v, c).transpose(0, 1)),
        _wrong("exclusive or", "^ is true where exactly one holds; both have to hold",
               lambda v, c: _both(v) ^ _plain(v, True) if c else _both(v)),
        _wrong("queries of padding, BERT only",
               "for BERT you blank the padding that asks as well: nobody reads what it gets, so mask keys only, as "
               "you do for GPT", lambda v, c: _both(v).tril() if c else _both(v) & _both(v).mT),
        _wrong("queries in GPT only", "for GPT you blank the padding that asks; it is as keys that it does harm, and "
               "with padding on the left the triangle does not hide it",
               lambda v, c: _both(v).mT.tril() if c else _both(v)),
        _wrong("itself whatever it is", "every token, padding too, may look at itself in your mask: that guards "
               "against empty rows, but padding is a key that nobody should see",
               lambda v, c: stack_mask(v, c) | torch.eye(v.shape[1]).bool()),
        _wrong("itself whatever it is, GPT only", "for GPT padding may look at itself in your mask: that guards "
               "against empty rows, but padding is a key that nobody should see",
               lambda v, c: stack_mask(v, c) | (torch.eye(v.shape[1]).bool() & bool(c))),
        _wrong("BERT without padding mask", "GPT is right; in BERT too padding is no token to look at",
               lambda v, c: _both(v).tril() if c else torch.ones_like(_both(v))),
        _wrong("neither itself", "a token may look at itself in both families",
               lambda v, c: stack_mask(v, c) & ~torch.eye(v.shape[1]).bool()),
        _wrong("BERT not itself", "GPT is right; in BERT too a token may look at itself",
               lambda v, c: _both(v).tril() if c else _both(v) & ~torch.eye(v.shape[1]).bool()),
        _wrong("one step ahead", "GPT sees one token too many: that is the answer it is asked for",
               lambda v, c: _both(v).tril(1) if c else _both(v)),
        _wrong("only the future", "GPT looks back, not ahead, and a token may look at itself",
               lambda v, c: _both(v).triu(1) if c else _both(v)),
        _wrong("padding alone", "valid is True for real tokens; your mask shows the padding and hides the rest",
               lambda v, c: stack_mask(~v, c)),
        _wrong("padding alone, BERT only", "valid is True for real tokens; for BERT your mask shows the padding",
               lambda v, c: _both(v).tril() if c else _both(~v)),
        _wrong("row or column", "either end may be a real token in your mask; the key has to be one",
               lambda v, c: (_both(v) | _both(v).mT).tril() if c else _both(v) | _both(v).mT),
        _wrong("triangle before the square", "tril works on the last two axes: make the square of queries and keys "
               "first", lambda v, c: v[:, None, None, :].tril().expand(-1, 1, v.shape[1], -1) if c else _both(v)),
        _wrong("counted from the left", "padding may stand on the left: `valid` says where the tokens are, "
               "their number does not", lambda v, c: stack_mask(torch.arange(v.shape[1]) < v.sum(1, keepdim=True), c)),
        _wrong("turned", "the right triangle, but queries and keys have changed places: rows ask, columns are asked",
               lambda v, c: _both(v).tril().mT if c else _both(v)),
        _wrong("turned in both", "queries and keys have changed places in both: rows ask, columns are asked",
               lambda v, c: stack_mask(v, c).mT),
        _wrong("the padded query itself", "you compare the query's own validity with the key's: a padding query then "
               "sees padding", lambda v, c: _same(v).tril() if c else _same(v)),
    ),
    notice="That is the whole difference between the two stacks; heads and losses are what stands on top.",
)  # fmt: skip
