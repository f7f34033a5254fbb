"""Exercise: which of these training loops shows the model its answers?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Wrong, equals
from tftutor.exercises.masks.leaks import N_IDS, Suspect
from tftutor.exercises.values import read_bool

Loop = Callable[[Tensor], tuple[Tensor, Tensor]]

# Kind -> the model inside, how many tokens at the front and at the end the inputs and the targets leave out, and
# whether an answer can be seen.
KINDS: dict[str, tuple[str, tuple[int, int], tuple[int, int], bool]] = {
    "honest": ("causal", (0, 1), (1, 0), False),
    "deaf": ("deaf", (0, 1), (1, 0), False),  # the logits never change
    "not shifted": ("causal", (0, 0), (0, 0), True),
    "no mask": ("no mask", (0, 1), (1, 0), True),
    "wrong logits dropped": ("causal", (0, 0), (1, 0), True),  # the first ones, where the last have no answer
    "two ahead": ("causal", (0, 2), (2, 0), False),  # odd, but nothing is shown
    "targets shifted instead": ("causal", (1, 0), (0, 1), True),
    "one ahead": ("one ahead", (0, 1), (1, 0), True),
    "window": ("window", (0, 1), (1, 0), False),
    "sees later answers only": ("every second", (0, 1), (1, 0), True),
    "statistics": ("statistics", (0, 1), (1, 0), True),
}


def make_loop(kind: str) -> Loop:
    """The first half of a training step: from tokens (B, N) to logits (B, T, V) and targets (B, T)."""
    inside, inputs, targets, _ = KINDS[kind]
    model = (lambda tokens: torch.zeros(*tokens.shape, N_IDS)) if inside == "deaf" else Suspect(inside)

    def loop(tokens: Tensor) -> tuple[Tensor, Tensor]:
        n = tokens.shape[1]
        logits, answers = model(tokens[:, inputs[0] : n - inputs[1]]), tokens[:, targets[0] : n - targets[1]]
        return logits[:, logits.shape[1] - answers.shape[1] :], answers

    loop.kind = kind
    return loop


def shows_answers(loop: Loop, tokens: Tensor) -> bool:
    """Can a prediction depend on its own answer, or on a later one?

    loop: the first half of a training step. Calling loop(tokens) gives
        logits (B, T, V) and targets (B, T): the logits at t are trained to
        predict targets[:, t].
    tokens: ids (B, N), from 0 to 10; N may be larger than T.
    Returns True if the loop leaks. Try it, do not read it.
    """
    logits, targets = loop(tokens)
    for s in range(tokens.shape[1]):
        other = tokens.clone()
        other[:, s] = (other[:, s] + 1) % 11
        new_logits, new_targets = loop(other)
        for t in (new_targets != targets).any(dim=0).nonzero()[:, 0].tolist():
            if not torch.equal(new_logits[:, : t + 1], logits[:, : t + 1]):
                return True
    return False


def _cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for i, kind in enumerate(KINDS):
        tokens = torch.randint(N_IDS, (2, 6 + i % 3), generator=generator)
        cases.append(Case((make_loop(kind), tokens), f"loop {i + 1} of {len(KINDS)}, tokens {tuple(tokens.shape)}"))
    return cases


def _truth(loop: Loop, _tokens: Tensor) -> bool:
    return KINDS[loop.kind][3]


def _changes(loop: Loop, tokens: Tensor, places: range) -> list[tuple[int, list[int], Tensor]]:
    """For each token changed: its index, the positions whose answer changed, and whether each logit moved (T,)."""
    logits, targets = loop(tokens)
    found = []
    for s in places:
        other = torch.where(torch.arange(tokens.shape[1]) == s, (tokens + 1) % N_IDS, tokens)
        new_logits, new_targets = loop(other)
        answers = (new_targets != targets).any(dim=0).nonzero()[:, 0].tolist()
        found.append((s, answers, (new_logits != logits).any(dim=-1).any(dim=0)))
    return found


def _verdict(
    rule: Callable[[int, list[int], Tensor], bool], places: Callable[[int], range] = range
) -> Callable[[Loop, Tensor], bool]:
    def answer(loop: Loop, tokens: Tensor) -> bool:
        return any(rule(*change) for change in _changes(loop, tokens, places(tokens.shape[1])))

    return answer


def _wide_tolerance(loop: Loop, tokens: Tensor) -> bool:
    logits, targets = loop(tokens)
    for s in range(tokens.shape[1]):
        other = torch.where(torch.arange(tokens.shape[1]) == s, (tokens + 1) % N_IDS, tokens)
        new_logits, new_targets = loop(other)
        for t in (new_targets != targets).any(dim=0).nonzero()[:, 0].tolist():
            if float((new_logits - logits)[:, : t + 1].abs().max()) > 0.1:
                return True
    return False


def _too_large(loop: Loop, tokens: Tensor) -> bool:
    return _verdict(lambda s, answers, moved: any(bool(moved[: t + 1].any()) for t in answers))(
        lambda given: loop(torch.where(given == tokens, given, N_IDS)), tokens
    )


FIND_LEAK = Exercise(
    id="forcing/find-leak",
    title="Catch the training loop that shows the answers",
    answer="shows_answers",
    solution=shows_answers,
    cases=_cases,
    read=read_bool,
    properties=(
        equals(
            "the verdict is right: leak or no leak",
            _truth,
            hint="change one token at a time; `targets` tells you which answers changed, and which logits must not "
            "have moved then?",
        ),
    ),
    wrong=(
        Wrong(
            name="the model's leaks only",
            answer=_verdict(lambda s, answers, moved: bool(moved[:s].any())),
            hint="you compare the logits *before* the changed token. That finds a missing mask; but a loop may also "
            "give a wrong target to an honest model: at which position is the changed token the answer?",
        ),
        Wrong(
            name="earlier answers only",
            answer=_verdict(lambda s, answers, moved: any(bool(moved[:t].any()) for t in answers)),
            hint="the logits at t itself are trained to predict the answer at t: they belong to those that must not "
            "move",
        ),
        Wrong(
            name="its own answer only",
            answer=_verdict(lambda s, answers, moved: any(bool(moved[t]) for t in answers)),
            hint="a prediction that sees a *later* answer cheats as well: when you write, that is not there either",
        ),
        Wrong(
            name="any logit moves",
            answer=_verdict(lambda s, answers, moved: bool(moved.any())),
            hint="this suspects every loop: logits after the answer are meant to depend on it. That is what teacher "
            "forcing feeds",
        ),
        Wrong(
            name="only the last token",
            answer=_verdict(
                lambda s, answers, moved: any(bool(moved[: t + 1].any()) for t in answers), lambda n: range(n - 1, n)
            ),
            hint="some leaks are missed. If you change one end of the text only: try every token in turn. If you look "
            "at a loss or an accuracy: these models are untrained, compare logits",
        ),
        Wrong(
            name="targets are inputs",
            answer=lambda loop, tokens: torch.equal(loop(tokens)[1], tokens),
            hint="you find the missing shift and no more, by its targets or by changing the first token only; a leak "
            "may also sit in the model, or in logits that have slipped by one: change every token and watch the logits",
        ),
        Wrong(
            name="the shift alone",
            answer=lambda loop, tokens: not torch.equal(loop(tokens)[1], tokens[:, 1:]),
            hint="you compare the targets with the tokens one step later. That misses a missing mask, and suspects a "
            "loop that predicts two steps ahead, which is unusual and honest",
        ),
        Wrong(
            name="wide tolerance",
            answer=_wide_tolerance,
            hint="your tolerance lets small leaks pass: inputs of one shape give the same bits for what did not "
            "change, so how much difference is honest?",
        ),
        Wrong(
            name="an id that does not exist",
            answer=_too_large,
            hint="ids run from 0 to 10: the token you put in must be one of them",
        ),
        Wrong(
            name="never",
            answer=lambda loop, tokens: False,
            hint="this acquits every loop. These models are untrained, so the size of a loss tells nothing: compare "
            "the logits of two different inputs",
        ),
        Wrong(
            name="always",
            answer=lambda loop, tokens: True,
            hint="this convicts every loop; the first two are honest",
        ),
    ),
    notice="It takes an honest model *and* honest targets. The loss, meanwhile, looks best where the answers are "
    "shown.",
)
