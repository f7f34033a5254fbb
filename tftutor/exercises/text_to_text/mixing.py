"""Exercise: how often each task is drawn when several are learned together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, has_shape, named_case


def mixing_rates(sizes, limit, temperature):
    """The probability of drawing each task.

    sizes: number of examples of each task, a tensor (M,).
    limit: no task counts as larger than this.
    temperature: T >= 1; capped sizes count to the power 1 / T.
    Returns a tensor (M,) that adds up to 1.
    """
    counts = sizes.clamp(max=limit) ** (1 / temperature)
    return counts / counts.sum()


def _cases(generator: torch.Generator) -> list[Case]:
    cases = [
        named_case(sizes=torch.tensor([100.0, 300.0]), limit=1000, temperature=1.0),
        named_case(sizes=torch.tensor([50.0, 200.0, 4000.0]), limit=400, temperature=1.0),
        named_case(sizes=torch.tensor([16.0, 81.0, 256.0]), limit=10_000, temperature=2.0),
    ]
    for n, limit, temperature in ((4, 300, 2.0), (6, 500, 4.0), (5, 80, 1.5)):
        sizes = (10 + 990 * torch.rand(n, generator=generator)).round()
        cases.append(named_case(sizes=sizes, limit=limit, temperature=temperature))
    return cases


def _adds_up(trial: Trial) -> Mismatch | None:
    total = float(trial.output.double().sum())
    return None if abs(total - 1) < 1e-4 else Mismatch("probabilities that add up to 1", f"{total:.3g}")


def _normal(counts: Tensor) -> Tensor:
    return counts / counts.sum()


def _rates(counts: Callable[[Tensor, float, float], Tensor]) -> Callable[..., Tensor]:
    """Counts of (sizes, limit, temperature), divided by their sum."""
    return lambda sizes, limit, temperature: _normal(counts(sizes, limit, temperature))


def _cap_late(sizes: Tensor, limit: float, temperature: float) -> Tensor:
    return _normal((sizes ** (1 / temperature)).clamp(max=limit))


def _drop_large(sizes: Tensor, limit: float, temperature: float) -> Tensor:
    return _normal(torch.where(sizes > limit, 0.0, sizes) ** (1 / temperature))


MIXING = Exercise(
    id="t5/mixing-rates",
    title="How often is each task drawn?",
    answer="mixing_rates",
    solution=mixing_rates,
    cases=_cases,
    properties=(
        has_shape("there is one probability for each task", lambda sizes, *_: tuple(sizes.shape)),
        Property(sentence="they add up to 1", test=_adds_up, hint="what is the last thing to do to a list of counts?"),
        equals("capped sizes to the power 1 / T, divided by their sum", mixing_rates,
               hint="cap, then the power, then divide: compute the smallest case by hand"),
    ),
    wrong=(
        Wrong(name="no cap", answer=_rates(lambda s, k, t: s ** (1 / t)),
              hint="the limit is never used: the largest task crowds out the others"),
        Wrong(name="power T", answer=_rates(lambda s, k, t: s.clamp(max=k) ** t),
              hint="with your power a high temperature favours large tasks even more; it should bring them closer"),
        Wrong(name="the largest only", answer=lambda s, k, t: _normal(s.clamp(max=k) ** (1 / t)).max(),
              hint="that is a single number; each task has a probability of its own"),
        Wrong(name="no temperature", answer=_rates(lambda s, k, t: s.clamp(max=k)),
              hint="the temperature is never used: what should it do to the capped sizes?"),
        Wrong(name="divided by T",
              answer=lambda s, k, t: _normal(s.clamp(max=k)) / t,
              hint="the temperature divides all probabilities alike, so they no longer add up to 1: it is an exponent"),
        Wrong(name="softmax", answer=lambda s, k, t: (s.clamp(max=k) / t).softmax(dim=0),
              hint="a softmax of counts gives almost everything to the largest task; these are counts, not logits"),
        Wrong(name="softmax of shares", answer=lambda s, k, t: (_normal(s.clamp(max=k)) / t).softmax(dim=0),
              hint="no exponential is needed: shares of counts are probabilities already"),
        Wrong(name="not divided at the end", answer=lambda s, k, t: s.clamp(max=k) ** (1 / t),
              hint="these are counts; divide by their sum"),
        Wrong(name="divided before the power", answer=lambda s, k, t: _normal(s.clamp(max=k)) ** (1 / t),
              hint="after the power the shares no longer add up to 1: divide once more, or later"),
        Wrong(name="minimum instead of maximum", answer=_rates(lambda s, k, t: s.clamp(min=k) ** (1 / t)),
              hint="you raise the small tasks to the limit; it is meant to hold down the large ones"),
        Wrong(name="capped after the power", answer=_cap_late,
              hint="the limit is a number of examples: cap the sizes before the temperature touches them"),
        Wrong(name="one too many", answer=_rates(lambda s, k, t: (s + 1).clamp(max=k) ** (1 / t)),
              hint="the sizes are off by one before they are capped"),
        Wrong(name="large tasks dropped", answer=_drop_large,
              hint="a task beyond the limit counts as large as the limit; yours is never drawn again"),
        Wrong(name="equal", answer=_rates(lambda s, k, t: torch.ones_like(s)),
              hint="all tasks are drawn equally often, whatever their size: that is the limit of a high temperature"),
        Wrong(name="counts turned round", answer=_rates(lambda s, k, t: s.clamp(max=k) ** (-1 / t)),
              hint="small tasks are drawn most often: look at the sign of the exponent"),
        Wrong(name="whole division", answer=_rates(lambda s, k, t: s.clamp(max=k) ** (1 // t)),
              hint="two slashes round down: for a temperature above 1 the exponent becomes 0"),
        Wrong(name="softmax at the end", answer=lambda s, k, t: (s.clamp(max=k) ** (1 / t)).softmax(dim=0),
              hint="the counts are right, and then an exponential is taken of them: dividing by the sum is enough"),
        Wrong(name="logarithms", answer=_rates(lambda s, k, t: s.clamp(max=k).log() / t),
              hint="you share out logarithms of sizes; a power of the size is meant"),
        Wrong(name="excess subtracted", answer=_rates(lambda s, k, t: torch.where(s > k, s - k, s) ** (1 / t)),
              hint="the limit is subtracted from the large sizes; they should become as large as the limit"),
        Wrong(name="always a square root", answer=_rates(lambda s, k, t: s.clamp(max=k).sqrt()),
              hint="that is right for T = 2 alone: the temperature is an argument"),
        Wrong(name="per cent", answer=lambda s, k, t: 100 * mixing_rates(s, k, t),
              hint="these are per cent; probabilities add up to 1, not to 100"),
        Wrong(name="divided by the uncapped sum",
              answer=lambda s, k, t: s.clamp(max=k) ** (1 / t) / (s ** (1 / t)).sum(),
              hint="you divide by the sum of the sizes before they were capped: divide by what you share out"),
        Wrong(name="shares of all examples", answer=lambda s, k, t: s.clamp(max=k) / s.sum(),
              hint="you divide by all examples, cap or not, and the temperature does not occur"),
        Wrong(name="largest is 1", answer=lambda s, k, t: s.clamp(max=k) ** (1 / t) / float(min(s.max(), k)) ** (1 / t),
              hint="you divide by the largest, so the largest gets 1: divide by the sum"),
        Wrong(name="examples per task", answer=lambda s, k, t: _normal(s.clamp(max=k) ** (1 / t)) * s.sum(),
              hint="these are numbers of examples; the probabilities come before the multiplication"),
    ),
    notice="T = 1 gives rates in proportion to the sizes; the higher T, the more equal they become.",
)  # fmt: skip
