"""Claims assert, show and record; records serve the prose; progress leaves no trace; rechecking runs a chapter."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch

from tftutor import claims, notebook
from tftutor.claims import Claim, claims_in, load_claims, make_claim, recheck
from tftutor.notebook import ClaimError, claim, progress, record, setup

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What would be displayed in a kernel: (text, metadata)."""
    seen: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(notebook, "_show", lambda text, metadata: seen.append((text, metadata)))
    return seen


# ------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("value", "op", "bound", "text"),
    [
        (3.1e-8, "<=", 1e-5, "a sentence: <= 1e-05"),
        (0.0, "<", 1e-12, "a sentence: < 1e-12"),
        (0.1234567, "<=", 0.5, "a sentence: 0.123 nats <= 0.5 nats"),
        (2.5, ">", 2, "a sentence: 2.5 nats > 2 nats"),
        (torch.tensor(3), ">=", 3, "a sentence: 3 nats >= 3 nats"),
        (np.float32(0.75), "in", (0.5, 1), "a sentence: 0.75 nats in [0.5, 1]"),
        (1_048_576, "==", 4 * 512**2, "a sentence: 1048576 nats"),
        (torch.tensor([True]).all(), "==", True, "a sentence: True nats"),
        ("K UW L", "==", "K UW L", "a sentence: K UW L nats"),
    ],
)
def test_a_claim_that_holds_shows_one_line_and_is_recorded(shown, value, op, bound, text) -> None:
    unit = "" if isinstance(bound, float) and bound < 1e-3 else "nats"
    claim("an-id", "a sentence", value, op, bound, source="vaswani2017", unit=unit)
    [(line, metadata)] = shown
    assert line == f"✓ {text}"
    fields = json.loads(json.dumps(metadata, allow_nan=False))["claim"]
    assert (fields["id"], fields["op"], fields["source"]) == ("an-id", op, "vaswani2017")
    assert make_claim(fields).holds


@pytest.mark.parametrize(
    ("value", "op", "bound"),
    [
        (2e-5, "<=", 1e-5),
        (1.0, "<", 1.0),
        (0.4, "in", (0.5, 1.0)),
        (1.1, "in", (0.5, 1.0)),
        (float("nan"), "<=", 1.0),
        (float("nan"), ">", 1.0),
        (float("inf"), ">", 1.0),
        (False, "==", True),
        ("K AA L", "==", "K UW L"),
    ],
)
def test_a_claim_that_fails_says_what_was_measured(shown, value, op, bound) -> None:
    with pytest.raises(ClaimError, match="an-id: a sentence: ") as error:
        claim("an-id", "a sentence", value, op, bound)
    assert isinstance(error.value, AssertionError)
    bounds = bound if isinstance(bound, tuple) else (bound,)
    shown_value = f"{value:.3g}" if isinstance(value, float) else str(value)
    assert shown_value in str(error.value)
    assert all((f"{x:.3g}" if isinstance(x, float) else str(x)) in str(error.value) for x in bounds)
    assert shown == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("An id", "s", 1, "<=", 2), ValueError, "id: expected lower-case words"),
        (("an-id", "s", 1, "=<", 2), ValueError, "op: expected one of"),
        (("an-id", "s", torch.ones(2), "<=", 2), ValueError, "value: expected one number"),
        (("an-id", "s", None, "<=", 2), TypeError, "value: expected a number"),
        (("an-id", "s", 1, "<=", None), TypeError, "bound: expected a number"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        claim(*arguments)


def test_a_record_keeps_six_digits_and_shows_nothing(shown) -> None:
    record("gap", torch.tensor(0.3912345678, dtype=torch.float64))
    record("n_words", 126_052)
    record("word", "school")
    assert [text for text, _ in shown] == ["", "", ""]
    assert [metadata["record"]["value"] for _, metadata in shown] == [0.391235, 126_052, "school"]
    with pytest.raises(ValueError, match="name: expected lower-case words"):
        record("two words", 1)


def test_in_a_script_claims_are_lines_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    claim("an-id", "a sentence", 1, "<=", 2)
    record("gap", 0.5)
    assert capsys.readouterr().out == "✓ a sentence: 1 <= 2\n"


# ------------------------------------------------------------------------------------- setup and progress


@pytest.fixture
def restored():
    """Undo what `setup` does to the whole process."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    options = np.get_printoptions()
    yield
    torch.set_num_threads(before[0])
    torch.use_deterministic_algorithms(before[1])
    torch.set_printoptions(profile="default")
    np.set_printoptions(**options)


@pytest.mark.usefixtures("restored")
def test_setup_repeats_random_numbers() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    setup()
    first = draw()
    setup()
    assert draw() == first
    setup(seed=1)
    assert draw() != first
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert repr(torch.tensor([1e-5, 1.0])) == "tensor([0.0000, 1.0000])"


def test_progress_yields_everything_and_is_silent_without_a_terminal(monkeypatch, capsys) -> None:
    for quiet in ("1", "0"):
        monkeypatch.setenv("TFTUTOR_QUIET", quiet)
        assert list(progress(range(3), label="step")) == [0, 1, 2]
        assert list(progress(iter("ab"))) == ["a", "b"]
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_progress_draws_a_bar_in_a_terminal(monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("TFTUTOR_QUIET", raising=False)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert len(list(progress(range(3), label="step"))) == 3
    assert "step" in terminal.getvalue()
    assert "3" in terminal.getvalue()


def test_a_bar_fills_up() -> None:
    assert notebook._bar(0, 4, "x").count("█") == 0
    assert notebook._bar(2, 4, "x").count("█") == 15
    assert notebook._bar(9, 4, "x").count("█") == 30
    assert notebook._bar(3, None, "x") == "x 3"


# ------------------------------------------------------------------------------------- in a real kernel


def _notebook(*sources: str) -> nbformat.NotebookNode:
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells, metadata=kernel)


def test_outputs_in_a_kernel_are_plain_and_valid(monkeypatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("TFTUTOR_QUIET", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = _notebook(
        "from tftutor.notebook import claim, progress, record",
        "claim('an-id', 'a sentence', 0.25, '<=', 0.5)\nrecord('gap', 0.39)",
        "for _ in progress(range(3)):\n    pass",
    )
    nbclient.NotebookClient(book, timeout=60, kernel_name="python3", extra_arguments=["--log-level=ERROR"]).execute()
    nbformat.validate(book)
    claimed, recorded = book.cells[1].outputs
    assert claimed["data"] == {"text/plain": "✓ a sentence: 0.25 <= 0.5"}
    assert claimed["metadata"]["tftutor"]["claim"]["value"] == 0.25
    assert recorded["data"] == {}
    assert recorded["metadata"]["tftutor"]["record"] == {"name": "gap", "value": 0.39}
    assert book.cells[2].outputs == []


# ------------------------------------------------------------------------------------- registry and recheck


def _claim(**changes: Any) -> Claim:
    fields = {"id": "a", "sentence": "s", "value": 1, "op": "<=", "bound": 2, "chapter": "03_x"}
    return Claim(**(fields | changes))


def test_the_registry_survives_a_round_trip(tmp_path: Path) -> None:
    made = [_claim(), _claim(id="b", op="in", bound=(0, 2), source="vaswani2017", unit="nats")]
    path = tmp_path / "claims.json"
    assert load_claims(path) == []
    path.write_text(json.dumps({"claims": [entry.to_dict() for entry in made]}))
    assert load_claims(path) == made
    path.write_text("{")
    with pytest.raises(ValueError, match=r"claims\.json: expected JSON"):
        load_claims(path)
    with pytest.raises(ValueError, match="expected the fields of Claim"):
        make_claim({"id": "a"})


def test_the_committed_registry_can_be_read() -> None:
    for entry in load_claims():
        assert entry.holds, entry.text()
        assert entry.chapter


def test_a_chapter_is_run_again_and_compared(tmp_path: Path) -> None:
    book = _notebook(
        "from tftutor.notebook import claim",
        "claim('holds', 'it holds', 1, '<=', 2)",
        "1 / 0",
        "claim('fails', 'it fails', 3, '<=', 2)",
        "display('after')\nclaim('new', 'not committed', 1, '==', 1)",
    )
    path = tmp_path / "03_x.ipynb"
    nbformat.write(book, path)
    committed = [_claim(id="holds"), _claim(id="fails", value=2), _claim(id="gone")]
    rows = {row.id: row for row in recheck(path, committed, timeout=60)}
    assert {name: row.holds for name, row in rows.items()} == {
        "holds": True,
        "fails": False,
        "gone": False,
        "new": True,
    }
    assert rows["fails"].committed.value == 2
    assert rows["fails"].yours.value == 3
    assert rows["gone"].yours is None
    assert rows["new"].committed is None
    assert rows["holds"].yours.chapter == "03_x"


def test_claims_are_read_from_stored_outputs(tmp_path: Path) -> None:
    book = _notebook("claim(...)")
    fields = _claim().to_dict()
    del fields["chapter"]
    book.cells[0].outputs = [
        nbformat.v4.new_output("stream", text="x"),
        nbformat.v4.new_output("display_data", data={}, metadata={"tftutor": {"claim": fields}}),
    ]
    path = tmp_path / "03_x.ipynb"
    nbformat.write(book, path)
    assert claims_in(path) == [_claim()]


def test_the_list_of_claims_needs_no_torch() -> None:
    code = "import sys, tftutor.claims; assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)
    assert claims.REGISTRY.name == "claims.json"
