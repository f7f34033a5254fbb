"""Exercise: say what a head does from its attention weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble, show

NAMES = ("previous", "next", "self", "sink", "other")


def classify_heads(weights: Tensor, threshold: float) -> list[str]:
    """What does each head look at?

    weights: attention weights of H heads over T tokens, (H, T, T), T > 2.
    Of each head take four means of its weight: on the token before the query
    ("previous"), on the one after it ("next"), on the query's own ("self"),
    and on token 0 ("sink", for queries other than token 0). A mean is taken
    over the queries for which there is such a token.
    Returns H strings: the name of the largest mean if it is at least
    `threshold`, else "other".
    """
    means = {
        "previous": weights.diagonal(-1, 1, 2).mean(dim=-1),
        "next": weights.diagonal(1, 1, 2).mean(dim=-1),
        "self": weights.diagonal(0, 1, 2).mean(dim=-1),
        "sink": weights[:, 1:, 0].mean(dim=-1),
    }
    labels = []
    for head in range(len(weights)):
        best = max(means, key=lambda name: means[name][head])
        labels.append(best if means[best][head] >= threshold else "other")
    return labels


def _lines(weights: Tensor) -> tuple[Tensor, ...]:
    """The weights that count for previous, next, self, sink: (H, queries) each."""
    return (weights.diagonal(-1, 1, 2), weights.diagonal(1, 1, 2), weights.diagonal(0, 1, 2), weights[:, 1:, 0])


def _means_of(*lines: Tensor) -> Tensor:
    return torch.stack([line.mean(dim=-1) for line in lines])


def _means(weights: Tensor) -> Tensor:
    """Previous, next, self, sink: (4, H)."""
    return _means_of(*_lines(weights))


def _decide(means: Tensor, threshold: float) -> list[str]:
    best, which = means.max(dim=0)
    return [NAMES[i] if value >= threshold else "other" for value, i in zip(best.tolist(), which.tolist(), strict=True)]


def _ideal(n: int) -> dict[str, Tensor]:
    """Heads that do one thing only; where there is no such token they look evenly at all."""
    even, eye = torch.full((n, n), 1 / n), torch.eye(n)
    previous, following = eye.roll(-1, 1), eye.roll(1, 1)
    previous[0], following[-1] = 1 / n, 1 / n
    sink = torch.zeros(n, n)
    sink[:, 0] = 1
    return {"previous": previous, "next": following, "self": eye, "sink": sink, "even": even}


def _classify_cases(generator: torch.Generator) -> list[Case]:
    def mixture(n: int, **shares: float) -> Tensor:
        rest = torch.rand(n, n, generator=generator).softmax(dim=-1)
        ideal = _ideal(n)
        return sum(share * ideal[name] for name, share in shares.items()) + (1 - sum(shares.values())) * rest

    def case(threshold: float, label: str, *heads: Tensor) -> Case:
        return Case((torch.stack(heads), threshold), label)

    n = 6
    # a head whose favourite is nearly always the token before, by a narrow margin
    narrow = 0.45 * _ideal(n)["previous"] + 0.55 * torch.full((n, n), 1 / n)
    # a head that gathers on token 3, and one in which only token 0 looks at itself
    elsewhere = torch.zeros(n, n)
    elsewhere[:, 3] = 1.0
    return [
        case(0.5, "4 heads that do one thing", *(_ideal(4)[name] for name in NAMES[:4])),
        case(0.5, "2 heads over 3 tokens", mixture(3, previous=0.9), mixture(3, next=0.8)),
        case(0.4, "3 noisy heads over 7 tokens", mixture(7, sink=0.7), mixture(7, next=0.6), mixture(7, self=0.5)),
        case(0.7, "a head that is even, and a narrow favourite", _ideal(n)["even"], narrow),
        case(0.2, "heads that do two things", mixture(5, previous=0.35, sink=0.55), mixture(5, next=0.3, self=0.6),
             mixture(5, self=0.3, sink=0.6), mixture(5, previous=0.3, next=0.6)),
        case(0.5, "a head that looks at token 3", elsewhere, mixture(n, sink=0.8)),
        case(0.85, "heads close to the threshold", 0.98 * _ideal(3)["previous"] + 0.02 / 3,
             0.98 * _ideal(3)["next"] + 0.02 / 3, 0.8 * _ideal(3)["sink"] + 0.2 * _ideal(3)["next"],
             0.8 * _ideal(8)["sink"][:3, :3] + 0.2 * _ideal(3)["self"]),
        case(0.5, "a head exactly at the threshold", torch.tensor(
            [[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), _ideal(3)["next"]),
        case(0.2, "a head whose first token looks far ahead", torch.tensor([
            [0.0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0.5, 0, 0, 0, 0.5], [0, 1, 0, 0, 0], [0, 1, 0, 0, 0]])),
        case(0.5, "a head that looks at the last token", torch.eye(5)[4].expand(5, 5)),
        case(0.3, "5 random heads over 4 tokens", *(mixture(4) for _ in range(5))),
    ]  # fmt: skip


def _read_labels(value: Any) -> list[str]:
    try:
        labels = list(value)
        good = all(isinstance(label, str) for label in labels) and not isinstance(value, str)
    except Exception:  # anything else
        good = False
    if not good:
        raise Trouble("returns the wrong kind of thing", "return a list with one name per head",
                      expected="a list of strings", got=show(value))  # fmt: skip
    unknown = [label for label in labels if label not in NAMES]
    if unknown:
        raise Trouble("returns a name that is not one of the five", f"the names are {', '.join(NAMES)}",
                      expected="one of them for each head", got=show(unknown[0]))  # fmt: skip
    return labels


def _one_label_each(trial: Trial) -> Mismatch | None:
    want, got = len(trial.args[0]), len(trial.output)
    return None if want == got else Mismatch(f"{want} names", f"{got}")


def _labels_are_right(trial: Trial) -> Mismatch | None:
    weights, threshold = trial.args
    for head, (want, got) in enumerate(zip(classify_heads(weights, threshold), trial.output, strict=True)):
        if want != got:
            means = ", ".join(f"{n} {m:.2f}" for n, m in zip(NAMES, _means(weights)[:, head].tolist(), strict=False))
            return Mismatch(f"{want} for head {head} ({means}; threshold {threshold:g})", got)
    return None


def _classify_variant(means: Callable[[Tensor], Tensor]) -> Callable[[Tensor, float], list[str]]:
    return lambda weights, threshold: _decide(means(weights), threshold)


def _first_above(weights: Tensor, threshold: float) -> list[str]:
    return [
        next((name for name, mean in zip(NAMES, column, strict=False) if mean >= threshold), "other")
        for column in _means(weights).T.tolist()
    ]


def _divided_by_all(weights: Tensor) -> Tensor:
    n = weights.shape[-1]
    return _means(weights) * torch.tensor([n - 1, n - 1, n, n - 1])[:, None] / n


def _favourites(weights: Tensor) -> Tensor:
    """How often the favourite key is the one in question."""
    hard = torch.nn.functional.one_hot(weights.argmax(-1), weights.shape[-1]).float()
    return _means(hard)


def _any_column(weights: Tensor) -> Tensor:
    means = _means(weights)
    means[3] = weights.mean(dim=1).max(dim=-1).values
    return means


def _sink_with_itself(weights: Tensor) -> Tensor:
    means = _means(weights)
    means[3] = weights[:, :, 0].mean(dim=-1)
    return means


def _round_the_corner(weights: Tensor) -> Tensor:
    before, after = (weights.roll(shift, -1).diagonal(0, 1, 2) for shift in (1, -1))
    return _means_of(before, after, *_lines(weights)[2:])


def _slip(name: str, answer: Callable[[Tensor, float], list[str]], hint: str) -> Wrong:
    return Wrong(name=name, answer=answer, hint=hint)


CLASSIFY = Exercise(
    id="heads/classify",
    title="Name the heads",
    answer="classify_heads",
    solution=classify_heads,
    cases=_classify_cases,
    read=_read_labels,
    properties=(
        Property(
            sentence="there is one name per head",
            test=_one_label_each,
            hint="the first axis of the weights counts the heads",
        ),
        Property(
            sentence="every head gets the name of its largest mean, or none if that is below the threshold",
            test=_labels_are_right,
            hint="print the four means of that head beside yours: which one differs, and over how many queries is it "
            "taken?",
        ),
    ),
    wrong=(
        Wrong(
            name="rows taken for keys",
            answer=lambda weights, threshold: classify_heads(weights.mT, threshold),
            hint="rows are queries, columns are keys: the key before the query stands to the left of the diagonal",
        ),
        Wrong(
            name="previous and next exchanged",
            answer=_classify_variant(lambda weights: _means(weights)[[1, 0, 2, 3]]),
            hint="sinks are right; of the two lines beside the diagonal, which one pairs query t with key t - 1?",
        ),
        Wrong(
            name="divided by all queries",
            answer=_classify_variant(_divided_by_all),
            hint="the first token has nobody before it, the last nobody behind: a query that cannot look there must "
            "not lower the mean",
        ),
        Wrong(
            name="token 0 counted as its own sink",
            answer=_classify_variant(_sink_with_itself),
            hint="token 0 looking at token 0 is looking at itself: which queries count for the sink?",
        ),
        Wrong(
            name="favourites instead of weights",
            answer=_classify_variant(_favourites),
            hint="you count whose favourite it is; a favourite can have little weight, and the mean weight is asked "
            "for",
        ),
        Wrong(
            name="first above the threshold",
            answer=_first_above,
            hint="a head may pass the threshold in two ways: the larger mean decides, not the one tested first",
        ),
        Wrong(
            name="no threshold",
            answer=lambda weights, threshold: _decide(_means(weights), 0.0),
            hint="one of four means is always the largest, even in a head that looks everywhere alike: use the "
            "threshold",
        ),
        _slip("more than the threshold", lambda weights, threshold: [
                  NAMES[i] if m > threshold else "other" for m, i in zip(*map(Tensor.tolist, _means(weights).max(0)),
                                                                         strict=True)],
              "a head that just reaches the threshold has earned its name: read the last line of the task"),
        _slip("the wrong axes", _classify_variant(lambda weights: torch.stack([
                  line.mean(dim=-1)[: len(weights)] for line in (
                  weights.diagonal(-1), weights.diagonal(1), weights.diagonal(), weights[:, 1:, 0])])),
              "diagonal takes the first two axes unless told otherwise, and the first one counts heads"),
        _slip("query 0 instead of key 0", _classify_variant(lambda weights: _means_of(*_lines(weights)[:3],
                                                                                     weights[:, 0, 1:])),
              "for the sink you follow where token 0 looks; the question is who looks at token 0"),
        _slip("sums", lambda weights, threshold: _decide(torch.stack([x.sum(-1) for x in _lines(weights)]), threshold),
              "sums grow with the number of tokens: nearly every head passes a threshold below 1. Take means"),
        _slip("no sinks", lambda weights, threshold: _decide(_means(weights)[:3], threshold),
              "the neighbours and the token itself are there; a fourth place has to compete with them"),
        _slip("round the corner", _classify_variant(_round_the_corner),
              "index -1 is the last token: the first token has no neighbour before it, the last none after it"),
        _slip("two tokens away", _classify_variant(lambda weights: _means_of(
                  weights.diagonal(-2, 1, 2), weights.diagonal(2, 1, 2), *_lines(weights)[2:])),
              "the neighbours stand one place beside the diagonal, not two"),
        _slip("last token as the sink", _classify_variant(lambda weights: _means_of(*_lines(weights)[:3],
                                                                                   weights[:, :-1, -1])),
              "asked is for token 0; you look at the last one"),
        _slip("smallest mean", lambda weights, threshold: [
                  NAMES[i] if m >= threshold else "other" for m, i in zip(
                      *map(Tensor.tolist, (_means(weights).amax(0), _means(weights).argmin(0))), strict=True)],
              "the threshold is right; then the head gets the name of its smallest mean"),
        Wrong(
            name="any column is a sink",
            answer=_classify_variant(_any_column),
            hint="here token 0 is asked about; a column that gathers weight elsewhere is interesting too, but another "
            "question",
        ),
        Wrong(
            name="largest weight instead of the mean",
            answer=_classify_variant(lambda weights: torch.stack([line.amax(-1) for line in _lines(weights)])),
            hint="a single query with a large weight is not yet a habit of the head: average over the queries",
        ),
        Wrong(
            name="one name for all heads",
            answer=lambda weights, threshold: _decide(_means(weights.mean(0, keepdim=True)), threshold),
            hint="averaged over heads, their different habits blur: keep the first axis",
        ),
    ),
    notice="A name describes the weights, on these inputs. What the model does with them is another question.",
)  # fmt: skip
