"""Exercise: beam search on one row."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, named_case
from tftutor.exercises.values import Trouble, show

Beam = tuple[float, list[int]]
N_IDS, EOS = 4, 2


def beam_search(
    after: Callable[[list[int]], list[float]], n_beams: int, n_new: int, eos: int, alpha: float
) -> list[int]:
    """The best text (ids, its end mark included) that a beam of `n_beams` finds.

    after: called with a list of ids, gives the log-probability of each next id.
    A text ends with `eos` or when it has n_new ids. In each of n_new rounds, every
    text in the beam is continued by every id; one that has ended stays as it is.
    The n_beams best of all of them go on. The score of a text is its
    log-probability divided by (its length ** alpha).
    """
    beam = [(0.0, [])]
    for _ in range(n_new):
        candidates = []
        for total, text in beam:
            if text and text[-1] == eos:
                candidates.append((total, text))
            else:
                for i, step in enumerate(after(text)):
                    candidates.append((total + step, [*text, i]))
        candidates.sort(key=lambda c: c[0] / len(c[1]) ** alpha, reverse=True)
        beam = candidates[:n_beams]
    return beam[0][1]


class Source(nn.Module):
    """Log-probabilities of the next of 4 ids, different after each prefix."""

    def __init__(self, seed: int, *, end: float = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("keys", torch.randn(N_IDS, 6, generator=generator) * 2)
        self.register_buffer("table", torch.randn(6, N_IDS, generator=generator) * 1.3)
        self.end = end

    def forward(self, text: Sequence[int]) -> list[float]:
        """Four log-probabilities."""
        state = torch.ones(6)
        for token in text:
            state = (state * 1.7 + self.keys[int(token)]).sin()
        logits: Tensor = state @ self.table
        logits[EOS] += self.end
        return logits.log_softmax(dim=-1).tolist()


def _cases(_generator: torch.Generator) -> list[Case]:
    settings = ((0, 1, 2, 0.0, -0.5), (38, 2, 4, 0.0, 0.5), (12, 2, 6, 0.7, 1.5), (38, 2, 6, 1.0, 1.2),
                (3, 2, 6, 1.0, 1.2), (28, 2, 6, 1.0, 1.2), (38, 3, 5, 1.0, 1.0), (56, 3, 5, 1.0, 1.0),
                (25, 4, 4, 1.0, 0.6))  # fmt: skip
    return [named_case(after=Source(seed, end=end), n_beams=k, n_new=n, eos=EOS, alpha=alpha)
            for seed, k, n, alpha, end in settings]  # fmt: skip


def _read(value: Any) -> list[int]:
    try:
        text = [int(token) for token in value]
    except Exception:  # anything else
        hint = "return the ids of one text as a list"
        raise Trouble("returns no list of ids", hint, expected="a list of ids", got=show(value)) from None
    return text


def _is_complete(trial: Trial) -> Mismatch | None:
    _, _, n_new, eos, _ = trial.args
    text = trial.output
    if text and eos not in text[:-1] and (text[-1] == eos or len(text) == n_new):
        return None
    return Mismatch(f"a text that ends with its only {eos}, or has {n_new} ids", f"{text}")


def _one_beam_is_greedy(trial: Trial) -> Mismatch | None:
    after, _, n_new, eos, _ = trial.args
    greedy: list[int] = []
    while len(greedy) < n_new and eos not in greedy:
        steps = after(greedy)
        greedy.append(steps.index(max(steps)))
    got = trial.call(after, 1, n_new, eos, 0.0)
    return None if got == greedy else Mismatch(f"with one beam, greedy's {greedy}", f"{got}")


def _wide_is_exhaustive(trial: Trial) -> Mismatch | None:
    after, _, n_new, eos, alpha = trial.args
    n_new = min(n_new, 3)
    best: tuple[float, list[int]] = (-1e9, [])
    for text in itertools.product(range(N_IDS), repeat=n_new):
        cut = list(text[: text.index(eos) + 1] if eos in text else text)
        total = sum(after(cut[:n])[cut[n]] for n in range(len(cut)))
        best = max(best, (total / len(cut) ** alpha, cut))
    got = trial.call(after, N_IDS**n_new, n_new, eos, alpha)
    return None if got == best[1] else Mismatch(f"with {N_IDS**n_new} beams, the best of all texts {best[1]}", f"{got}")


def _as_defined(trial: Trial) -> Mismatch | None:
    wanted = beam_search(*trial.args)
    return None if trial.output == wanted else Mismatch(f"{wanted}", f"{trial.output}")


def _variant(
    *, step: Callable[[float, float], float] = lambda total, step: total + step,
    score: Callable[[Beam, float, int], float] = lambda c, alpha, n: c[0] / len(c[1]) ** alpha,
    last: Callable[[Beam, float, int], float] | None = None, ended: str = "stay", own: bool = False,
    stop: Callable[[list[Beam], int], bool] = lambda beam, eos: False, width: Callable[[int], int] = lambda k: k,
    give: Callable[[list[Beam], int], list[int]] = lambda beam, eos: beam[0][1], rounds: int = 0,
) -> Callable[..., list[int]]:  # fmt: skip
    """`beam_search` with slips."""

    def answer(after: nn.Module, n_beams: int, n_new: int, eos: int, alpha: float) -> list[int]:
        beam: list[Beam] = [(0.0, [])]
        done: list[Beam] = []
        for n in range(1, n_new + rounds + 1):
            candidates: list[Beam] = []
            for total, text in beam:
                if text and text[-1] == eos and ended != "go on":
                    (candidates if ended == "stay" else done).append((total, text))
                    continue
                more = [(step(total, x), [*text, i]) for i, x in enumerate(after(text))]
                candidates += [max(more)] if own and len(beam) >= width(n_beams) else more
            candidates.sort(key=lambda c, n=n: score(c, alpha, n), reverse=True)
            beam = candidates[: width(n_beams)]
            if not beam or stop(beam, eos):
                break
        if ended == "set aside":
            beam = beam + done
        if ended == "lost" and not beam:
            beam = done
        if last is not None or ended == "set aside":
            beam.sort(key=lambda c: (last or score)(c, alpha, n), reverse=True)
        return give(beam, eos)

    return answer


def _raw(c: Beam, alpha: float, n: int) -> float:
    return c[0]


def _short_memory(after: nn.Module, *settings: Any) -> list[int]:
    return beam_search(lambda text: after(text[-1:]), *settings)


def _carried_on(after: nn.Module, n_beams: int, n_new: int, eos: int, alpha: float) -> list[int]:
    beam: list[Beam] = [(0.0, [])]
    for _ in range(n_new):
        ended = [(total, text) for total, text in beam if text and text[-1] == eos]
        found = [((total + x) / (len(text) + 1) ** alpha, [*text, i]) for total, text in beam
                 if (total, text) not in ended for i, x in enumerate(after(text))]  # fmt: skip
        beam = sorted(ended + found, key=lambda c: c[0], reverse=True)[:n_beams]
    return beam[0][1]


def _cut_at_the_end(after: nn.Module, n_beams: int, n_new: int, eos: int, alpha: float) -> list[int]:
    text = _variant(ended="go on")(after, n_beams, n_new, eos, alpha)
    return text[: text.index(eos) + 1] if eos in text else text


def _ended_first(after: nn.Module, n_beams: int, n_new: int, eos: int, alpha: float) -> list[int]:
    beam: list[Beam] = [(0.0, [])]
    done: list[Beam] = []
    for _ in range(n_new):
        found = [(total + x, [*text, i]) for total, text in beam for i, x in enumerate(after(text))]
        found.sort(key=lambda c: c[0] / len(c[1]) ** alpha, reverse=True)
        done += [c for c in found[:n_beams] if c[1][-1] == eos]
        beam = [c for c in found[:n_beams] if c[1][-1] != eos]
    return max(done or beam, key=lambda c: c[0] / len(c[1]) ** alpha)[1]


def _fewer(after: nn.Module, n_beams: int, n_new: int, eos: int, alpha: float) -> list[int]:
    few = max(1, n_beams - 1)

    def best(text: list[int]) -> list[float]:
        steps = after(text)
        bar = sorted(steps, reverse=True)[:few][-1]
        return [x if x >= bar else -math.inf for x in steps]

    return beam_search(best, n_beams, n_new, eos, alpha)


BEAM = Exercise(
    id="generation/beam",
    title="Beam search",
    answer="beam_search",
    solution=beam_search,
    cases=_cases,
    read=_read,
    properties=(
        Property(sentence="the text is complete and ends once", test=_is_complete,
                 hint="a text that has ended is not continued, and one that has not needs another round"),
        Property(sentence="one beam is greedy decoding", test=_one_beam_is_greedy,
                 hint="with one text in the beam and alpha = 0, the likeliest next id should win every round"),
        Property(sentence="a beam wide enough finds the best of all texts", test=_wide_is_exhaustive,
                 hint="with so many beams nothing is ever cut off: is the score of each text right?"),
        Property(sentence="it finds what the definition finds", test=_as_defined,
                 hint="write down the beam after each round, with scores, and compare it by hand with the docstring"),
    ),
    wrong=(
        Wrong(name="each beam keeps its own best", answer=_variant(own=True),
              hint="each text of the beam is continued by its own best id only: two continuations of one text may "
                   "both be better than any of another"),
        Wrong(name="the last step decides", answer=_variant(step=lambda total, step: step),
              hint="only the last id counts in this score: a text is as probable as all its steps together"),
        Wrong(name="products of log-probabilities", answer=_variant(
              step=lambda total, step: (total or 1.0) * abs(step) if total or step else step),
              hint="probabilities multiply; what do their logarithms do?"),
        Wrong(name="ended texts go on", answer=_variant(ended="go on"),
              hint="ids are written behind the end mark"),
        Wrong(name="ended texts are lost", answer=_variant(ended="lost"),
              hint="a text leaves the beam when it ends, and the best one may be among those that left"),
        Wrong(name="ended texts make room", answer=_variant(ended="set aside"),
              hint="texts that have ended are put aside and others move up: a known variant, but here they keep their "
                   "places in the beam"),
        Wrong(name="alpha ignored", answer=_variant(score=_raw),
              hint="the ranking is that of alpha = 0: is alpha used, and is every text divided by its own length?"),
        Wrong(name="length only at the end", answer=_variant(
              score=_raw, last=lambda c, alpha, n: c[0] / len(c[1]) ** alpha),
              hint="lengths count only when all is over: a known variant, but here they count in every round"),
        Wrong(name="multiplied by the length", answer=_variant(score=lambda c, alpha, n: c[0] * len(c[1]) ** alpha),
              hint="this makes long texts worse still: log-probabilities are negative"),
        Wrong(name="times alpha", answer=_variant(score=lambda c, alpha, n: c[0] / len(c[1]) * alpha),
              hint="alpha is an exponent: for alpha = 0 the length must not matter, and here every score is 0"),
        Wrong(name="probabilities", answer=_variant(score=lambda c, alpha, n: math.exp(c[0]) / len(c[1]) ** alpha),
              hint="the length divides a probability here: it is the log-probability that grows with each token"),
        Wrong(name="length without the end mark", answer=_variant(
              score=lambda c, alpha, n: c[0] / max(1, len(c[1]) - (c[1][-1] == EOS)) ** alpha),
              hint="the end mark is a token like any other: its probability counts, and so does its place"),
        Wrong(name="Wu's penalty", answer=_variant(score=lambda c, alpha, n: c[0] / ((5 + len(c[1])) / 6) ** alpha),
              hint="that is the formula of Wu et al., gentler with short texts; here it is the plain length"),
        Wrong(name="one more than the length", answer=_variant(
              score=lambda c, alpha, n: c[0] / (len(c[1]) + 1) ** alpha),
              hint="every text counts as one longer than it is: BOS is not part of it"),
        Wrong(name="alpha is 1", answer=_variant(score=lambda c, alpha, n: c[0] / len(c[1])),
              hint="the score is the mean per id, whatever alpha is"),
        Wrong(name="the score is carried on", answer=_carried_on,
              hint="a score that has been divided by a length is added to and divided again: keep the sum of "
                   "log-probabilities beside it"),
        Wrong(name="cut at the end", answer=_cut_at_the_end,
              hint="texts that have ended are continued and cut only when all is over: behind their ends they still "
                   "lose probability and win length"),
        Wrong(name="ended texts first", answer=_ended_first,
              hint="a text that has ended wins over a better one that has not: only the score decides"),
        Wrong(name="probabilities added", answer=_variant(step=lambda total, step: total + math.exp(step)),
              hint="probabilities are added here: those multiply, and their logarithms add up"),
        Wrong(name="fewer continuations", answer=_fewer,
              hint="of each text only some continuations are looked at: all of the best may come from one text"),
        Wrong(name="only the last id is read", answer=_short_memory,
              hint="what comes next depends on all of the text, not on its last id only"),
        Wrong(name="stops at the first end", answer=_variant(
              stop=lambda beam, eos: any(text[-1] == eos for _, text in beam),
              give=lambda beam, eos: next((text for _, text in beam if text[-1] == eos), beam[0][1])),
              hint="the first text to end wins, whatever its score: the others have not had their say"),
        Wrong(name="stops when the best has ended", answer=_variant(stop=lambda beam, eos: beam[0][1][-1] == eos),
              hint="for alpha = 0 that is a fine short cut; with division by length, a longer text can still overtake"),
        Wrong(name="the worst of the beam", answer=_variant(give=lambda beam, eos: beam[-1][1]),
              hint="the beam is sorted: which end holds the best text?"),
        Wrong(name="the least probable", answer=_variant(score=lambda c, alpha, n: -c[0] / len(c[1]) ** alpha),
              hint="the beam keeps the least probable texts: log-probabilities are negative, larger is better"),
        Wrong(name="always greedy", answer=_variant(width=lambda k: 1),
              hint="only one text survives each round, however many beams there are (copies of a text are one text)"),
        Wrong(name="one beam too many", answer=_variant(width=lambda k: k + 1),
              hint="one text more than n_beams survives each round"),
        Wrong(name="one round too few", answer=_variant(rounds=-1),
              hint="the last id is missing in texts that do not end by themselves: count the rounds"),
        Wrong(name="without the end mark", answer=_variant(
              give=lambda beam, eos: [token for token in beam[0][1] if token != eos]),
              hint="the end mark belongs to the text that is returned"),
        Wrong(name="the whole beam", answer=_variant(give=lambda beam, eos: [text for _, text in beam]),
              hint="this returns all texts of the beam: only the best one is asked for"),
        Wrong(name="the shortest", answer=_variant(
              give=lambda beam, eos: min(beam, key=lambda c: len(c[1]))[1]),
              hint="the beam is right, but another of its texts is returned than the best by its score: the shortest, "
                   "or the most probable?"),
    ),
    notice="A wider beam need not find a better text, and a better text by this score need not be a better answer.",
)  # fmt: skip
