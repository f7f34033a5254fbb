"""Which exercises a reader has tried and solved: one small file each, so that two notebooks never collide."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from tftutor.exercises.registry import CHAPTERS, all_exercises
from tftutor.serialization import write_json


class Row(NamedTuple):
    """One line of `tftutor exercises`."""

    id: str
    title: str
    status: str  # "solved", "tried" or "open"
    attempts: int


def home() -> Path:
    """Where the reader's own data is kept: $TFTUTOR_HOME, or the usual folder of the system."""
    if chosen := os.environ.get("TFTUTOR_HOME"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "tftutor"


def _folder() -> Path:
    return home() / "progress"


def _file(exercise_id: str) -> Path:
    return _folder() / (exercise_id.replace("/", "--") + ".json")


def record(exercise_id: str, *, solved: bool) -> None:
    """Count an attempt. A disk that cannot be written never disturbs a check."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: no home directory
        attempts, before = _read(exercise_id) or (0, False)
        entry = {"version": 1, "exercise": exercise_id, "attempts": attempts + 1, "solved": solved or before}
        write_json(_file(exercise_id), entry)


def _read(exercise_id: str) -> tuple[int, bool] | None:
    """(attempts, solved), or None. A file that makes no sense is moved aside, never deleted."""
    path = _file(exercise_id)
    try:
        entry = json.loads(path.read_text("utf-8"))
        attempts, solved = entry["attempts"], entry["solved"]
        if type(attempts) is int and attempts >= 0 and type(solved) is bool:
            return attempts, solved
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        pass
    path.replace(path.with_suffix(".corrupt"))
    return None


def exercise_table() -> list[Row]:
    """Every exercise with the reader's progress, in the order of the chapters.

    Warns, in one line, about progress that could not be read; it is kept beside the rest as *.corrupt.
    """
    rows = []
    for exercise in all_exercises():
        entry = None
        with contextlib.suppress(OSError, RuntimeError):
            entry = _read(exercise.id)
        attempts, solved = entry or (0, False)
        status = "solved" if solved else "tried" if attempts else "open"
        rows.append(Row(exercise.id, exercise.title, status, attempts))
    broken = sorted(_folder().glob("*.corrupt"))
    if broken:
        names = ", ".join(path.name for path in broken)
        warnings.warn(f"progress: {names} in {_folder()} could not be read and count as not tried", stacklevel=2)
    return rows


def reset_progress(chapter: str | None = None) -> int:
    """Forget the progress of one chapter, or of all; returns how many files are gone."""
    if chapter is not None and chapter not in CHAPTERS:
        raise ValueError(f"chapter: expected one of {', '.join(CHAPTERS)}, got {chapter!r}")
    gone = 0
    for path in sorted(_folder().glob("*")):
        if path.suffix in (".json", ".corrupt") and (chapter is None or path.name.startswith(f"{chapter}--")):
            path.unlink(missing_ok=True)
            gone += 1
    return gone
