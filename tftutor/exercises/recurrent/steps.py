"""Exercise: how many evaluations of a layer have to wait for one another."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import number_text, read_number


def sequential_steps(model: str, use: str, n_tokens: int, n_layers: int) -> int:
    """The longest chain of layer evaluations that have to wait for one another.

    model: "lstm" or "attention" (causal), a stack of n_layers >= 1.
    use: "known": all n_tokens tokens are given at once, as in training;
         "written": each of n_tokens tokens is the input of the next step.
    One evaluation = one layer, at all positions that can be done together.
    """
    if use == "written":
        return n_layers * n_tokens
    return n_layers if model == "attention" else n_tokens + n_layers - 1


def longest_chain(model: str, use: str, n_tokens: int, n_layers: int) -> int:
    """The same, by following every dependency."""
    done: dict[tuple[int, int], int] = {}  # (position, layer) -> steps until it is there
    for t in range(n_tokens):
        for layer in range(n_layers):
            needs = [0]
            if layer > 0:  # attention reads all positions up to t of the layer below
                first = t if model == "lstm" else 0
                needs += [done[s, layer - 1] for s in range(first, t + 1)]
            elif use == "written" and t > 0:  # the input is the output of the step before
                needs.append(done[t - 1, n_layers - 1])
            if model == "lstm" and t > 0:
                needs.append(done[t - 1, layer])
            done[t, layer] = 1 + max(needs)
    return max(done.values())


def _cases(_generator: torch.Generator) -> list[Case]:
    cases = []
    for n_tokens, n_layers in ((2, 1), (3, 2), (5, 4), (2, 6), (11, 3)):
        for model in ("lstm", "attention"):
            for use in ("known", "written"):
                label = f'model = "{model}", use = "{use}", n_tokens = {n_tokens}, n_layers = {n_layers}'
                cases.append(Case((model, use, n_tokens, n_layers), label))
    return cases


def _is(model: str, use: str) -> Callable[[Trial], Mismatch | None]:
    """The test of one of the four cases."""

    def test(trial: Trial) -> Mismatch | None:
        if trial.args[:2] != (model, use):
            return None
        truth = longest_chain(*trial.args)
        return None if trial.output == truth else Mismatch(str(truth), number_text(trial.output))

    return test


def _but(**changes: Callable[[int, int], int]) -> Callable[[str, str, int, int], int]:
    """The solution with some of its four cases replaced by functions of n_tokens and n_layers."""

    def variant(model: str, use: str, n_tokens: int, n_layers: int) -> int:
        change = changes.get(f"{model}_{use}")
        return sequential_steps(model, use, n_tokens, n_layers) if change is None else change(n_tokens, n_layers)

    return variant


Count = Callable[[str, str, int, int], int]
SIZES = ((3, 2), (5, 4), (2, 6))


def _says(answer: Count, use: str, count: Callable[[int, int], int]) -> bool:
    """Whether an answer gives `count` for one of the two models under this use."""
    return any(all(answer(model, use, t, n) == count(t, n) for t, n in SIZES) for model in ("lstm", "attention"))


def _ignores_use(answer: Count) -> bool:
    pairs = [(answer(m, "known", t, n), answer(m, "written", t, n)) for m in ("lstm", "attention") for t, n in SIZES]
    return all(a == b and isinstance(a, int) for a, b in pairs)


SEQUENTIAL_STEPS = Exercise(
    id="recurrent/sequential-steps",
    title="Count what has to wait",
    answer="sequential_steps",
    solution=sequential_steps,
    cases=_cases,
    read=read_number,
    properties=(
        Property(
            sentence="attention over given tokens: the layers wait for one another, the positions do not",
            test=_is("attention", "known"),
            hint="which inputs does a layer need before it can compute position t, when all tokens are given?",
        ),
        Property(
            sentence="attention that writes: a token cannot be read before it is written",
            test=_is("attention", "written"),
            hint="what has to be finished before the first layer may look at token t + 1?",
        ),
        Property(
            sentence="an LSTM over given tokens: the longest chain through positions and layers",
            test=_is("lstm", "known"),
            hint="draw positions to the right and layers upwards: arrows go right and up. How long is the longest way?",
        ),
        Property(
            sentence="an LSTM that writes: a token cannot be read before it is written",
            test=_is("lstm", "written"),
            hint="what has to be finished before the first layer may read the next token?",
        ),
    ),
    wrong=(
        Wrong(
            name="generation in one go",
            answer=_but(attention_written=lambda t, n: n),
            hint="attention is parallel over tokens that are given. A token that is written needs all layers of the "
            "step before it",
        ),
        Wrong(
            name="generation in one step",
            answer=_but(attention_known=lambda t, n: 1, attention_written=lambda t, n: 1),
            hint="one step is one layer over given tokens: count the layers, and ask when a written token exists",
        ),
        Wrong(
            name="one step for the whole stack",
            answer=_but(attention_known=lambda t, n: 1),
            hint="one layer needs one step; the second layer reads what the first has made",
        ),
        Wrong(
            name="attention counted position by position",
            answer=_but(attention_known=lambda t, n: t * n),
            hint="position t of a layer reads the layer below, not position t - 1 of its own: who waits for whom?",
        ),
        Wrong(
            name="all of the recurrent products",
            answer=_but(lstm_known=lambda t, n: t * n),
            hint="the second layer can start on the first token while the first layer reads the second: count the "
            "longest chain, not all evaluations",
        ),
        Wrong(
            name="layers of the recurrent network forgotten",
            answer=_but(lstm_known=lambda t, n: t),
            hint="right for one layer; after the last token has passed the first layer, the others have to read it too",
        ),
        Wrong(
            name="off by one",
            answer=_but(lstm_known=lambda t, n: t + n),
            hint="the corner is counted twice: with one token and one layer there is one evaluation",
        ),
        Wrong(
            name="layers forgotten when writing",
            answer=_but(lstm_written=lambda t, n: t, attention_written=lambda t, n: t),
            hint="each written token passes every layer before the next one can start",
            recognise=lambda answer: _says(answer, "written", lambda t, n: t),
        ),
        Wrong(
            name="a pipeline when writing",
            answer=_but(lstm_written=lambda t, n: t + n - 1),
            hint="the layers cannot overlap here: the first layer's next input is what the last layer is about to "
            "produce",
            recognise=lambda answer: _says(answer, "written", lambda t, n: t + n - 1),
        ),
        Wrong(
            name="recurrent networks read in parallel",
            answer=_but(lstm_known=lambda t, n: n),
            hint="that the tokens are given does not help a recurrence: its state after token t needs the state before",
        ),
        Wrong(
            name="one layer over known tokens",
            answer=lambda model, use, n_tokens, n_layers: n_tokens if model == "lstm" else 1,
            hint="these are the numbers of the text, for one layer and known tokens: now there are n_layers of them, "
            "and a second use",
        ),
        Wrong(
            name="use ignored",
            answer=lambda model, use, n_tokens, n_layers: n_layers * (n_tokens if model == "lstm" else 1),
            hint="known and written give the same in your answer: what has to be finished before a token that is "
            "written can be read?",
            recognise=_ignores_use,
        ),
        Wrong(
            name="attention in a pipeline",
            answer=_but(attention_known=lambda t, n: t + n - 1),
            hint="that is the count of a recurrence: in attention, no position waits for another one of its own layer",
        ),
        Wrong(
            name="products counted",
            answer=_but(attention_known=lambda t, n: n * t * t),
            hint="the number of products grows with the square; all those of a layer can be done at the same time",
        ),
        Wrong(
            name="prefix read again",
            answer=_but(attention_written=lambda t, n: n * t * (t + 1) // 2),
            hint="reading the prefix again is more work, not more waiting: all its positions go through a layer "
            "together",
        ),
        Wrong(
            name="first token not counted",
            answer=_but(lstm_written=lambda t, n: n * (t - 1), attention_written=lambda t, n: n * (t - 1)),
            hint="each of the n_tokens tokens is the input of a step, the first one too",
        ),
        Wrong(
            name="the larger of the two",
            answer=_but(lstm_known=max),
            hint="the longest chain goes along all positions and up all layers: it is longer than either",
        ),
    ),
    notice="Given tokens cost attention L steps and an LSTM T + L - 1; writing costs both L steps per token.",
)
