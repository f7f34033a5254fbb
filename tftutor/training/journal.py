"""What a training tells: a progress bar for people, and a log of one JSON object a line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tqdm import tqdm

from tftutor.serialization import atomic_write


def progress_bar(total: int, *, unit: str, done: int = 0, show: bool = True, title: str | None = None) -> tqdm:
    """A bar on stderr, rarely redrawn where nobody watches; none when not to `show` or under TFTUTOR_QUIET=1."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=done,
        desc=title,
        unit=unit,
        file=sys.stderr,
        disable=not show or os.environ.get("TFTUTOR_QUIET") == "1",
        mininterval=0.5 if terminal else 30.0,  # seconds
        dynamic_ncols=terminal,
    )


class Journal:
    """The bar on stderr and the log in a file; both are there in the main process only.

    Args:
        path: the log. Lines of steps after `done` are dropped: they were lost when the training was killed.
        done: steps made before.
        total: steps of the whole training.
        write: whether to write the log.
        show: whether to show a bar; the environment variable TFTUTOR_QUIET=1 hides it in any case.
    """

    def __init__(self, path: Path, *, done: int, total: int, write: bool, show: bool) -> None:
        self.path = path
        self.write = write
        self.bar = progress_bar(total, unit="step", done=done, show=show)
        if write:
            _drop_after(path, done)

    def step(self) -> None:
        """Count one update."""
        self.bar.update()

    def loss(self, step: int, epoch: int, loss: float, **values: float) -> None:
        """Record the loss of the last steps."""
        self.bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self._append({"step": step, "epoch": epoch, "loss": round(loss, 5), **values})

    def measures(self, step: int, epoch: int, measures: dict[str, float]) -> None:
        """Record measures on dev."""
        self._append({"step": step, "epoch": epoch, **measures})
        if not self.bar.disable:
            named = (f"{name} {value:.4f}" for name, value in measures.items())
            self.bar.write(f"step {step}  " + "  ".join(named), file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()

    def _append(self, values: dict[str, float]) -> None:
        if self.write:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")


def _drop_after(path: Path, step: int) -> None:
    """Keep the whole lines up to `step`."""
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    atomic_write(path, lambda file: file.write("".join(kept).encode()))
