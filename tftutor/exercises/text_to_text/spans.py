"""Exercise: replace spans by sentinels, as T5's pre-training does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble, show


def corrupt_spans(symbols, hidden):
    """What the model reads and what it has to write.

    symbols: list of strings.
    hidden: list of bools, as long; True = remove this symbol.
    Returns two lists of strings: the symbols with one sentinel, "<0>", "<1>", ...,
    in place of each run of hidden ones; and for each sentinel in turn the sentinel
    and its run, with one more sentinel at the end.
    """
    inputs, targets, used = [], [], 0
    for i, symbol in enumerate(symbols):
        if not hidden[i]:
            inputs.append(symbol)
            continue
        if i == 0 or not hidden[i - 1]:  # a run begins
            inputs.append(f"<{used}>")
            targets.append(f"<{used}>")
            used += 1
        targets.append(symbol)
    return inputs, [*targets, f"<{used}>"]


def read_symbols(value: Any, what: str = "a list of strings") -> list[str]:
    """A list of strings."""
    if isinstance(value, str):
        raise Trouble("returns a string", "the symbols stay apart: a list of strings, one for each symbol",
                      expected=what, got=show(value))  # fmt: skip
    if not isinstance(value, list | tuple) or not all(isinstance(symbol, str) for symbol in value):
        raise Trouble("returns the wrong kind of thing", "every symbol is a string, and so is every sentinel",
                      expected=what, got=show(value))  # fmt: skip
    return list(value)


def _read_pair(value: Any) -> list[list[str]]:
    if not isinstance(value, list | tuple) or len(value) != 2 or any(isinstance(part, str) for part in value):
        raise Trouble("does not return two lists", "first what the model reads, then what it has to write",
                      expected="two lists of strings", got=show(value))  # fmt: skip
    return [read_symbols(part, "two lists of strings") for part in value]


def is_sentinel(symbol: str) -> bool:
    """Whether a symbol is <0>, <1>, ..."""
    return symbol.startswith("<") and symbol.endswith(">") and symbol[1:-1].isdigit()


def _cases(generator: torch.Generator) -> list[Case]:
    given = [("cat", "010"), ("school", "000110"), ("water", "10001"), ("banana", "011011"), ("ab", "00"),
             ("sun", "111")]  # fmt: skip
    for length in (9, 12, 16):
        letters = torch.randint(0, 4, (length,), generator=generator).tolist()
        bits = (torch.rand(length, generator=generator) < 0.45).tolist()
        given.append(("".join("abcd"[i] for i in letters), "".join("01"[bit] for bit in bits)))
    return [Case((list(word), [bit == "1" for bit in bits]), f"{word}, hidden {bits}") for word, bits in given]


def _text(symbols: list[str]) -> str:
    return " ".join(symbols)


def _part(which: int, sentence: str, hint: str) -> Property:
    def test(trial: Trial) -> Mismatch | None:
        want, got = corrupt_spans(*trial.args)[which], trial.output[which]
        return None if got == want else Mismatch(_text(want), _text(got) or "nothing")

    return Property(sentence=sentence, test=test, hint=hint)


def _shown_stay(trial: Trial) -> Mismatch | None:
    symbols, hidden = trial.args
    want = [symbol for symbol, hide in zip(symbols, hidden, strict=True) if not hide]
    got = [symbol for symbol in trial.output[0] if not is_sentinel(symbol)]
    return None if got == want else Mismatch(f"besides sentinels {_text(want)}", _text(got) or "nothing")


def _then(change: Callable[[list[str], list[str]], Any]) -> Callable[..., Any]:
    """The right pair, changed."""
    return lambda symbols, hidden: change(*corrupt_spans(symbols, hidden))


def _each_symbol(symbols: list[str], hidden: list[bool]) -> Any:
    """A sentinel for every hidden symbol."""
    inputs, targets, used = [], [], 0
    for symbol, hide in zip(symbols, hidden, strict=True):
        if hide:
            inputs.append(f"<{used}>")
            targets += [f"<{used}>", symbol]
            used += 1
        else:
            inputs.append(symbol)
    return inputs, [*targets, f"<{used}>"]


def _same_sentinel(inputs: list[str], targets: list[str]) -> Any:
    return ["<0>" if is_sentinel(s) else s for s in inputs], ["<0>" if is_sentinel(s) else s for s in targets]


def _backwards(inputs: list[str], targets: list[str]) -> Any:
    count = sum(map(is_sentinel, inputs))
    turn = {f"<{i}>": f"<{count - 1 - i}>" for i in range(count)}
    return [turn.get(s, s) for s in inputs], [turn.get(s, s) for s in targets]


def _from_one(inputs: list[str], targets: list[str]) -> Any:
    def up(symbol: str) -> str:
        return f"<{int(symbol[1:-1]) + 1}>" if is_sentinel(symbol) else symbol

    return [up(s) for s in inputs], [up(s) for s in targets]


def _left_in(symbols: list[str], hidden: list[bool]) -> Any:
    inputs: list[str] = []
    used = 0
    for i, symbol in enumerate(symbols):
        if hidden[i] and (i == 0 or not hidden[i - 1]):
            inputs.append(f"<{used}>")
            used += 1
        inputs.append(symbol)
    return inputs, corrupt_spans(symbols, hidden)[1]


def _numbered_by_place(symbols: list[str], hidden: list[bool]) -> Any:
    inputs, targets = [], []
    runs = groupby(enumerate(symbols), key=lambda pair: hidden[pair[0]])
    for number, (hide, pairs) in enumerate(runs):
        run = [symbol for _, symbol in pairs]
        inputs += [f"<{number}>"] if hide else run
        targets += [f"<{number}>", *run] if hide else []
    return inputs, [*targets, f"<{number + 1}>"]


def _strings(inputs: list[str], targets: list[str]) -> Any:
    return "".join(inputs), "".join(targets)


def _joined_runs(symbols: list[str], hidden: list[bool]) -> Any:
    inputs, targets = corrupt_spans(symbols, hidden)
    joined: list[str] = []
    for symbol in targets:
        if joined and not is_sentinel(symbol) and not is_sentinel(joined[-1]):
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return inputs, joined


def _last_run_lost(symbols: list[str], hidden: list[bool]) -> Any:
    """A run is written when it ends, so one at the end of the text is never written."""
    if not hidden[-1]:
        return corrupt_spans(symbols, hidden)
    cut = len(symbols)
    while cut and hidden[cut - 1]:
        cut -= 1
    return corrupt_spans(symbols[:cut], hidden[:cut])


def _one_for_each(symbols: list[str], hidden: list[bool]) -> Any:
    """In the inputs the sentinel of a run stands once for each of its symbols."""
    inputs, used = [], -1
    for i, symbol in enumerate(symbols):
        if hidden[i] and (i == 0 or not hidden[i - 1]):
            used += 1
        inputs.append(f"<{used}>" if hidden[i] else symbol)
    return inputs, corrupt_spans(symbols, hidden)[1]


def _sentinel_behind(symbols: list[str], hidden: list[bool]) -> Any:
    inputs, targets = corrupt_spans(symbols, hidden)
    out: list[str] = []
    for symbol in targets[1:]:
        out.append(f"<{int(symbol[1:-1]) - 1}>" if is_sentinel(symbol) else symbol)
    return inputs, out


def _renamed(symbol: str) -> str:
    return symbol.replace("<", "<extra_id_") if is_sentinel(symbol) else symbol


CORRUPT_SPANS = Exercise(
    id="t5/corrupt-spans",
    title="Replace spans by sentinels",
    answer="corrupt_spans",
    solution=corrupt_spans,
    cases=_cases,
    read=_read_pair,
    properties=(
        Property(sentence="besides sentinels, the model reads the symbols that are not hidden", test=_shown_stay,
                 hint="each symbol goes one of two ways, never both and never neither: follow them one by one"),
        _part(0, "the model reads one sentinel in place of each run", "how does your loop know that a run begins, and "
              "how many there were before?"),
        _part(1, "it has to write each sentinel with its run, and one last sentinel", "write the targets of the "
              "smallest input down by hand"),
    ),
    wrong=(
        Wrong(name="a sentinel for each symbol", answer=_each_symbol,
              hint="hidden neighbours form one span and share one sentinel; yours have one each"),
        Wrong(name="the same sentinel", answer=_then(_same_sentinel),
              hint="all spans carry the same sentinel: nobody could tell which answer belongs to which gap"),
        Wrong(name="no final sentinel", answer=_then(lambda i, t: (i, t[:-1])),
              hint="the last span has no end: the targets close with one sentinel more than there are gaps"),
        Wrong(name="text left in", answer=_left_in,
              hint="what is hidden still stands in the inputs behind its sentinel: the model would only copy"),
        Wrong(name="sentinels backwards", answer=_then(_backwards),
              hint="sentinels count up in the order of the text; yours count down"),
        Wrong(name="counted from one", answer=_then(_from_one),
              hint="the first sentinel is <0>: counting begins at zero"),
        Wrong(name="the last repeated", answer=_then(lambda i, t: (i, [*t[:-1], f"<{max(0, int(t[-1][1:-1]) - 1)}>"])),
              hint="the sentinel at the end has been used before; it is the next one that closes"),
        Wrong(name="targets without sentinels", answer=_then(lambda i, t: (i, [s for s in t if not is_sentinel(s)])),
              hint="the targets are the bare symbols: where does one span end and the next begin?"),
        Wrong(name="whole text as target", answer=lambda s, h: (corrupt_spans(s, h)[0], list(s)),
              hint="the target is the whole text, as in some other models; T5 writes only what is missing"),
        Wrong(name="hidden inverted", answer=lambda s, h: corrupt_spans(s, [not hide for hide in h]),
              hint="True marks what is removed; you remove the others"),
        Wrong(name="spans simply dropped",
              answer=lambda s, h: ([x for x, hide in zip(s, h, strict=True) if not hide], corrupt_spans(s, h)[1]),
              hint="nothing in the inputs says where something is missing: put a sentinel there"),
        Wrong(name="numbered with the rest", answer=_numbered_by_place,
              hint="sentinels are numbered among themselves; yours skip a number for every stretch of visible text"),
        Wrong(name="exchanged", answer=_then(lambda i, t: (t, i)),
              hint="the two lists have changed places: first what is read, then what is written"),
        Wrong(name="runs glued", answer=_joined_runs,
              hint="in the targets each symbol stays an entry of its own; yours are glued together"),
        Wrong(name="the run at the end is lost", answer=_last_run_lost,
              hint="a span that reaches the end of the text gets lost: what happens after your loop?"),
        Wrong(name="no sentinel without gaps",
              answer=lambda s, h: corrupt_spans(s, h) if any(h) else (list(s), []),
              hint="without any gap the targets are not empty: the closing sentinel is always there"),
        Wrong(name="final sentinel in the inputs", answer=_then(lambda i, t: ([*i, t[-1]], t)),
              hint="the closing sentinel belongs to the targets alone; in the inputs it marks no gap"),
        Wrong(name="closed by the first", answer=_then(lambda i, t: (i, [*t[:-1], "<0>"])),
              hint="the targets close with <0>, which stood for the first gap: which number comes next?"),
        Wrong(name="an end mark too", answer=_then(lambda i, t: (i, [*t, "</s>"])),
              hint="there is one symbol too many behind the closing sentinel: ends of sequences are added elsewhere"),
        Wrong(name="closing sentinel first", answer=_then(lambda i, t: (i, [t[-1], *t[:-1]])),
              hint="the closing sentinel stands in front of the targets; it belongs at their end"),
        Wrong(name="sentinel behind its run", answer=_sentinel_behind,
              hint="in the targets a sentinel comes before the run it announces; yours come behind"),
        Wrong(name="a run of sentinels", answer=_one_for_each,
              hint="the inputs show how long each run was: one sentinel stands for the whole run, once"),
        Wrong(name="other names", answer=_then(lambda i, t: (list(map(_renamed, i)), list(map(_renamed, t)))),
              hint="those are the names of sentinels in T5's published vocabulary; here they are <0>, <1>, ..."),
        Wrong(name="mask for sentinels", answer=_then(lambda i, t: (["?" if is_sentinel(s) else s for s in i], t)),
              hint="the gaps carry no numbers: the inputs need the sentinels <0>, <1>, ..."),
    ),
    notice="Text in, text out: the same decoder that writes a pronunciation can write what is missing.",
)  # fmt: skip
