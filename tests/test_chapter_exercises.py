"""Exercises in the notebooks: the cell is the registered stub, its check is not attempted, the solution passes."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tftutor.exercises import Exercise, find_exercise
from tftutor.exercises.engine import examine
from tftutor.exercises.registry import CHAPTERS, chapter_exercises

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))
CHECK = re.compile(r"""^check\(\s*["']([^"']+)["']\s*,\s*(\w+)\s*\)""", re.MULTILINE)
SOLUTION = re.compile(r"^(`{3,}|:{3,})\{solution\}\s+(\S+)\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```python\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)


def cells(path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """(type, source, cell) of each cell."""
    return [(cell["cell_type"], "".join(cell["source"]), cell) for cell in json.loads(path.read_text("utf-8"))["cells"]]


def checks_in(path: Path) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Exercise id -> (name handed in, source of the cell, cell)."""
    return {
        found[1]: (found[2], source, cell)
        for kind, source, cell in cells(path)
        if kind == "code"
        for found in CHECK.finditer(source)
    }


def solutions_in(path: Path) -> dict[str, str]:
    """Label of an exercise -> the code of its folded solution."""
    return {
        label: "\n".join(CODE.findall(body))
        for kind, source, _ in cells(path)
        if kind == "markdown"
        for _, label, body in SOLUTION.findall(source)
    }


def imports_of(path: Path) -> str:
    """The import statements of a notebook, which a solution may rely on."""
    lines = []
    for kind, source, _ in cells(path):
        if kind == "code":
            nodes = (node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom))
            lines += [ast.unparse(node) for node in nodes]
    return "\n".join(lines)


def problems(path: Path, exercise: Exercise) -> list[str]:
    """What is wrong with the way in which a notebook poses `exercise`."""
    if exercise.id not in checks_in(path):
        return [f"no cell calls check({exercise.id!r}, {exercise.answer})"]
    name, source, cell = checks_in(path)[exercise.id]
    found = []
    if name != exercise.answer:
        found.append(f"hands in {name}, not {exercise.answer}")
    stub = ast.dump(ast.parse(exercise.stub()).body[0])
    if stub not in [ast.dump(node) for node in ast.parse(source).body]:
        found.append(f"the cell does not hold the stub:\n{exercise.stub()}")
    shown = "".join("".join(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"])
    if cell["outputs"] and "not attempted yet" not in shown:
        found.append(f"the stored output says: {shown}")
    if not any(f":label: {exercise.label}\n" in text for kind, text, _ in cells(path) if kind == "markdown"):
        found.append(f"no {{exercise}} is labelled {exercise.label}")
    code = solutions_in(path).get(exercise.label)
    if not code:
        return [*found, f"no {{solution}} {exercise.label} with a python block"]
    namespace: dict[str, Any] = {}
    exec(f"{imports_of(path)}\n{code}", namespace)  # noqa: S102 - as readers would run it
    report = examine(exercise, namespace.get(exercise.answer))
    return found if report else [*found, f"the solution is not accepted: {report!r}"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_poses_its_exercises_as_registered(path: Path) -> None:
    chapters = {exercise_id.partition("/")[0] for exercise_id in checks_in(path)}
    for chapter in chapters:
        for exercise in chapter_exercises(chapter):
            assert problems(path, exercise) == [], exercise.id
    assert chapters <= set(CHAPTERS)


def test_no_exercise_is_posed_twice() -> None:
    posed = [exercise_id for path in NOTEBOOKS for exercise_id in checks_in(path)]
    assert len(set(posed)) == len(posed)


def _write(path: Path, *cells: tuple[str, str]) -> Path:
    book = {"cells": [{"cell_type": kind, "source": source, "outputs": []} for kind, source in cells]}
    path.write_text(json.dumps(book), "utf-8")
    return path


def test_the_test_of_chapters_can_fail(tmp_path: Path) -> None:
    exercise = find_exercise("qkv/attention")
    task = "```{exercise} Attention\n:label: ex-qkv-attention\n\nWrite it.\n```"
    call = '\ncheck("qkv/attention", attention)'
    solution = (
        "````{solution} ex-qkv-attention\n:class: dropdown\n\n```python\n"
        "def attention(q, k, v):\n    return torch.softmax(q @ k.T / q.shape[-1] ** 0.5, dim=-1) @ v\n```\n````\n"
    )
    imports = ("code", "import torch\nfrom tftutor.exercises import check")
    good = (imports, ("markdown", task), ("code", exercise.stub() + "\n" + call), ("markdown", solution))
    path = tmp_path / "03_x.ipynb"
    assert problems(_write(path, *good), exercise) == []
    for broken, message in (
        (good[:2], "no cell calls check"),
        ((*good[:2], ("code", "def attention(q):\n    ...\n" + call), good[3]), "does not hold the stub"),
        ((imports, good[2], good[3]), "is labelled"),
        (good[:3], "with a python block"),
        ((*good[:3], ("markdown", solution.replace("@ v", "@ k"))), "is not accepted"),
        ((*good[:3], ("markdown", solution.replace("dim=-1", "dim=0"))), "is not accepted"),
    ):
        assert any(message in problem for problem in problems(_write(path, *broken), exercise)), message
