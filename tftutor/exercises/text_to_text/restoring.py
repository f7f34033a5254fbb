"""Exercise: put a text together again from what was read and what was written."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.text_to_text.spans import corrupt_spans, is_sentinel, read_symbols


def restore_spans(inputs, targets):
    """The text that was taken apart into `inputs` and `targets`.

    inputs: list of strings with the sentinels "<0>", "<1>", ... where something
    is missing.
    targets: list of strings: each of these sentinels with what belongs there, and
    one more sentinel at the end. They may stand in any order.
    Returns the text as a list of strings.
    """
    spans = {}
    for symbol in targets:
        if symbol.startswith("<"):
            span = spans[symbol] = []
        else:
            span.append(symbol)
    text = []
    for symbol in inputs:
        text += spans.get(symbol, [symbol])
    return text


def _cases(generator: torch.Generator) -> list[Case]:
    given = [("cat", "010"), ("school", "000110"), ("water", "10001"), ("banana", "011010")]
    for length in (10, 13):
        letters = torch.randint(0, 4, (length,), generator=generator).tolist()
        bits = (torch.rand(length, generator=generator) < 0.5).tolist()
        given.append(("".join("abcd"[i] for i in letters), "".join("01"[bit] for bit in bits)))
    cases = [corrupt_spans(list(word), [bit == "1" for bit in bits]) for word, bits in given]
    cases.append((["<0>", "u", "<1>"], ["<1>", "n", "<0>", "s", "<2>"]))  # in another order
    cases.append((["s", "<0>", "u", "n"], ["<0>", "<1>"]))  # nothing belongs there
    return [Case(tuple(pair), f"{' '.join(pair[0])} and {' '.join(pair[1])}") for pair in cases]


def _agrees(trial: Trial) -> Mismatch | None:
    want = restore_spans(*trial.args)
    return None if trial.output == want else Mismatch(" ".join(want), " ".join(trial.output) or "nothing")


def _no_sentinel_left(trial: Trial) -> Mismatch | None:
    left = [symbol for symbol in trial.output if is_sentinel(symbol)]
    return None if not left else Mismatch("no sentinel in the text", " ".join(trial.output))


def _in_order(inputs: list[str], targets: list[str]) -> list[str]:
    """The n-th gap gets the n-th span, whatever the sentinels say."""
    spans: list[list[str]] = []
    for symbol in targets:
        if is_sentinel(symbol):
            spans.append([])
        else:
            spans[-1].append(symbol)
    line = iter(spans)
    return [s for symbol in inputs for s in (next(line) if is_sentinel(symbol) else [symbol])]


def _first_only(inputs: list[str], targets: list[str]) -> list[str]:
    spans = {targets[i]: targets[i + 1 : i + 2] for i in range(len(targets)) if is_sentinel(targets[i])}
    spans = {mark: [s for s in span if not is_sentinel(s)] for mark, span in spans.items()}
    return [s for symbol in inputs for s in spans.get(symbol, [symbol])]


def _then(change: Callable[[list[str]], object]) -> Callable[..., object]:
    return lambda inputs, targets: change(restore_spans(inputs, targets))


def _with_marks(inputs: list[str], targets: list[str]) -> list[str]:
    out: list[str] = []
    for symbol in inputs:
        out += [symbol, *restore_spans([symbol], targets)] if is_sentinel(symbol) else [symbol]
    return out


def _appended(inputs: list[str], targets: list[str]) -> list[str]:
    return [s for s in [*inputs, *targets] if not is_sentinel(s)]


def _everything(inputs: list[str], targets: list[str]) -> list[str]:
    missing = [s for s in targets if not is_sentinel(s)]
    out: list[str] = []
    for symbol in inputs:
        out += missing if is_sentinel(symbol) else [symbol]
    return out


def _reversed_spans(inputs: list[str], targets: list[str]) -> list[str]:
    out: list[str] = []
    for symbol in inputs:
        out += restore_spans([symbol], targets)[::-1] if is_sentinel(symbol) else [symbol]
    return out


def _one_gap_only(inputs: list[str], targets: list[str]) -> list[str]:
    return [s for symbol in inputs for s in (restore_spans([symbol], targets) if symbol == "<0>" else [symbol])]


def _last_sentinel(inputs: list[str], targets: list[str]) -> list[str]:
    return [*restore_spans(inputs, targets), targets[-1]]


def _glued(inputs: list[str], targets: list[str]) -> list[str]:
    return ["".join(restore_spans([symbol], targets)) if is_sentinel(symbol) else symbol for symbol in inputs]


def _nested(inputs: list[str], targets: list[str]) -> list[object]:
    return [restore_spans([symbol], targets) if is_sentinel(symbol) else symbol for symbol in inputs]


def _rest(inputs: list[str], targets: list[str]) -> list[str]:
    """All that follows a sentinel, sentinels included."""
    return [s for x in inputs for s in (targets[targets.index(x) + 1 :] if is_sentinel(x) else [x])]


def _up_to_next_number(inputs: list[str], targets: list[str]) -> list[str]:
    out: list[str] = []
    for symbol in inputs:
        if is_sentinel(symbol):
            end = targets.index(f"<{int(symbol[1:-1]) + 1}>")
            out += targets[targets.index(symbol) + 1 : end]
        else:
            out.append(symbol)
    return out


RESTORE = Exercise(
    id="t5/restore-spans",
    title="And back",
    answer="restore_spans",
    solution=restore_spans,
    cases=_cases,
    read=read_symbols,
    properties=(
        Property(sentence="no sentinel is left in the text", test=_no_sentinel_left,
                 hint="a sentinel stands for something: look it up, do not copy it"),
        Property(sentence="taken apart and put together, it is the text again", test=_agrees,
                 hint="collect the spans first, by their sentinel; then walk through the inputs once"),
    ),
    wrong=(
        Wrong(name="in order of appearance", answer=_in_order,
              hint="the first gap got the first span of the targets: go by the sentinels, not by the order"),
        Wrong(name="one symbol for each", answer=_first_only,
              hint="a span may hold several symbols or none: it goes on to the next sentinel"),
        Wrong(name="sentinels kept", answer=_with_marks,
              hint="the spans are in their places, but the sentinels still stand before them"),
        Wrong(name="appended", answer=_appended,
              hint="the missing symbols come after the text instead of into its gaps"),
        Wrong(name="all in every gap", answer=_everything,
              hint="every gap gets all that is missing: which part belongs to which sentinel?"),
        Wrong(name="spans reversed", answer=_reversed_spans,
              hint="the symbols within a span come out in reverse"),
        Wrong(name="first gap only", answer=_one_gap_only,
              hint="only the first sentinel is looked up; the others stay in the text"),
        Wrong(name="the closing sentinel too", answer=_last_sentinel,
              hint="the closing sentinel of the targets marks an end; it is no part of the text"),
        Wrong(name="glued", answer=_glued,
              hint="a span of several symbols becomes one long entry: extend the list instead of appending to it"),
        Wrong(name="nested", answer=_nested,
              hint="there are lists inside your list: a span has to be spliced in, not put in as one thing"),
        Wrong(name="a string", answer=_then("".join),
              hint="the letters are right; hand them back as a list of symbols"),
        Wrong(name="nothing restored", answer=lambda inputs, targets: list(inputs),
              hint="the inputs come back as they were; the targets have not been used"),
        Wrong(name="gaps dropped", answer=lambda inputs, targets: [s for s in inputs if not is_sentinel(s)],
              hint="the sentinels are gone, and nothing has taken their place"),
        Wrong(name="targets only", answer=lambda inputs, targets: [s for s in targets if not is_sentinel(s)],
              hint="only the missing parts come out: the visible text is in the inputs"),
        Wrong(name="all that follows", answer=_rest,
              hint="a span ends where the next sentinel begins; yours runs on to the end of the targets"),
        Wrong(name="up to the next number", answer=_up_to_next_number,
              hint="you cut at the next number; when the spans stand in another order, that sentinel is elsewhere"),
        Wrong(name="exactly one symbol", answer=lambda inputs, targets: [
                  targets[targets.index(x) + 1] if is_sentinel(x) else x for x in inputs],
              hint="you take the one entry behind each sentinel: a span may be longer, or empty"),
        Wrong(name="restored and appended", answer=lambda inputs, targets: [
                  *restore_spans(inputs, targets), *(s for s in targets if not is_sentinel(s))],
              hint="the gaps are filled, and then the spans come once more at the end"),
        Wrong(name="whole text reversed", answer=_then(lambda text: text[::-1]),
              hint="the text is complete but runs backwards: in which order do you collect it?"),
        Wrong(name="sorted", answer=_then(sorted),
              hint="the right symbols in alphabetical order: keep the order of the inputs"),
        Wrong(name="a set of spans", answer=lambda inputs, targets: [
                  s for x in inputs for s in (sorted(set(restore_spans([x], targets))) if is_sentinel(x) else [x])],
              hint="within a span the order counts, and a symbol may occur twice: keep a list"),
    ),
    notice="A model may also write sentinels that nobody asked for; the package's own inverse refuses those.",
)  # fmt: skip
