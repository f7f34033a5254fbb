"""What an exercise is made of."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tftutor.exercises.values import EditedInput, Trouble, edits, fresh, read_tensor, same, shape_text, show
from tftutor.exercises.watchdog import OutOfTime


class Case(NamedTuple):
    """One input on which an answer is tried."""

    args: tuple[Any, ...]
    label: str  # what the reader is told about it


class Mismatch(NamedTuple):
    """What a property expected and what it saw, each in a few words."""

    expected: str
    got: str


class Trial:
    """An answer at work on one case."""

    def __init__(self, answer: Any, case: Case, read: Callable[[Any], Any], takes: str) -> None:
        self._answer, self._read, self._takes = answer, read, takes
        self.case = case
        self.args = fresh(case.args)  # for the properties to look at
        self.raw = self._run(self.args) if takes == "function" else answer

    @property
    def output(self) -> Any:
        """What the answer returned on the case, read: a finite tensor, a bool, ..."""
        return self._read_or_explain(self.raw)

    def call(self, *args: Any) -> Any:
        """What the answer returns on other arguments."""
        return self._read_or_explain(self._run(args))

    def _run(self, args: tuple[Any, ...]) -> Any:
        mine, weights = fresh(args), edits(args)
        try:
            result = self._answer(*mine)
        except RecursionError:
            raise Trouble("never stops calling itself", "a recursion needs a case that ends it") from None
        except OutOfTime:
            raise
        except BaseException as error:  # exit() as well
            raise _raised(error, self._answer) from None
        if not same(mine, args, rtol=0, atol=0) or edits(args) != weights:
            raise EditedInput(
                "changes its input in place",
                "the caller still needs what it passed in: build new values instead of writing into the arguments "
                "(methods that end in _ and assignments to x[...] write in place)",
                expected="arguments left as they were",
                got="other values in them after the call",
            )
        return result

    def _read_or_explain(self, value: Any) -> Any:
        if value is None and self._takes == "function":
            raise Trouble(
                "returns None",
                "the function ends without handing anything back: is its last line missing a `return`?",
                expected="a result",
                got="None",
            )
        return self._read(value)


def _raised(error: BaseException, answer: Any) -> Trouble:
    """An exception of the learner's code, with the line of it that was at work."""
    place, trace = "", error.__traceback__
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == file:
            place = f" (line {trace.tb_lineno - code.co_firstlineno + 1} of {code.co_name})"
        trace = trace.tb_next
    text = " ".join(str(error).split())
    text = f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
    hint = "call your function yourself on this input and read the last line of the traceback"
    if "shape" in text or "size" in text or "match" in text or "multiplied" in text:
        hint = "print the shape of each factor just before that line: which axes have to meet?"
    return Trouble("stops with an error", hint, expected="a result", got=f"{text}{place}")


@dataclass(frozen=True, kw_only=True)
class Property:
    """Something true of every right answer: a sentence, and a test that returns None or what went wrong."""

    sentence: str
    test: Callable[[Trial], Mismatch | None]
    hint: str = ""  # where to look when no known wrong answer fits


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A wrong answer that people really give, and the hint it deserves.

    A learner's answer is recognised when it gives the same results as `answer` on every case, or, where one wrong
    idea has many forms, when `recognise` says so. Exact results are tried first.
    """

    name: str
    answer: Any
    hint: str
    recognise: Callable[[Any], bool] | None = None


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A remark on an answer that is right and still worth a word."""

    applies: Callable[[Any, Sequence[Case]], bool]
    remark: str
    example: Any  # a right answer that earns the remark


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A task, what a right answer must do, and what wrong answers look like.

    Args:
        id: "chapter/name", as in `check("qkv/attention", attention)`.
        answer: the name that the stub in the notebook defines.
        solution: the function (or value) that solves it. A function's docstring is the docstring of the stub.
        cases: builds the inputs from a random generator, smallest first; sizes of axes pairwise different.
        properties: the most telling first.
        notice: one sentence for those who got it right.
        takes: whether learners hand in a function or a value.
        read: turns what they return into what the properties work on.
    """

    id: str
    title: str
    answer: str
    solution: Any
    properties: tuple[Property, ...]
    wrong: tuple[Wrong, ...]
    notice: str
    cases: Callable[[torch.Generator], Sequence[Case]] = lambda _generator: [Case((), "")]
    takes: Literal["function", "value"] = "function"
    read: Callable[[Any], Any] = read_tensor
    flags: tuple[Flag, ...] = ()

    @property
    def label(self) -> str:
        """The label of its `{exercise}` block: ex-qkv-attention."""
        return "ex-" + self.id.replace("/", "-")

    def build_cases(self) -> list[Case]:
        """The inputs; always the same ones."""
        return list(self.cases(torch.Generator().manual_seed(0)))

    def trial(self, answer: Any, case: Case) -> Trial:
        """`answer` at work on `case`."""
        return Trial(answer, case, self.read, self.takes)

    def stub(self) -> str:
        """The source of the cell that learners fill in."""
        if self.takes == "value":
            return f"{self.answer} = ...\n"
        doc = inspect.getdoc(self.solution)
        doc = textwrap.indent(f'"""{doc}\n"""' if "\n" in doc else f'"""{doc}"""', "    ")
        return f"def {self.answer}({', '.join(inspect.signature(self.solution).parameters)}):\n{doc}\n    ...\n"


def named_case(**args: Any) -> Case:
    """A case whose label lists its arguments, tensors by their shapes."""
    parts = []
    for name, value in args.items():
        if isinstance(value, Tensor) and value.numel() > 4:
            parts.append(f"{name} {shape_text(value)}")
        elif not isinstance(value, torch.nn.Module):
            parts.append(f"{name} = {show(value)}")
    return Case(tuple(args.values()), ", ".join(parts))


def distinct_sizes(generator: torch.Generator, n: int, low: int, high: int) -> list[int]:
    """`n` pairwise different sizes from low..high."""
    return (torch.randperm(high - low + 1, generator=generator)[:n] + low).tolist()


def compare(expected: Any, got: Any) -> Mismatch | None:
    """None if the two agree, else what to tell: shapes first, then the entry that differs most."""
    if same(expected, got):
        return None
    if not (isinstance(expected, Tensor) and isinstance(got, Tensor)):
        return Mismatch(show(expected), show(got))
    if expected.shape != got.shape:
        return Mismatch(f"shape {shape_text(expected)}", f"shape {shape_text(got)}")
    if expected.numel() <= 6:
        return Mismatch(show(expected), show(got))
    distance = (expected.double() - got.double()).abs()
    where = [int(i) for i in np.unravel_index(int(distance.argmax()), distance.shape)]  # torch's imports sympy
    at = tuple(where)
    return Mismatch(f"{show(expected[at].item())} at {where}", f"{show(got[at].item())}")


def equals(sentence: str, truth: Callable[..., Any], *, hint: str = "") -> Property:
    """The property of returning what `truth` returns."""
    return Property(sentence=sentence, test=lambda trial: compare(truth(*fresh(trial.args)), trial.output), hint=hint)


def has_shape(sentence: str, shape: Callable[..., tuple[int, ...]]) -> Property:
    """The property of returning a tensor of the shape that `shape(*args)` names."""

    def test(trial: Trial) -> Mismatch | None:
        want, got = tuple(shape(*trial.args)), tuple(trial.output.shape)
        return None if want == got else Mismatch(f"shape {want}", f"shape {got}")

    return Property(sentence=sentence, test=test, hint="print the shape of every step: where does it leave the plan?")


def is_option(letter: str, options: Sequence[str]) -> Property:
    """The property of being the right option of a question."""

    def test(trial: Trial) -> Mismatch | None:
        if trial.output not in options:
            expected = f"one of {', '.join(options)}"
            raise Trouble("is not an option", "choose one of the letters", expected=expected, got=trial.output)
        if trial.output != letter:
            raise Trouble("is another one of the options", "read the question again", got=trial.output)
        return None

    return Property(sentence="the option is the right one", test=test)
