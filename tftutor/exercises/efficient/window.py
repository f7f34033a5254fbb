"""Exercise: the mask of a sliding window, dilated or not."""

from __future__ import annotations

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, has_shape, named_case
from tftutor.exercises.values import read_mask


def window(n: int, w: int, step: int) -> Tensor:
    """Which position may look at which through a causal, dilated window.

    n: tokens in the text.
    w: keys that a query sees, itself included, where the text is long enough.
    step: distance from one of these keys to the next; 1 = neighbours.
    Returns bool (n, n): row = query, column = key; True = may look.
    """
    i, j = torch.arange(n)[:, None], torch.arange(n)
    back = i - j
    return (back >= 0) & (back < w * step) & (back % step == 0)


def _back(n: int) -> Tensor:
    return torch.arange(n)[:, None] - torch.arange(n)


def _first(wrong: Tensor, wanted: bool) -> Mismatch | None:
    at = wrong.nonzero().tolist()
    return Mismatch(f"{wanted} in row {at[0][0]}, column {at[0][1]}", str(not wanted)) if at else None


def _no_future(trial: Trial) -> Mismatch | None:
    return _first(trial.output & (_back(trial.args[0]) < 0), False)


def _itself(trial: Trial) -> Mismatch | None:
    return _first(~trial.output & (_back(trial.args[0]) == 0), True)


def _counts(trial: Trial) -> Mismatch | None:
    _, w, step = trial.args
    for i, got in enumerate(trial.output.sum(dim=1).tolist()):
        wanted = min(i // step + 1, w)
        if got != wanted:
            return Mismatch(f"{wanted} keys in row {i}", str(got))
    return None


def _places(trial: Trial) -> Mismatch | None:
    wanted = window(*trial.args)
    return _first(wanted & ~trial.output, True) or _first(trial.output & ~wanted, False)


def _from_the_left(n: int, w: int, step: int) -> Tensor:
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        mask[i, max(0, i - w * step + 1) : i + 1 : step] = True
    return mask


def _wrapped(n: int, w: int, step: int) -> Tensor:
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        for back in range(w):
            mask[i, (i - back * step) % n] = True
    return mask


WINDOW = Exercise(
    id="efficient/window",
    title="A window with holes",
    answer="window",
    solution=window,
    cases=lambda _generator: [named_case(n=n, w=w, step=step) for n, w, step in
                              ((3, 2, 1), (6, 3, 1), (7, 2, 2), (11, 3, 2), (13, 4, 3), (4, 9, 2))],
    read=read_mask,
    properties=(
        has_shape("there is one row and one column per token", lambda n, _w, _step: (n, n)),
        Property(sentence="nobody sees what comes later", test=_no_future,
                 hint="how far back is a key, counted from the query? The future is a negative distance"),
        Property(sentence="everybody sees itself", test=_itself,
                 hint="a distance of 0 belongs to the window"),
        Property(sentence="row i has min(i // step + 1, w) keys", test=_counts,
                 hint="count the True entries of a row by hand: from which distance on is a key outside?"),
        Property(sentence="the keys stand at distances 0, step, 2 step, ...", test=_places,
                 hint="the number of keys is right, and some stand in the wrong column: count from the query"),
    ),
    wrong=(
        Wrong(name="one too many", answer=lambda n, w, step: (
            (_back(n) >= 0) & (_back(n) <= w * step) & (_back(n) % step == 0)),
              hint="one key too many in long rows: the query itself is one of the w"),
        Wrong(name="one too few", answer=lambda n, w, step: (
            (_back(n) >= 0) & (_back(n) < (w - 1) * step) & (_back(n) % step == 0)) | (_back(n) == 0),
              hint="one key too few in long rows: the query and w - 1 others"),
        Wrong(name="not dilated", answer=lambda n, w, _step: (_back(n) >= 0) & (_back(n) < w),
              hint="right for neighbours; with step > 1 the window has holes and reaches further back"),
        Wrong(name="holes but no reach", answer=lambda n, w, step: (
            (_back(n) >= 0) & (_back(n) < w) & (_back(n) % step == 0)),
              hint="the holes are there, and the number of keys has shrunk: the window has to reach w * step back"),
        Wrong(name="no holes", answer=lambda n, w, step: (_back(n) >= 0) & (_back(n) < w * step),
              hint="the reach is right, and every key in it is seen: that costs step times as much"),
        Wrong(name="both sides", answer=lambda n, w, step: (
            (_back(n).abs() < w * step) & (_back(n) % step == 0)),
              hint="the window looks ahead as well: right for an encoder, not for a causal model"),
        Wrong(name="centred", answer=lambda n, w, step: (
            (_back(n).abs() <= (w // 2) * step) & (_back(n) % step == 0)),
              hint="half of the window lies in the future here: an encoder's window, not a causal one"),
        Wrong(name="not itself", answer=lambda n, w, step: (
            (_back(n) > 0) & (_back(n) <= w * step) & (_back(n) % step == 0)),
              hint="a token may see itself; here the first one sees nothing at all"),
        Wrong(name="the future", answer=lambda n, w, step: (
            (_back(n) <= 0) & (_back(n) > -w * step) & (_back(n) % step == 0)),
              hint="your window lies in the future: are they exchanged? Rows are queries, columns keys"),
        Wrong(name="polarity", answer=lambda n, w, step: ~window(n, w, step),
              hint="every entry is the opposite of what it should be: True = may look"),
        Wrong(name="absolute places", answer=lambda n, w, step: (
            (_back(n) >= 0) & (_back(n) < w * step) & (torch.arange(n) % step == 0)),
              hint="you take every step-th column of the text: the holes move along with the query"),
        Wrong(name="whole past", answer=lambda n, _w, _step: _back(n) >= 0,
              hint="this is the causal mask: where does the window end?"),
        Wrong(name="dilated past", answer=lambda n, _w, step: (_back(n) >= 0) & (_back(n) % step == 0),
              hint="the holes are right: where does the window end?"),
        Wrong(name="blocks", answer=lambda n, w, _step: (
            (_back(n) >= 0) & (torch.arange(n)[:, None] // w == torch.arange(n) // w)),
              hint="the text is cut into blocks that do not see one another: a window slides along with the query"),
        Wrong(name="triangle upside down", answer=lambda n, w, step: torch.ones(n, n, dtype=torch.bool).triu(-w + 1),
              hint="one edge of the band is right; the other lets the future in"),
        Wrong(name="not dilated, one too many", answer=lambda n, w, _step: (_back(n) >= 0) & (_back(n) <= w),
              hint="one key too many (the query is one of the w), and no holes where step > 1"),
        Wrong(name="reach without holes", answer=lambda n, w, step: (_back(n) >= 0) & (_back(n) <= (w - 1) * step),
              hint="first and last key are right; with step > 1 those in between are holes"),
        Wrong(name="not itself, one too few", answer=lambda n, w, step: (
            (_back(n) > 0) & (_back(n) < w * step) & (_back(n) % step == 0)),
              hint="the query itself is missing: it is one of the w keys, and the only one that the first row has"),
        Wrong(name="end off by one", answer=lambda n, w, step: (
            (_back(n) >= 0) & (_back(n) < w * step - 1) & (_back(n) % step == 0)),
              hint="right where there are holes, and one key too few for step = 1: look at the end of the window"),
        Wrong(name="step counted as holes", answer=lambda n, w, step: (
            (_back(n) >= 0) & (_back(n) < w * (step + 1)) & (_back(n) % (step + 1) == 0)),
              hint="step is the distance from one key to the next, not how many are left out: step 1 has no holes"),
        Wrong(name="window shortened by the step", answer=lambda n, w, step: (
            (_back(n) >= 0) & (_back(n) < max(w // step, 1)) & (_back(n) % step == 0)),
              hint="you divide w by step: the window reaches further with holes, not less far"),
        Wrong(name="four axes", answer=lambda n, w, step: window(n, w, step)[None, None],
              hint="the axes for batch and heads come later: the task asks for two axes"),
        Wrong(name="floats that mark the hidden", answer=lambda n, w, step: (~window(n, w, step)).float(),
              hint="two things at once: ones mark what is hidden, and they are numbers; True = may look"),
        Wrong(name="floats", answer=lambda n, w, step: window(n, w, step).float(),
              hint="right pattern, wrong type: compare, so that each entry is True or False"),
        Wrong(name="additive", answer=lambda n, w, step: torch.zeros(n, n).masked_fill(
            ~window(n, w, step), float("-inf")),
              hint="an additive mask, right in its own convention; the task asks for True and False"),
        Wrong(name="counted from the left", answer=_from_the_left,
              hint="your slice starts at the left end of the window and steps to the right: it meets the query only by "
                   "chance. Count back from the query"),
        Wrong(name="wrapped around", answer=_wrapped,
              hint="a negative index counts from the end in Python: the first rows have no such keys"),
        Wrong(name="itself only", answer=lambda n, _w, _step: torch.eye(n, dtype=torch.bool),
              hint="everybody sees itself and nobody else: where are the other w - 1 keys?"),
        Wrong(name="end of the window mistaken", answer=lambda n, w, step: (
            (_back(n) >= 0) & (_back(n) < w + step) & (_back(n) % step == 0)),
              hint="w and step are added where they should be multiplied: how far back is key number w?"),
    ),
    notice="With step 1 a row costs w scores and reaches w - 1 back; with holes it costs the same and reaches "
    "(w - 1) * step back.",
)  # fmt: skip
