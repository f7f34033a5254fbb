"""What every chapter's notebook needs: a reproducible start, claims, numbers for the prose, a progress bar.

All of it also works in a plain Python script, where displays become lines of text.
"""

from __future__ import annotations

import math
import os
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch

from tftutor import plots
from tftutor.claims import Claim, Op, Value, log_claim

Item = TypeVar("Item")

_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_OPS = ("<=", "<", ">=", ">", "==", "in")
_WIDTH = 30  # characters of a progress bar


class ClaimError(AssertionError):
    """A claim that does not hold on this machine."""


def setup(seed: int = 0) -> None:
    """Make a notebook reproducible: seeds, one thread, deterministic algorithms, short printouts, figure style."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that others use
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.set_printoptions(precision=4, sci_mode=False, linewidth=88)
    np.set_printoptions(precision=4, suppress=True, linewidth=88)
    plots.use_style()


def claim(
    id: str,
    sentence: str,
    value: Any,
    op: Op,
    bound: Any,
    *,
    source: str | None = None,
    unit: str = "",
) -> None:
    """Assert that `value op bound`, show one quiet line, and record the claim in the cell's output.

    Args:
        id: lower-case words joined by hyphens, unique in the course.
        sentence: what is claimed, in words, without a full stop.
        value: what was measured: a number (or a tensor that holds one), True or False, a string.
        op: how it compares to `bound`: "<=", "<", ">=", ">", "==", or "in".
        bound: a number; for "in" a pair (low, high), both included.
        source: key in the bibliography.
        unit: of value and bound, such as "nats" or "%".

    Raises:
        ClaimError: when the claim does not hold; it names the sentence, the value and the bound.

    Example:
        >>> claim("softmax-shift", "softmax ignores a common shift", 0.0, "<=", 1e-6)
        ✓ softmax ignores a common shift: <= 1e-06
    """
    _expect_name("id", id)
    if op not in _OPS:
        raise ValueError(f"op: expected one of {', '.join(_OPS)}, got {op!r}")
    if op == "in":
        low, high = bound
        bound = (_plain("bound", low), _plain("bound", high))
    else:
        bound = _plain("bound", bound)
    made = Claim(id=id, sentence=sentence, value=_plain("value", value), op=op, bound=bound, source=source, unit=unit)
    log_claim(made)
    if not made.holds or (isinstance(made.value, float) and not math.isfinite(made.value)):
        raise ClaimError(f"{id}: {made.text()} does not hold")
    fields = made.to_dict() | {"value": _rounded(made.value)}
    del fields["chapter"]  # the notebook knows its own name
    _show(f"✓ {made.text()}", {"claim": fields})


def record(name: str, value: Any) -> None:
    """Keep a number (or a word) for the prose, where `0.39<!--=name:.2f-->` quotes it; the cell shows nothing."""
    _expect_name("name", name)
    _show("", {"record": {"name": name, "value": _rounded(_plain("value", value))}})


def progress(iterable: Iterable[Item], *, total: int | None = None, label: str = "") -> Iterator[Item]:
    """Yield from `iterable` with a bar: a line in a terminal, a passing display in a notebook.

    Nothing is shown under TFTUTOR_QUIET=1, which tests and stored notebooks use, nor where there is no terminal.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    if os.environ.get("TFTUTOR_QUIET") == "1":
        yield from iterable
    elif _in_kernel():
        yield from _kernel_bar(iterable, total, label)
    else:
        from tqdm import tqdm

        yield from tqdm(iterable, total=total, desc=label or None, disable=None, leave=False, file=sys.stderr)


def _kernel_bar(iterable: Iterable[Item], total: int | None, label: str) -> Iterator[Item]:
    from IPython.display import display

    handle, shown = None, -math.inf
    try:
        for count, item in enumerate(iterable, start=1):
            yield item
            now = time.monotonic()
            if now - shown > 0.5:
                shown, line = now, _bar(count, total, label)
                if handle is None:
                    handle = display({"text/plain": line}, raw=True, display_id=True)
                else:
                    handle.update({"text/plain": line}, raw=True)
    finally:
        if handle is not None:
            handle.update({}, raw=True)


def _bar(count: int, total: int | None, label: str) -> str:
    if not total:
        return f"{label} {count}".strip()
    filled = min(_WIDTH, _WIDTH * count // total)
    return f"{label} |{'█' * filled}{' ' * (_WIDTH - filled)}| {count}/{total}".strip()


def _in_kernel() -> bool:
    """Whether a Jupyter kernel runs this code; a terminal's IPython is none."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _show(text: str, metadata: dict[str, Any]) -> None:
    if _in_kernel():
        from IPython.display import display

        data = {"text/plain": text} if text else {}  # no data: the output is there, and shows nothing
        display(data, raw=True, metadata={"tftutor": metadata})
    elif text:
        sys.stdout.write(f"{text}\n")


def _expect_name(argument: str, name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{argument}: expected lower-case words joined by hyphens, got {name!r}")


def _rounded(value: Value) -> Value:
    """Six significant digits: later ones are noise, and would change the file on every machine."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _plain(argument: str, value: Any) -> Value:
    """A value that JSON can hold, from a Python, numpy or torch scalar."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        if math.prod(value.shape) != 1:
            raise ValueError(f"{argument}: expected one number, got a shape of {tuple(value.shape)}")
        value = value.item()
    if not isinstance(value, bool | int | float | str):
        raise TypeError(f"{argument}: expected a number, a bool or a string, got {type(value).__name__}")
    return value
