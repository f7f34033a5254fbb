"""Claims of the course: what was measured, what it has to satisfy, and how to measure it again.

A notebook makes a claim with `tftutor.notebook.claim`; the collected claims are committed in `claims.json`. This module
knows neither torch nor Jupyter, so the book's list of claims can be built without them.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import json
import linecache
import operator
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

Op = Literal["<=", "<", ">=", ">", "==", "in"]
Value = float | int | bool | str
LOG_VARIABLE = "TFTUTOR_CLAIMS_LOG"  # path of a file to which every claim is appended, one JSON object a line
REGISTRY = Path(__file__).with_name("claims.json")

_COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence of the course with the measurement behind it."""

    id: str
    sentence: str
    value: Value
    op: Op
    bound: Any  # a number; (low, high) for "in"; anything comparable for "=="
    source: str | None = None  # key in the bibliography
    unit: str = ""
    chapter: str = ""  # file name of the notebook, without suffix

    @property
    def holds(self) -> bool:
        """Whether the value satisfies the bound; NaN satisfies nothing."""
        if self.op == "in":
            low, high = self.bound
            return low <= self.value <= high
        return bool(_COMPARE[self.op](self.value, self.bound))

    @property
    def is_rounding(self) -> bool:
        """Whether the claim says that an error is as good as zero: its digits then differ between processors."""
        return self.op in ("<=", "<") and isinstance(self.bound, float) and 0 < self.bound <= 1e-3

    def text(self) -> str:
        """One line: the sentence, the value, the bound."""
        unit = f" {self.unit}" if self.unit else ""
        if self.op == "in":
            return (
                f"{self.sentence}: {_number(self.value)}{unit} in [{_number(self.bound[0])}, {_number(self.bound[1])}]"
            )
        if self.is_rounding and self.holds:
            return f"{self.sentence}: {self.op} {_number(self.bound)}{unit}"
        if self.op == "==" and self.holds:
            return f"{self.sentence}: {_number(self.value)}{unit}"
        return f"{self.sentence}: {_number(self.value)}{unit} {self.op} {_number(self.bound)}{unit}"

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON knows them."""
        return dataclasses.asdict(self)


def _number(x: Any) -> str:
    return f"{x:.3g}" if isinstance(x, float) else str(x)


def make_claim(fields: dict[str, Any]) -> Claim:
    """The claim that `to_dict` described; JSON's lists become pairs again."""
    known = {field.name for field in dataclasses.fields(Claim)}
    data = {name: value for name, value in fields.items() if name in known}
    if isinstance(data.get("bound"), list):
        data["bound"] = tuple(data["bound"])
    try:
        return Claim(**data)
    except TypeError as error:
        raise ValueError(f"claim: expected the fields of Claim, got {sorted(fields)} ({error})") from None


def load_claims(path: Path = REGISTRY) -> list[Claim]:
    """The committed claims, in the order of the chapters; none if there is no registry yet."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ValueError(f"{path.name}: expected JSON, got something else ({error})") from None
    entries = data["claims"] if isinstance(data, dict) else data
    return [make_claim(entry) for entry in entries]


def claims_in(notebook: Path) -> list[Claim]:
    """The claims recorded in the outputs of a notebook, in order."""
    found = []
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            fields = output.get("metadata", {}).get("tftutor", {}).get("claim")
            if fields is not None:
                found.append(make_claim({**fields, "chapter": notebook.stem}))
    return found


class Recheck(NamedTuple):
    """A committed claim beside what this machine measures."""

    id: str
    committed: Claim | None  # None: the notebook makes a claim that is not committed
    yours: Claim | None  # None: the notebook did not get that far

    @property
    def holds(self) -> bool:
        """Whether the claim holds here."""
        return self.yours is not None and self.yours.holds


def recheck(notebook: Path, committed: Iterable[Claim] | None = None, *, timeout: float = 600.0) -> list[Recheck]:
    """Run the code of a chapter in a fresh process and compare its claims with the committed ones.

    Args:
        notebook: the .ipynb file; it is only read.
        committed: claims to compare with; None: those of this chapter in the registry.
        timeout: seconds after which the run ends; claims not reached by then have no value of yours.
    """
    if committed is None:
        committed = [claim for claim in load_claims() if claim.chapter == notebook.stem]
    yours = _run(notebook.resolve(), timeout)
    before = {claim.id: claim for claim in committed}
    return [Recheck(name, before.get(name), yours.get(name)) for name in {**before, **yours}]


def _run(notebook: Path, timeout: float) -> dict[str, Claim]:
    package_parent = str(Path(__file__).resolve().parent.parent)
    paths = [package_parent, os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "claims.jsonl"
        environment = os.environ | {
            LOG_VARIABLE: str(log),
            "TFTUTOR_QUIET": "1",
            "MPLBACKEND": "Agg",
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        }
        code = "import sys; from tftutor.claims import run_cells; run_cells(sys.argv[1])"
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [sys.executable, "-c", code, str(notebook)],
                cwd=notebook.parent,
                env=environment,
                timeout=timeout,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
    claims = [make_claim({**json.loads(line), "chapter": notebook.stem}) for line in lines]
    return {claim.id: claim for claim in claims}


def run_cells(path: str) -> None:
    """Run the code cells of a notebook one after the other, going on after errors: a failed claim is a result."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.suppress(ImportError):
        from IPython.display import display

        builtins.display = display  # type: ignore[attr-defined]
    cells = [cell for cell in json.loads(Path(path).read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        source, name = "".join(cell["source"]), f"<cell {number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        with contextlib.suppress(Exception):  # later cells may still hold
            exec(compile(source, name, "exec"), namespace)  # noqa: S102 - running notebooks is its purpose


def log_claim(claim: Claim) -> None:
    """Append the claim to the file that $TFTUTOR_CLAIMS_LOG names, if it does."""
    if path := os.environ.get(LOG_VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(claim.to_dict()) + "\n")
