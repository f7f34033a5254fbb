"""`check`: try an answer on small random inputs and say what to look at."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from tftutor.exercises import progress
from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property
from tftutor.exercises.registry import find_exercise
from tftutor.exercises.report import Report
from tftutor.exercises.stub import is_stub
from tftutor.exercises.values import EditedInput, Trouble, same, show
from tftutor.exercises.watchdog import call_with_limit, patience

TIME_LIMIT = 1.2  # seconds of wall-clock time for the learner's code, on a machine that has nothing else to do

Outcome = tuple[str, Any]  # ("value", what was returned) or ("trouble", why nothing was)


def check(exercise_id: str, answer: Any) -> Report:
    """Say whether `answer` solves the exercise, and if not, what to look at.

    Args:
        exercise_id: "chapter/name", as the notebook gives it.
        answer: the function you wrote (not its result), or the value an exercise asks for.

    Returns:
        A report, which a notebook displays; it is true when the answer is right.
    """
    exercise = find_exercise(exercise_id)
    report = examine(exercise, answer)
    if report.status != "not attempted":
        progress.record(exercise.id, solved=bool(report))
    return report


def examine(exercise: Exercise, answer: Any, *, seconds: float = TIME_LIMIT) -> Report:
    """`check` without the book-keeping."""
    if is_stub(answer):
        return Report(id=exercise.id, status="not attempted")
    if exercise.takes == "function" and not callable(answer):
        return Report(
            id=exercise.id,
            status="wrong",
            problem="is not a function",
            expected=f"check({exercise.id!r}, {exercise.answer})",
            got=show(answer),
            hint="hand in the function itself, without calling it",
        )
    cases = exercise.build_cases()
    seen: list[Outcome] = []
    with _undisturbed():
        _judge(exercise, exercise.solution, cases[:1], [])  # first calls of torch are slow: not on the learner's clock
        try:
            verdict = call_with_limit(lambda: _judge(exercise, answer, cases, seen), seconds * patience())
        except TimeoutError:
            return Report(
                id=exercise.id,
                status="wrong",
                problem="does not come to an end",
                where=cases[len(seen) % len(cases)].label,
                expected=f"an answer within {seconds:g} seconds",
                got="none",
                hint="is there a loop whose condition never becomes false?",
            )
        if isinstance(verdict, str):
            return Report(id=exercise.id, status="right", notice=verdict)
        case, trouble = verdict
        known = _known(exercise, answer, cases, seen)
    return Report(
        id=exercise.id,
        status="wrong",
        problem=trouble.problem,
        where=case.label,
        expected=trouble.expected,
        got=trouble.got,
        hint=known or trouble.hint,
    )


def _judge(exercise: Exercise, answer: Any, cases: Sequence[Case], seen: list[Outcome]) -> str | tuple[Case, Trouble]:
    """What to notice about a right answer, or the smallest case that a wrong one fails on, and how.

    `seen` is filled with what the answer did on each case.
    """
    with torch.enable_grad():  # whatever the notebook has switched off
        for case in cases:
            seen.append(_outcome(exercise, answer, case))
        for case, (_, result) in zip(cases, seen, strict=True):
            if isinstance(result, EditedInput):
                return case, result
        for case in cases:
            try:
                trial = exercise.trial(answer, case)
                for prop in exercise.properties:
                    mismatch = _test(prop, trial)
                    if mismatch is not None:
                        problem = f"misses this: {prop.sentence}"
                        return case, Trouble(problem, prop.hint, expected=mismatch.expected, got=mismatch.got)
            except Trouble as trouble:
                return case, trouble
        remarks = [flag.remark for flag in exercise.flags if flag.applies(answer, cases)]
    return " ".join([*remarks, exercise.notice])


def _test(prop: Property, trial: Any) -> Mismatch | None:
    try:
        return prop.test(trial)
    except Trouble:
        raise
    except Exception:  # what came back does not fit the property at all
        return Mismatch("something that can be compared", show(trial.raw))


def _outcome(exercise: Exercise, answer: Any, case: Case) -> Outcome:
    try:
        trial = exercise.trial(answer, case)
    except Trouble as trouble:
        return "trouble", trouble
    try:
        return "value", trial.output
    except Trouble:
        return "value", trial.raw


def _known(exercise: Exercise, answer: Any, cases: Sequence[Case], seen: Sequence[Outcome]) -> str | None:
    """The hint of the known wrong answer that does the same as this one, if there is one."""
    for wrong in exercise.wrong:
        if wrong.recognise is None and _does_the_same(exercise, wrong.answer, cases, seen):
            return wrong.hint
    for wrong in exercise.wrong:
        if wrong.recognise is not None:
            with contextlib.suppress(Exception):  # the answer may be anything at all
                if wrong.recognise(answer):
                    return wrong.hint
    return None


def _does_the_same(exercise: Exercise, wrong: Any, cases: Sequence[Case], seen: Sequence[Outcome]) -> bool:
    """Same results wherever there are results, of which there is at least one, and the same troubles elsewhere."""
    for case, (kind, result) in zip(cases, seen, strict=True):
        other_kind, other = _outcome(exercise, wrong, case)
        if kind != other_kind or (kind == "value" and not same(result, other)):
            return False
        if isinstance(result, EditedInput) != isinstance(other, EditedInput):
            return False
    return any(kind == "value" for kind, _ in seen)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the notebook's random numbers, threads and output as they were; every check draws the same numbers."""
    python, numpy_state, n_threads = random.getstate(), np.random.get_state(), torch.get_num_threads()  # noqa: NPY002
    with (
        torch.random.fork_rng(devices=[]),
        contextlib.redirect_stdout(_Silence()),
        contextlib.redirect_stderr(_Silence()),
    ):
        torch.set_num_threads(1)  # the tensors are tiny
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - learners may use it
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)
            random.setstate(python)
            np.random.set_state(numpy_state)  # noqa: NPY002


class _Silence(io.TextIOBase):
    """Where prints of a learner's function go: a check may call it a hundred times."""

    def write(self, text: str) -> int:
        return len(text)
