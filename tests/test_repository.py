"""The repository as a whole: packaging, pins, commands, and nothing in it that belongs to one machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
TEXT = {".bib", ".cfg", ".css", ".html", ".ipynb", ".js", ".json", ".md", ".py", ".svg", ".toml", ".txt", ".yml", ""}


def requirements(path: str) -> list[str]:
    return [line for line in (ROOT / path).read_text("utf8").splitlines() if line and not line.startswith("#")]


def committed() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists()]


def normal(requirement: str) -> str:
    """A distribution's name, in the one spelling that all have in common."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_what_the_book_needs_is_listed_once():
    assert requirements("requirements-book.txt") == PROJECT["optional-dependencies"]["book"]
    assert not any(normal(line) == "torch" for line in requirements("requirements-book.txt"))


def test_every_dependency_is_pinned():
    pins = {normal(line): line for line in requirements("constraints.txt")}
    assert all(re.fullmatch(r"[a-z0-9._-]+==[A-Za-z0-9.]+", line) for line in pins.values())
    assert pins["torch"] == "torch==2.13.0"
    wanted = sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])
    assert {normal(line) for line in wanted} - {"tftutor"} <= set(pins)


def test_data_packages_are_pinned_and_stay_out_of_the_dependencies():
    data = requirements("requirements-data.txt")
    assert all("==" in line for line in data)
    assert not {normal(line) for line in data} & {normal(line) for line in requirements("constraints.txt")}


def test_nothing_points_to_one_machine():
    # Paths of this checkout, of this interpreter and of temporary files, and package indexes other than PyTorch's own.
    places = {str(place) for place in (ROOT, Path(sys.prefix), Path.home()) if len(place.parts) > 2}
    places |= {str(Path(sys.prefix).parent)} if len(Path(sys.prefix).parent.parts) > 2 else set()
    pattern = re.compile(
        "|".join(rf"{re.escape(place)}\b" for place in sorted(places))
        + r"|(?<![\w.])/(?:home|Users)/\w+|(?<![\w.])/tmp/\w+|index-url[ =](?!https://download\.pytorch\.org/whl/cpu)"
    )
    found = {}
    for path in committed():
        if path.suffix in TEXT and path != Path(__file__).resolve():
            text = re.sub(r'"image/png": "[^"]*"', "", path.read_text("utf8"))
            hits = {match[0] for match in pattern.finditer(text)}
            if path.parent.name == "tests":
                hits = {hit for hit in hits if not hit.startswith("/tmp/")}
            if hits:
                found[path.relative_to(ROOT)] = hits
    assert found == {}


def test_the_work_tree_is_small():
    sizes = {path: path.stat().st_size for path in committed()}
    assert sum(sizes.values()) <= 100e6
    for path in sizes:
        assert path.suffix != ".ipynb" or sizes[path] <= 1e6, path


def test_every_picture_has_the_script_that_draws_it():
    for path in (ROOT / "images").glob("*.svg"):
        assert path.with_suffix(".py").exists(), path.name


def test_a_wheel_holds_checkpoints_and_claims(tmp_path):
    tree = tmp_path / "tree"
    keep = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tftutor", tree / "tftutor", ignore=keep)
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy(ROOT / name, tree)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, tree]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path for path in (ROOT / "tftutor").rglob("*") if path.suffix in {".py", ".json", ".safetensors"}}
    assert {path.relative_to(ROOT).as_posix() for path in wanted} <= held
    assert not any(name.startswith(("tests", "tools", "chapters")) for name in held)


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@needs_make
def test_make_alone_lists_the_targets():
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^  make ([\w-]+) +\S", shown, flags=re.M)
    assert {"book", "test", "lab", "notebooks", "test-portable", "lock", "clean", "help"} <= set(targets)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf8"), flags=re.M)[1].split()
    assert sorted(phony) == sorted(targets)


@needs_make
@pytest.mark.parametrize("target", ["book", "test", "lab", "notebooks", "test-portable", "lock", "clean"])
def test_targets_can_be_planned(target):
    with tempfile.TemporaryDirectory() as empty:  # as on a machine where nothing has been installed
        command = ["make", "-n", f"VENV={empty}/venv", target]
        planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert planned.returncode == 0, planned.stderr


@needs_make
def test_an_old_python_is_refused_in_words(tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    command = ["make", f"PYTHON={old}", f"VENV={tmp_path}/venv", "book"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Python 3.11 or later is needed" in done.stdout


def test_the_check_script_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert (ROOT / ".ci" / "run").read_text("utf8").startswith("#!/usr/bin/env bash\n")
