"""`check` survives whatever learners hand in, answers in time, and keeps progress without ever depending on it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tftutor.exercises import check, exercise_table, reset_progress
from tftutor.exercises.engine import examine
from tftutor.exercises.exercise import distinct_sizes
from tftutor.exercises.progress import home
from tftutor.exercises.registry import find_exercise
from tftutor.exercises.report import Report
from tftutor.exercises.stub import is_stub
from tftutor.exercises.values import Trouble, fresh, read_bool, read_number, read_tensor, same, show
from tftutor.exercises.watchdog import call_with_limit, patience

ATTENTION = find_exercise("qkv/attention")
ENCODE = find_exercise("encoder-decoder/encode")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFTUTOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.T / q.shape[-1] ** 0.5).softmax(dim=-1) @ v


# ------------------------------------------------------------------------------------- what learners hand in


def _forgets_to_return(q: Tensor, k: Tensor, v: Tensor) -> None:
    weights = (q @ k.T / q.shape[-1] ** 0.5).softmax(dim=-1)
    weights @ v


def _returns_none(q: Tensor, k: Tensor, v: Tensor) -> None:
    return None


def _edits_its_input(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q /= q.shape[-1] ** 0.5
    return (q @ k.T).softmax(dim=-1) @ v


def _never_ends(q: Tensor, k: Tensor, v: Tensor) -> None:
    while True:
        pass


def _catches_everything(q: Tensor, k: Tensor, v: Tensor) -> None:
    while True:
        try:  # noqa: SIM105 - as learners write it
            time.sleep(0.001)
        except Exception:
            pass


def _catches_even_exits(q: Tensor, k: Tensor, v: Tensor) -> None:
    end = time.monotonic() + 8
    while time.monotonic() < end:
        try:  # noqa: SIM105
            time.sleep(0.001)
        except BaseException:
            pass


def _sleeps(q: Tensor, k: Tensor, v: Tensor) -> None:
    time.sleep(8)


def _calls_itself(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _calls_itself(q, k, v)


def _divides_by_zero(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return right(q, k, v) / (1 // 0)


def _leaves(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    sys.exit(3)


def _floods(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    while True:
        print("debug", q)  # noqa: T201


class _Nasty:
    """Raises from every operation one might try on it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")

    def __deepcopy__(self, memo: object) -> Any:
        raise RuntimeError("no copy")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("answer", "problem", "hint"),
    [
        (_forgets_to_return, "returns None", "missing a `return`"),
        (_returns_none, "returns None", "missing a `return`"),
        (_edits_its_input, "changes its input in place", "in place"),
        (_never_ends, "does not come to an end", "loop"),
        (_catches_everything, "does not come to an end", "loop"),
        (_catches_even_exits, "does not come to an end", "loop"),
        (_sleeps, "does not come to an end", "loop"),
        (_floods, "does not come to an end", "loop"),
        (_calls_itself, "never stops calling itself", "recursion"),
        (_divides_by_zero, "stops with an error", "traceback"),
        (_leaves, "stops with an error", "traceback"),
        (lambda q, k: q, "stops with an error", "traceback"),
        (lambda q, k, v: "x", "returns the wrong kind of thing", "torch.Tensor"),
        (lambda q, k, v: (right(q, k, v), q), "returns the wrong kind of thing", "one tensor, not 2"),
        (lambda q, k, v: right(q, k, v).numpy(), "returns the wrong kind of thing", "torch.Tensor"),
        (lambda q, k, v: _Nasty(), "returns the wrong kind of thing", "torch.Tensor"),
        (lambda q, k, v: right(q, k, v).T, "misses this: there is one row per query", ""),
        (lambda q, k, v: right(q, k, v)[None], "misses this: there is one row per query", ""),
        (lambda q, k, v: torch.tensor(1.0), "misses this: there is one row per query", ""),
        (lambda q, k, v: right(q, k, v).to_sparse(), "", ""),
        (lambda q, k, v: right(q, k, v).to("meta"), "", ""),
        (lambda q, k, v: right(q, k, v) + 1j, "", ""),
        (lambda q, k, v: right(q, k, v) * float("nan"), "holds entries that are NaN", "division by zero"),
        (lambda q, k, v: right(q, k, v) + float("inf"), "holds entries that are infinite", "division by zero"),
        (torch.ones(3, 4), "is not a function", "without calling it"),
        (None, "is not a function", "without calling it"),
        ("attention", "is not a function", "without calling it"),
        (_Nasty(), "is not a function", "without calling it"),
        (nn.Linear, "stops with an error", ""),
    ],
)
def test_whatever_comes_gets_the_right_words_in_time(
    answer: Any, problem: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tftutor.exercises.engine.patience", lambda: 1.0)  # as on an idle machine
    began = time.process_time()  # of all threads; the clock on the wall would test how busy the machine is
    report = check("qkv/attention", answer)
    assert time.process_time() - began < 2.0
    assert report.status == "wrong"
    assert report.problem.startswith(problem), str(report)
    assert hint in report.hint, str(report)
    assert "\n" not in repr(report)
    assert "<strong>" in report._repr_html_()


@pytest.mark.parametrize(
    "garbage", [None, "x", 3, [7, "x"], {"a": 1}, torch.ones(2, 5), float("nan"), object(), _Nasty()]
)
def test_every_exercise_survives_garbage(garbage: Any) -> None:
    for exercise_id in (row.id for row in exercise_table()):
        exercise = find_exercise(exercise_id)
        answer = (lambda *args: garbage) if exercise.takes == "function" else garbage
        report = examine(exercise, answer)
        assert report.status == "wrong", str(report)
        assert report.hint, str(report)


def test_an_error_names_the_line_of_the_learners_code() -> None:
    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.T
        return scores @ scores @ v

    report = examine(ATTENTION, attention)
    assert "(line 3 of attention)" in report.got
    assert "shape" in report.hint


def test_weights_of_a_module_may_not_be_edited_either() -> None:
    def edits(model: nn.Module, src: Tensor, src_mask: Tensor) -> Tensor:
        model.src_embed.tokens.weight.mul_(2.0)
        return ENCODE.solution(model, src, src_mask)

    assert examine(ENCODE, edits).problem.startswith("changes its input in place")


def test_a_check_runs_off_the_main_thread() -> None:
    reports: list[Report] = []
    for answer in (right, _never_ends):
        thread = threading.Thread(target=lambda answer=answer: reports.append(check("qkv/attention", answer)))
        thread.start()
        thread.join(3 * patience())
    assert [report.status for report in reports] == ["right", "wrong"]


def test_a_check_leaves_random_numbers_grad_mode_threads_and_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def noisy(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        torch.manual_seed(7)
        torch.set_grad_enabled(False)
        print("debug")  # noqa: T201
        return right(q, k, v)

    torch.manual_seed(5)
    threads, expected = torch.get_num_threads(), torch.rand(3)
    torch.manual_seed(5)
    with torch.no_grad():
        assert check("qkv/attention", noisy)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert capsys.readouterr().out == ""


def test_the_same_answer_gets_the_same_words() -> None:
    def wrong(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return right(q, k, v) + torch.rand(1)

    first = check("qkv/attention", wrong)
    torch.rand(3)
    assert str(check("qkv/attention", wrong)) == str(first)


# ------------------------------------------------------------------------------------- stub, watchdog, values


def test_a_stub_is_known_by_its_code() -> None:
    def empty(x):
        """Do something."""
        ...

    def passes(x):
        """Do something."""
        pass

    def says_none(x):
        """Do something."""
        return None

    class Empty(nn.Module):
        def forward(self, x):
            """Do something."""
            ...

    class Begun(Empty):
        def forward(self, x):
            return x

    assert all(is_stub(answer) for answer in (..., empty, passes, lambda x: ..., Empty))
    attempted = (says_none, lambda x: None, lambda x: x, Begun, Begun(), torch.softmax, None, 0, "", right)
    assert not any(is_stub(answer) for answer in attempted)
    namespace: dict[str, Any] = {}
    exec('def stub(x):\n    "Doc."\n    ...\ndef begun(x):\n    y = x\n', namespace)  # noqa: S102
    assert is_stub(namespace["stub"])
    assert not is_stub(namespace["begun"])


def test_the_watchdog_passes_results_and_errors_on() -> None:
    assert call_with_limit(lambda: 3, 1.0) == 3
    with pytest.raises(ZeroDivisionError):
        call_with_limit(lambda: 1 // 0, 1.0)
    before = threading.active_count()
    with pytest.raises(TimeoutError, match=r"0\.2 seconds"):
        call_with_limit(lambda: _never_ends(*[torch.ones(1)] * 3), 0.2)
    time.sleep(0.05)
    assert threading.active_count() <= before  # the loop is gone, not left running


@pytest.mark.parametrize(("load", "expected"), [(0.1, 1.0), (3.0, 1.0), (6.0, 1.5), (12.0, 3.0), (99.0, 5.0)])
def test_the_watchdog_waits_longer_on_a_busy_machine(
    load: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert patience() == pytest.approx(expected)


def test_the_watchdog_does_without_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.getloadavg", raising=False)
    assert patience() == 1.0


def test_values_are_copied_compared_read_and_shown() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    y = fresh([x, {"a": (x,)}])
    assert y[0] is not x
    assert y[0].requires_grad
    assert y[1]["a"][0].data_ptr() != x.data_ptr()
    assert same(torch.tensor([1.0, float("nan")]), torch.tensor([1.00001, float("nan")]))
    assert not same(torch.ones(2), torch.ones(1, 2))
    assert not same(torch.ones(2), torch.ones(2, dtype=torch.bool))
    assert not same(1, True)
    assert same((1, [2.0]), [1, (2,)])
    assert not same(_Nasty(), _Nasty())
    assert read_bool(torch.tensor(True)) is True
    assert read_number(torch.tensor(2)) == 2.0
    for reader, bad in ((read_bool, 1), (read_number, True), (read_number, float("inf")), (read_tensor, [1.0])):
        with pytest.raises(Trouble):
            reader(bad)
    assert show(torch.tensor([[1.0, 2.3456]])) == "[[1, 2.35]]"
    assert show(torch.ones(4, 5)) == "a tensor of shape (4, 5)"
    assert show(_Nasty()) == "an object of type _Nasty"
    assert len(show("x" * 1000)) <= 80
    sizes = distinct_sizes(torch.Generator().manual_seed(0), 4, 2, 9)
    assert len(set(sizes)) == 4
    assert all(2 <= size <= 9 for size in sizes)


# ------------------------------------------------------------------------------------- progress


def _status(exercise_id: str) -> tuple[str, int]:
    return next((row.status, row.attempts) for row in exercise_table() if row.id == exercise_id)


def test_progress_counts_attempts_and_keeps_what_was_solved(own_home: Path) -> None:
    assert home() == own_home
    assert _status("qkv/attention") == ("open", 0)

    def stub(q, k, v): ...

    check("qkv/attention", stub)
    assert not own_home.exists()
    check("qkv/attention", lambda q, k, v: q)
    assert _status("qkv/attention") == ("tried", 1)
    check("qkv/attention", right)
    check("qkv/attention", lambda q, k, v: q)
    assert _status("qkv/attention") == ("solved", 3)
    check("qkv/predict-zero-vector", "b")
    check("encoder-decoder/count-norms", lambda n, m, final: 0)
    assert reset_progress("qkv") == 2
    assert _status("qkv/attention") == ("open", 0)
    assert _status("encoder-decoder/count-norms") == ("tried", 1)
    assert reset_progress() == 1
    assert reset_progress() == 0
    with pytest.raises(ValueError, match=r"expected one of .*qkv.*, got .quizzes."):
        reset_progress("quizzes")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"attempts": -1, "solved": true}', '{"attempts": "9"}', "\udcff"])
def test_a_corrupt_file_is_set_aside_and_reported_once_in_one_line(own_home: Path, content: str) -> None:
    expected = str(check("qkv/attention", right))
    file = own_home / "progress" / "qkv--attention.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert str(check("qkv/attention", right)) == expected  # a check says the same, whatever is stored
    assert json.loads(file.read_text("utf-8"))["attempts"] == 1
    with pytest.warns(UserWarning, match="qkv--attention.corrupt") as record:
        assert _status("qkv/attention") == ("solved", 1)
    assert len(record) == 1
    assert "\n" not in str(record[0].message)


def test_a_home_that_cannot_be_written_disturbs_nothing(own_home: Path) -> None:
    own_home.write_text("a file where a folder should be")
    assert check("qkv/attention", right)
    assert _status("qkv/attention") == ("open", 0)


def test_nothing_half_written_is_left_behind(own_home: Path) -> None:
    for _ in range(3):
        check("qkv/attention", right)
    assert [path.name for path in (own_home / "progress").iterdir()] == ["qkv--attention.json"]


def test_a_script_can_print_a_check() -> None:
    code = "from tftutor.exercises import check\nprint(check('qkv/attention', lambda q, k, v: q @ k.T @ v))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "hint:" in done.stdout
    assert "softmax" not in done.stderr
