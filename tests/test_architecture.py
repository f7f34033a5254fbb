"""The package keeps its shape: imports point one way, modules are short, nothing prints, everything is documented."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tftutor"

# A module may import from those before it. Modules that are planned are in their places already.
ORDER = [
    "checks", "packages", "machine", "meter", "config", "masks", "positions", "rope_scaling", "state", "layers",
    "norms", "scores", "attention", "efficient", "retention", "ssm", "experts", "blocks", "serialization",
    "results", "models", "decoding", "serving", "metrics", "data", "tasks", "spelling", "prompting", "training",
    "lengths", "observe", "heads", "neurons", "budget", "properties", "faults", "plots", "claims", "notebook",
    "exercises", "cli",
]  # fmt: skip

MAX_LINES = 310
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
EXERCISE_CHAPTERS = {path.parent.name for path in (PACKAGE / "exercises").glob("*/__init__.py")}

every_module = pytest.mark.parametrize("name", MODULES)


def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text("utf8"))


def area(module: str) -> str:
    """The part of the package to which a module belongs."""
    return module.split(".")[1] if "." in module else ""


def imported(module: ast.AST) -> set[str]:
    """Modules of the package that are imported, anywhere in the code."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module == "tftutor":
            found |= {f"tftutor.{alias.name}" for alias in node.names if f"tftutor.{alias.name}" in MODULES}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tftutor."):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("tftutor.")}
    return found


def upward(name: str, module: ast.AST) -> list[str]:
    """Imports that point against the order."""
    mine = area(name)
    return sorted(other for other in imported(module) if ORDER.index(area(other)) > ORDER.index(mine))


def public(module: ast.Module) -> list[ast.AST]:
    """Functions and classes that a module offers."""
    kinds = ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    return [node for node in module.body if isinstance(node, kinds) and not node.name.startswith("_")]


@every_module
def test_the_module_has_a_place_in_the_order(name):
    assert name == "tftutor" or area(name) in ORDER


@every_module
def test_imports_point_to_modules_above(name):
    if name != "tftutor":
        assert upward(name, tree(name)) == []


@pytest.mark.parametrize(
    "line", ["import tftutor.models", "from tftutor.models import GPT", "from tftutor import models",
             "def f():\n    from tftutor.models.gpt import GPT"]
)  # fmt: skip
def test_the_import_check_can_fail(line):
    assert upward("tftutor.masks", ast.parse(line))
    assert not upward("tftutor.training.loop", ast.parse(line))


@every_module
def test_modules_are_short(name):
    assert len(MODULES[name].read_text("utf8").splitlines()) <= MAX_LINES


@every_module
def test_the_package_neither_prints_nor_asserts(name):
    for node in ast.walk(tree(name)):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}"
        assert not (isinstance(node, ast.Name) and node.id == "print"), f"line {node.lineno}"


@every_module
def test_annotations_are_not_evaluated(name):
    # The book reads the package without torch, so nothing of torch may be computed with when a module is imported.
    module = tree(name)
    if any(isinstance(node, ast.FunctionDef | ast.AnnAssign) for node in ast.walk(module)):
        assert "from __future__ import annotations" in MODULES[name].read_text("utf8")
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            assert not any("no_grad" in ast.unparse(mark) for mark in node.decorator_list), f"line {node.lineno}"


@every_module
def test_only_plots_knows_matplotlib(name):
    modules = {alias.name for node in ast.walk(tree(name)) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree(name)) if isinstance(node, ast.ImportFrom)}
    if area(name) != "plots":
        assert not any(module.startswith("matplotlib") for module in modules)
    assert not any(module.split(".")[0] == "transformers" for module in modules)


@every_module
def test_public_names_are_documented(name):
    module = tree(name)
    assert ast.get_docstring(module)
    for node in public(module):
        assert ast.get_docstring(node), f"{node.name}, line {node.lineno}"


@every_module
def test_the_module_is_in_the_api_pages(name):
    if name.startswith("tftutor.exercises.") and name.split(".")[2] in EXERCISE_CHAPTERS:
        return  # these hold solutions, which the pages do not show
    pages = "\n".join(path.read_text("utf8") for path in (ROOT / "chapters" / "api").glob("*.md"))
    assert re.search(rf"^\.\. automodule:: {re.escape(name)}$", pages, flags=re.M)


def test_the_api_pages_name_only_modules_that_exist():
    pages = "\n".join(path.read_text("utf8") for path in (ROOT / "chapters" / "api").glob("*.md"))
    named = re.findall(r"^\.\. automodule:: (\S+)$", pages, flags=re.M)
    assert sorted(named) == sorted(set(named))
    assert set(named) <= set(MODULES)
