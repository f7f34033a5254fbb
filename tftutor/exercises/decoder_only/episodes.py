"""Exercises: a prompt of examples, and a score that no lucky guess improves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case
from tftutor.exercises.values import Trouble, read_number, read_tensor


def build_prompt(code: Tensor, plain: Tensor) -> Tensor:
    """A prompt that shows examples of a secret code and ends in a question.

    code: int64 (B, N), row b sends symbol i to code[b, i].
    plain: int64 (B, n) symbols 0..N-1; the last one of each row is the question.
    Returns int64 (B, 2 n - 1): plain cipher plain cipher ... plain, where cipher
    symbol j is written as N + j, so that both alphabets stay apart.
    """
    cipher = code.gather(1, plain) + code.shape[1]
    pairs = torch.stack([plain, cipher], dim=2).flatten(1)
    return pairs[:, :-1]  # the answer to the question is not told


def _prompt_cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for unseen, (rows, n_symbols, n) in enumerate(((2, 4, 3), (3, 5, 6), (4, 7, 9)), start=1):
        code = torch.rand(rows, n_symbols, generator=generator).argsort(dim=1)
        code[0] = torch.arange(n_symbols).roll(1)  # no code that undoes itself
        plain = torch.randint(0, n_symbols - unseen, (rows, n), generator=generator)  # the highest symbols stay away
        cases.append(named_case(code=code, plain=plain))
    return cases


def _shape(trial: Trial) -> Mismatch | None:
    want, got = (len(trial.args[1]), 2 * trial.args[1].shape[1] - 1), tuple(trial.output.shape)
    return None if want == got else Mismatch(f"shape {want}", f"shape {got}")


def _ends_in_question(trial: Trial) -> Mismatch | None:
    return compare(trial.args[1][:, -1], trial.output[:, -1])


def _read_ids(value: Any) -> Tensor:
    ids = read_tensor(value)
    if not torch.equal(ids, ids.round()):
        raise Trouble("holds fractions", "ids are whole numbers", expected="whole numbers", got="other numbers")
    return ids.long()


def _coded(code: Tensor, plain: Tensor) -> Tensor:
    return code.gather(1, plain)


def _pairs(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack([first, second], dim=2).flatten(1)


def _prompt(name: str, hint: str, answer: Callable[[Tensor, Tensor], Any]) -> Wrong:
    return Wrong(name=name, hint=hint, answer=answer)


BUILD_PROMPT = Exercise(
    id="decoder-only/build-prompt",
    title="A prompt of examples",
    answer="build_prompt",
    solution=build_prompt,
    cases=_prompt_cases,
    read=_read_ids,
    properties=(
        Property(sentence="n symbols give 2 n - 1 tokens", test=_shape,
                 hint="count: every plain symbol but the last one is followed by its cipher symbol"),
        Property(sentence="the prompt ends in the question", test=_ends_in_question,
                 hint="the last token is what the model has to answer, in the plain alphabet"),
        equals("plain and cipher symbols alternate", build_prompt,
               hint="write the prompt of two examples and a question by hand, and compare token by token"),
    ),
    wrong=(
        _prompt("the answer told", "the answer to the question is the last token of your prompt: then nothing is asked",
                lambda c, x: _pairs(x, _coded(c, x) + c.shape[1])),
        _prompt("one alphabet", "cipher symbols share the ids of plain ones: add N, so that the two can be told apart",
                lambda c, x: _pairs(x, _coded(c, x))[:, :-1]),
        _prompt("answers first", "the cipher symbol stands before its plain one: a model that reads from left to right "
                "sees the answer before the question", lambda c, x: _pairs(_coded(c, x) + c.shape[1], x)[:, :-1]),
        _prompt("answers first, question last", "the order within the pairs is turned: plain comes first",
                lambda c, x: _pairs(_coded(c, x) + c.shape[1], x)[:, 1:]),
        _prompt("the first row's code", "each row has its own code: the first row's is used for all",
                lambda c, x: _pairs(x, c[0][x] + c.shape[1])[:, :-1]),
        _prompt("the code undone", "the code is applied the wrong way round: symbol i becomes code[i], not the place "
                "at which i stands in the code", lambda c, x: _pairs(x, _coded(c.argsort(1), x) + c.shape[1])[:, :-1]),
        _prompt("no code", "the plain symbol itself, N higher: the code is not applied",
                lambda c, x: _pairs(x, x + c.shape[1])[:, :-1]),
        _prompt("all plain, then all cipher", "the examples stand in two blocks: each plain symbol should be followed "
                "by its own cipher symbol",
                lambda c, x: torch.cat([x, _coded(c, x) + c.shape[1]], 1)[:, :-1]),
        _prompt("blocks with the question last", "all examples are there, but not in pairs: plain, cipher, plain, "
                "cipher", lambda c, x: torch.cat([x[:, :-1], _coded(c, x)[:, :-1] + c.shape[1], x[:, -1:]], 1)),
        _prompt("the question first", "the question stands in front; examples come first, then the question",
                lambda c, x: torch.cat([x[:, -1:], build_prompt(c, x)[:, :-1]], 1)),
        _prompt("no question", "the examples alone: the last plain symbol, which is the question, is missing",
                lambda c, x: build_prompt(c, x)[:, :-1]),
        _prompt("one lower", "cipher symbols begin at N; yours begin one below and meet the plain ones",
                lambda c, x: _pairs(x, _coded(c, x) + c.shape[1] - 1)[:, :-1]),
        _prompt("plain alphabet shifted", "the plain symbols are the ones that are shifted; cipher symbol j is N + j",
                lambda c, x: _pairs(x + c.shape[1], _coded(c, x))[:, :-1]),
        _prompt("shifted by n", "N is the number of symbols, the width of `code`; you add the number of examples",
                lambda c, x: _pairs(x, _coded(c, x) + x.shape[1])[:, :-1]),
        _prompt("pairs on an axis", "plain and cipher stand beside each other on an axis of their own: lay them out in "
                "one row of tokens", lambda c, x: torch.stack([x, _coded(c, x) + c.shape[1]], 2)[:, :-1]),
        _prompt("one row", "all rows run into one: the batch keeps its first axis",
                lambda c, x: build_prompt(c, x).flatten()),
        _prompt("all pairs in two blocks", "two blocks, and the answer to the question among them: write pairs, and no "
                "answer at the end", lambda c, x: torch.cat([x, _coded(c, x) + c.shape[1]], 1)),
        _prompt("both shifted", "both alphabets are shifted; plain symbols keep their ids",
                lambda c, x: build_prompt(c, x) + c.shape[1] * (torch.arange(2 * x.shape[1] - 1) % 2 == 0)),
        _prompt("cipher only", "the cipher symbols alone: each stands behind its plain symbol",
                lambda c, x: _coded(c, x) + c.shape[1]),
        _prompt("one higher", "cipher symbol j is N + j; yours is one more",
                lambda c, x: _pairs(x, _coded(c, x) + c.shape[1] + 1)[:, :-1]),
        _prompt("the question twice", "the answer is told, then the question asked again: leave out the answer",
                lambda c, x: torch.cat([_pairs(x, _coded(c, x) + c.shape[1]), x[:, -1:]], 1)),
        _prompt("the last row's code", "all rows use the last row's code; each has its own",
                lambda c, x: _pairs(x, c[-1][x] + c.shape[1])[:, :-1]),
        _prompt("subtracted", "N is added to cipher symbols; ids below 0 do not exist",
                lambda c, x: _pairs(x, _coded(c, x) - c.shape[1])[:, :-1]),
        _prompt("the first left out", "the first plain symbol is missing, the last answer is told: cut the other end",
                lambda c, x: _pairs(x, _coded(c, x) + c.shape[1])[:, 1:]),
        _prompt("shifted by what was seen", "N is the width of `code`; a batch need not hold the largest plain symbol",
                lambda c, x: _pairs(x, _coded(c, x) + x.max() + 1)[:, :-1]),
        _prompt("shifted by 8", "8 is the number of symbols in the chapter; here N is the width of `code`",
                lambda c, x: _pairs(x, _coded(c, x) + 8)[:, :-1]),
        _prompt("shifted by rows", "you add the number of rows; N is the number of symbols, the width of `code`",
                lambda c, x: _pairs(x, _coded(c, x) + len(c))[:, :-1]),
        _prompt("one pair late", "each cipher symbol stands behind the next plain symbol, one pair too late",
                lambda c, x: _pairs(x, _coded(c, x).roll(1, dims=1) + c.shape[1])[:, :-1]),
        _prompt("the code by place", "you read the code at the place of a pair; it is read at the plain symbol",
                lambda c, x: _pairs(x, c[:, torch.arange(x.shape[1]) % c.shape[1]] + c.shape[1])[:, :-1]),
        _prompt("the answer blanked", "the answer is hidden behind a 0, which is a plain symbol: leave its place out",
                lambda c, x: torch.nn.functional.pad(build_prompt(c, x), (0, 1))),
        _prompt("coded twice", "the code is applied twice: symbol i becomes code[i]",
                lambda c, x: _pairs(x, _coded(c, _coded(c, x)) + c.shape[1])[:, :-1]),
        _prompt("the whole code told", "you show every pair of the code; the examples are the symbols of `plain`, in "
                "their order", lambda c, x: torch.cat(
                    [_pairs(torch.arange(c.shape[1]).expand_as(c), c + c.shape[1]), x[:, -1:]], 1)),
    ),
    notice="Nothing in this prompt says what to do with it; the examples are the instruction.",
)  # fmt: skip


def shown_accuracy(tokens: Tensor, predicted: Tensor) -> float:
    """Share of right answers among those that can be known.

    tokens: int64 (B, 2 n), plain cipher plain cipher ... of B codes.
    predicted: int64 (B, n), a model's guess at each cipher symbol, made before
    seeing it.
    Only answers count whose plain symbol stood earlier in the same row: the
    others can be right by luck alone.
    """
    plain, cipher = tokens[:, ::2], tokens[:, 1::2]
    shown = (plain[:, :, None] == plain[:, None, :]).tril(-1).any(dim=2)
    return float((predicted == cipher)[shown].double().mean())


def _accuracy_cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for rows, n_symbols, n in ((2, 3, 5), (4, 5, 7), (6, 6, 11)):
        code = torch.rand(rows, n_symbols, generator=generator).argsort(dim=1)
        plain = torch.randint(0, n_symbols, (rows, n), generator=generator)
        tokens = _pairs(plain, code.gather(1, plain) + n_symbols)
        tokens[0, :] = tokens[0, :2].repeat(n)  # one symbol again and again
        noise = torch.rand(rows, n, generator=generator) < 0.5
        guess = torch.randint(n_symbols, 2 * n_symbols, (rows, n), generator=generator)
        cases.append(named_case(tokens=tokens, predicted=torch.where(noise, guess, tokens[:, 1::2])))
    return cases


def _shown(tokens: Tensor) -> Tensor:
    plain = tokens[:, ::2]
    return (plain[:, :, None] == plain[:, None, :]).tril(-1).any(dim=2)


def _right(tokens: Tensor, predicted: Tensor) -> Tensor:
    return (predicted == tokens[:, 1::2]).double()


def _luck_ignored(trial: Trial) -> Mismatch | None:
    tokens, predicted = trial.args
    lucky = torch.where(_shown(tokens), predicted, tokens[:, 1::2])
    return compare(trial.output, trial.call(tokens, lucky))


def _row_means(tokens: Tensor, predicted: Tensor) -> float:
    shown, right = _shown(tokens), _right(tokens, predicted)
    return float(((right * shown).sum(1) / shown.sum(1).clamp(min=1)).mean())


def _both_ways(tokens: Tensor) -> Tensor:
    """Symbols that occur more than once in the row, the first time too."""
    plain = tokens[:, ::2]
    return (plain[:, :, None] == plain[:, None, :]).sum(2) > 1


def _elsewhere(tokens: Tensor) -> Tensor:
    """Symbols that occurred earlier in the row or anywhere in a row above."""
    plain = tokens[:, ::2]
    flat = plain.flatten()
    return (flat[:, None] == flat).tril(-1).any(1).view(plain.shape)


def _score(name: str, hint: str, answer: Callable[[Tensor, Tensor], Any]) -> Wrong:
    return Wrong(name=name, hint=hint, answer=answer)


SHOWN_ACCURACY = Exercise(
    id="decoder-only/shown-accuracy",
    title="A score without luck",
    answer="shown_accuracy",
    solution=shown_accuracy,
    cases=_accuracy_cases,
    read=read_number,
    properties=(
        Property(sentence="lucky guesses change nothing", test=_luck_ignored,
                 hint="make one answer right whose plain symbol is new: your score should not move"),
        equals("the score is the share of right ones among the answers that could be known", shown_accuracy,
               hint="mark by hand, for one row of five pairs, which answers could be known"),
    ),
    wrong=(
        _score("all answers", "answers to symbols that were never shown count too: they can be right by luck alone",
               lambda t, p: float(_right(t, p).mean())),
        _score("new symbols", "these are the answers that can only be guessed: you left out the others",
               lambda t, p: float(_right(t, p)[~_shown(t)].mean())),
        _score("shown anywhere in the row", "the first time that a symbol occurs counts as well when it comes again "
               "later: it must have stood earlier", lambda t, p: float(_right(t, p)[_both_ways(t)].mean())),
        _score("itself counts", "every symbol occurs at its own place: look only at the places before it",
               lambda t, p: float(_right(t, p)[_shown(t) | True].sum() / _shown(t).sum())),
        _score("later occurrences", "you look at what comes later: a model that reads from the left cannot",
               lambda t, p: float(_right(t, p)[(t[:, ::2, None] == t[:, None, ::2]).triu(1).any(2)].mean())),
        _score("other rows", "a symbol shown in another row does not help: that row has another code",
               lambda t, p: float(_right(t, p)[_elsewhere(t)].mean())),
        _score("divided by all", "the right ones among the shown are counted, and divided by all answers",
               lambda t, p: float((_right(t, p) * _shown(t)).mean())),
        _score("mean of means", "rows have unequal numbers of answers that could be known, so a mean over rows weighs "
               "them unequally", _row_means),
        _score("a count", "that is how many are right; divide by how many could be known",
               lambda t, p: float((_right(t, p) * _shown(t)).sum())),
        _score("errors", "that is the share of errors among them", lambda t, p: 1 - shown_accuracy(t, p)),
        _score("the last answer", "only the last answer of each row is scored: every one that could be known counts",
               lambda t, p: float(_right(t, p)[:, -1][_shown(t)[:, -1]].mean())),
        _score("against plain symbols", "the guesses are compared with the plain symbols, which stand at even places",
               lambda t, p: float((p == t[:, ::2])[_shown(t)].double().mean())),
        _score("all but the first", "every answer but the first of a row counts; a later symbol can be new too",
               lambda t, p: float(_right(t, p)[:, 1:].mean())),
        _score("just before", "only a symbol that stood directly before counts; it may have been shown long ago",
               lambda t, p: float(_right(t, p)[:, 1:][t[:, 2::2] == t[:, :-2:2]].mean())),
        _score("the first row", "only the first row is scored: all rows count",
               lambda t, p: float(_right(t[:1], p[:1])[_shown(t[:1])].mean())),
        _score("per cent", "a share from 0 to 1, not per cent", lambda t, p: 100 * shown_accuracy(t, p)),
        _score("guesses that came before", "you ask whether the guess has been guessed before; what counts is whether "
               "the plain symbol has been shown",
               lambda t, p: float(_right(t, p)[(p[:, :, None] == p[:, None, :]).tril(-1).any(2)].mean())),
        _score("above the others", "the difference between shown and new symbols still moves with luck: report the "
               "shown ones alone", lambda t, p: shown_accuracy(t, p) - float(_right(t, p)[~_shown(t)].mean())),
        _score("minus a guess", "nothing is subtracted here: the answers that count could be known, so no guess is "
               "needed", lambda t, p: shown_accuracy(t, p) - 1 / 8),
        _score("twice before", "once is enough: a symbol counts from its second occurrence on",
               lambda t, p: float(_right(t, p)[(t[:, ::2, None] == t[:, None, ::2]).tril(-1).sum(2) >= 2].mean())),
        _score("guesses already shown", "you ask whether the guessed cipher symbol was shown; what counts is whether "
               "the plain symbol of the question was", lambda t, p: float(_right(t, p)[
                   (p[:, :, None] == t[:, None, 1::2]).tril(-1).any(2)].mean())),
        _score("divided by all but the first", "the right ones among the shown are counted; divide by how many were "
               "shown, not by all places after the first",
               lambda t, p: float((_right(t, p) * _shown(t))[:, 1:].mean())),
        _score("divided by the new ones", "the right ones among the shown are divided by the number of new ones",
               lambda t, p: float((_right(t, p) * _shown(t)).sum() / (~_shown(t)).sum())),
        _score("of the right ones", "that says how many of the right answers could be known; divide by how many of all "
               "answers could be", lambda t, p: float((_right(t, p) * _shown(t)).sum() / _right(t, p).sum())),
        _score("how many could be known", "that is the share of answers that could be known: are they right?",
               lambda t, p: float(_shown(t).double().mean())),
        _score("two blocks", "you take the first half of a row for plain symbols; plain and cipher alternate",
               lambda t, p: float((p == t[:, p.shape[1]:])[
                   (t[:, : p.shape[1], None] == t[:, None, : p.shape[1]]).tril(-1).any(2)].double().mean())),
        _score("last occurrences", "of each symbol only the last occurrence is scored: all but the first count",
               lambda t, p: float(_right(t, p)[
                   _shown(t) & ~(t[:, ::2, None] == t[:, None, ::2]).triu(1).any(2)].mean())),
        _score("rows without an error", "you count rows in which all that could be known is right: count answers",
               lambda t, p: float(((_right(t, p) == 1) | ~_shown(t)).all(1).double().mean())),
        _score("the second half", "the second half of each row is scored: a late symbol can be new, an early one shown",
               lambda t, p: float(_right(t, p)[:, p.shape[1] // 2:].mean())),
    ),
    notice="With 8 symbols a guess is right in one case of eight, and in one of one when seven of them are shown.",
)  # fmt: skip
