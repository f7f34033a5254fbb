"""Measurements that take longer than a reader should wait: made by a script of `benchmarks/`, kept beside this file.

A result is one JSON file. It names the script that made it, the settings, the processor and the time it took, so that a
chapter can plot the rows, measure a few of them again, and say where they come from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tftutor import __version__
from tftutor.machine import processor_name
from tftutor.serialization import write_json

FOLDER = Path(__file__).parent


def load_results(name: str, *, folder: Path = FOLDER) -> dict[str, Any]:
    """The measurement `name`: its `rows` (a list of dicts), `settings`, `script`, `processor`, `minutes`, `versions`.

    Raises:
        ValueError: when there is no such measurement; the message lists those that there are.
    """
    path = Path(folder) / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in Path(folder).glob("*.json"))) or "none"
        raise ValueError(f"name: expected one of {known}, got {name!r}")
    return json.loads(path.read_text(encoding="utf-8"))


def write_results(
    name: str, rows: list[dict[str, Any]], *, script: str, settings: dict[str, Any], minutes: float,
    folder: Path = FOLDER,
) -> Path:  # fmt: skip
    """Keep a measurement, atomically.

    Args:
        name: of the file, without ending.
        rows: one dict for each point measured; numbers already rounded to what the measurement can tell.
        script: path in the repository of the program that made them.
        settings: everything that decides the outcome, seeds included.
        minutes: processor time it took.
        folder: where to.
    """
    about = {
        "name": name,
        "script": script,
        "settings": settings,
        "processor": processor_name(torch.device("cpu")),
        "minutes": round(minutes, 1),
        "versions": {"tftutor": __version__, "torch": torch.__version__},
        "rows": rows,
    }
    path = Path(folder) / f"{name}.json"
    write_json(path, about)
    return path
