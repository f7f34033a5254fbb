"""Exercise: tell the senses of a word apart by the nearest centroid."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case


def nearest_sense(vectors: Tensor, examples: Tensor, senses: Tensor) -> Tensor:
    """The sense of each vector: the one whose examples have the nearest mean.

    vectors: contextual vectors of a word (M, D).
    examples: vectors of the same word with known senses (N, D).
    senses: which sense each example has, 0 .. C - 1, (N,); each occurs.
    Returns the sense (M,) whose mean example has the largest cosine.
    """
    means = torch.stack([examples[senses == sense].mean(0) for sense in range(int(senses.max()) + 1)])
    return F.cosine_similarity(vectors[:, None], means, dim=-1).argmax(dim=-1)


def _cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for n_vectors, n_examples, width, n_senses in ((4, 6, 3, 2), (47, 13, 5, 3), (80, 16, 2, 4)):
        centres = torch.randn(n_senses, width, generator=generator)
        centres = centres * torch.linspace(0.5, 2.5, n_senses)[:, None] * torch.linspace(0.4, 1.6, width)
        senses = torch.cat(
            [
                torch.arange(n_senses),
                torch.tensor([n_senses - 1] * 2),  # never the rarest
                torch.randint(0, n_senses, (n_examples - n_senses - 2,), generator=generator),
            ]
        )
        senses = senses[torch.randperm(n_examples, generator=generator)]
        examples = centres[senses] + 0.8 * torch.randn(n_examples, width, generator=generator)
        examples = examples * torch.linspace(0.5, 2.0, n_examples)[:, None]  # of unequal length
        which = torch.randint(0, n_senses, (n_vectors,), generator=generator)
        vectors = centres[which] + 0.8 * torch.randn(n_vectors, width, generator=generator)
        cases.append(named_case(vectors=vectors, examples=examples, senses=senses))  # fmt: skip
    return cases


def _length_ignored(trial: Trial) -> Mismatch | None:
    vectors, examples, senses = trial.args
    return compare(trial.output, trial.call(vectors * 3.0, examples, senses))


def _order_ignored(trial: Trial) -> Mismatch | None:
    vectors, examples, senses = trial.args
    return compare(trial.output, trial.call(vectors, examples.flip(0), senses.flip(0)))


def _shape(trial: Trial) -> Mismatch | None:
    want, got = (len(trial.args[0]),), tuple(trial.output.shape)
    return None if want == got else Mismatch(f"shape {want}", f"shape {got}")


def _means(examples: Tensor, senses: Tensor) -> Tensor:
    return torch.stack([examples[senses == sense].mean(0) for sense in range(int(senses.max()) + 1)])


def _sums(examples: Tensor, senses: Tensor) -> Tensor:
    return F.one_hot(senses).T.to(examples.dtype) @ examples


def _cosines(vectors: Tensor, means: Tensor) -> Tensor:
    return F.cosine_similarity(vectors[:, None], means, dim=-1)


def _wrong(name: str, hint: str, answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Wrong:
    return Wrong(name=name, hint=hint, answer=answer)


NEAREST_SENSE = Exercise(
    id="pretraining/nearest-sense",
    title="A probe for word senses",
    answer="nearest_sense",
    solution=nearest_sense,
    cases=_cases,
    properties=(
        Property(sentence="there is one sense for each vector", test=_shape,
                 hint="compare every vector with every mean: which axis is left after choosing?"),
        Property(sentence="longer vectors get the same senses", test=_length_ignored,
                 hint="a cosine does not know how long a vector is"),
        Property(sentence="the order of the examples does not matter", test=_order_ignored,
                 hint="a sense is named by `senses`, not by the place of an example"),
        equals("the sense is that of the mean with the largest cosine", nearest_sense,
               hint="compute one mean by hand, then the cosine of one vector with it"),
    ),
    wrong=(
        _wrong("dot product", "a long mean wins by its length: the cosine divides by both lengths",
               lambda v, e, s: (v @ _means(e, s).T).argmax(-1)),
        _wrong("distance", "that is the nearest by distance, which depends on lengths; the cosine looks at directions",
               lambda v, e, s: torch.cdist(v, _means(e, s)).argmin(-1)),
        _wrong("nearest example", "that is the sense of the single nearest example; one odd example then decides alone",
               lambda v, e, s: s[F.cosine_similarity(v[:, None], e, dim=-1).argmax(-1)]),
        _wrong("index of the example", "that is the number of an example: whose sense does it have, and where are the "
               "means?", lambda v, e, s: F.cosine_similarity(v[:, None], e, dim=-1).argmax(-1)),
        _wrong("mean of the cosines", "you average cosines with single examples: average the examples first, then "
               "take one cosine", lambda v, e, s: torch.stack(
                   [F.cosine_similarity(v[:, None], e[s == sense], dim=-1).mean(1) for sense in range(int(s.max()) + 1)]
               ).argmax(0)),
        _wrong("farthest", "a large cosine means near: you choose the smallest",
               lambda v, e, s: F.cosine_similarity(v[:, None], _means(e, s), dim=-1).argmin(-1)),
        _wrong("unit vectors averaged", "you make every example a unit vector before averaging: a fair variant, but "
               "the mean of the examples as they are is asked for",
               lambda v, e, s: (F.normalize(v, dim=-1) @ F.normalize(_means(F.normalize(e, dim=-1), s), dim=-1).T)
               .argmax(-1)),
        _wrong("sense of the vectors' mean", "the vectors are judged together: each of them may have another sense",
               lambda v, e, s: F.cosine_similarity(v.mean(0), _means(e, s), dim=-1).argmax(-1).expand(len(v))),
        _wrong("cosines themselves", "these are the cosines: which sense has the largest?",
               lambda v, e, s: F.cosine_similarity(v[:, None], _means(e, s), dim=-1)),
        _wrong("largest class", "every vector gets the commonest sense: the vectors are not looked at",
               lambda v, e, s: torch.bincount(s).argmax().expand(len(v))),
        _wrong("which vector", "the largest was taken over the vectors; each vector chooses among the senses",
               lambda v, e, s: F.cosine_similarity(v[:, None], _means(e, s), dim=-1).argmax(0)),
        _wrong("one mean for all", "every vector gets sense 0: has each sense a mean of its own examples only?",
               lambda v, e, s: torch.zeros(len(v), dtype=torch.long)),
        _wrong("two senses", "there may be more than two senses: how many does `senses` name?",
               lambda v, e, s: _cosines(v, _means(e, s)[:2]).argmax(-1)),
        _wrong("the last sense missing", "the last sense is never chosen: range(n) ends before n",
               lambda v, e, s: _cosines(v, _means(e, s)[:-1]).argmax(-1)),
        _wrong("the first sense missing", "the first sense is number 0; yours begin at 1",
               lambda v, e, s: _cosines(v, _means(e, s)[1:]).argmax(-1)),
        _wrong("counted from one", "the senses are counted from 0, not from 1",
               lambda v, e, s: _cosines(v, _means(e, s)).argmax(-1) + 1),
        _wrong("normalised over the vectors", "normalise each vector for itself, along its own D numbers; you divide "
               "each coordinate by its size over all vectors",
               lambda v, e, s: (F.normalize(v, dim=0) @ F.normalize(_means(e, s), dim=0).T).argmax(-1)),
        _wrong("means normalised over the senses", "the vectors are normalised along D, the means along the senses: "
               "both need the last axis",
               lambda v, e, s: (F.normalize(v, dim=-1) @ F.normalize(_means(e, s), dim=0).T).argmax(-1)),
        _wrong("the cosine itself", "that is how near the nearest mean is: which one is it? (argmax, not max)",
               lambda v, e, s: _cosines(v, _means(e, s)).amax(-1)),
        _wrong("max without a choice", "max returns values and places: which of the two names a sense?",
               lambda v, e, s: tuple(_cosines(v, _means(e, s)).max(-1))),
        _wrong("one-hot", "one row of zeros and a one for each vector: return the number of the sense instead",
               lambda v, e, s: F.one_hot(_cosines(v, _means(e, s)).argmax(-1), int(s.max()) + 1)),
        _wrong("the means", "these are the means; compare each vector with them and choose",
               lambda v, e, s: _means(e, s)),
        _wrong("sums and dot products", "a sense with many examples, or long ones, wins by the length of its sum: the "
               "cosine divides by both lengths", lambda v, e, s: (v @ _sums(e, s).T).argmax(-1)),
        _wrong("distance to unit vectors", "the vectors have length 1, the means do not: normalise both, or take the "
               "cosine", lambda v, e, s: torch.cdist(F.normalize(v, dim=-1), _means(e, s)).argmin(-1)),
        _wrong("farthest by distance", "the largest distance is the farthest mean, and the cosine is asked for",
               lambda v, e, s: torch.cdist(v, _means(e, s)).argmax(-1)),
        _wrong("without a sign", "a cosine of -1 is as far as can be: no absolute value",
               lambda v, e, s: _cosines(v, _means(e, s)).abs().argmax(-1)),
        _wrong("order of appearance", "your means are in the order in which the senses first appear: sense 0 belongs "
               "first", lambda v, e, s: _cosines(v, torch.stack(
                   [e[s == sense].mean(0) for sense in dict.fromkeys(s.tolist())])).argmax(-1)),
        _wrong("three neighbours", "that is the vote of the three nearest examples: average the examples of each sense "
               "first", lambda v, e, s: s[_cosines(v, e).topk(3).indices].mode(1).values),
        _wrong("first example", "one example stands for each sense: take the mean of all its examples",
               lambda v, e, s: _cosines(v, torch.stack(
                   [e[s == sense][0] for sense in range(int(s.max()) + 1)])).argmax(-1)),
        _wrong("median", "the median of each coordinate: the mean is asked for",
               lambda v, e, s: _cosines(v, torch.stack(
                   [e[s == sense].median(0).values for sense in range(int(s.max()) + 1)])).argmax(-1)),
        _wrong("centred", "you subtract the mean of all examples first: a fair variant, but the cosine of the vectors "
               "as they are is asked for",
               lambda v, e, s: _cosines(v - e.mean(0), _means(e, s) - e.mean(0)).argmax(-1)),
        _wrong("sum of the cosines", "a sense with many examples collects more cosines: average the examples, then "
               "take one cosine", lambda v, e, s: torch.stack(
                   [_cosines(v, e[s == sense]).sum(1) for sense in range(int(s.max()) + 1)]).argmax(0)),
        _wrong("senses of the examples", "these are the senses of the examples, which are known; those of `vectors` "
               "are asked for", lambda v, e, s: _cosines(e, _means(e, s)).argmax(-1)),
        _wrong("looked up once more", "the number of the mean is the sense already; you use it as the number of an "
               "example", lambda v, e, s: s[_cosines(v, _means(e, s)).argmax(-1)]),
        _wrong("means over the coordinates", "the mean runs over the numbers of each vector; it belongs over the "
               "examples of a sense", lambda v, e, s: (v.mean(1)[:, None] - _means(e, s).mean(1)).abs().argmin(-1)),
    ),
    notice="No training at all: whatever tells the senses apart was in the vectors already.",
)  # fmt: skip
