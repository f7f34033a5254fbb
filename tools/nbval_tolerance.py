"""Let nbval accept decimals that differ in their last digits, as they do from one processor to another.

Stored and new outputs must be equal but for decimals, and those must agree to 1e-4 relative plus one unit of the stored
number's last printed digit. Whole numbers, words and the number of outputs stay exact. Values recorded for the prose
(see `notebooks.py`) are compared in the form in which the prose shows them.
"""

from __future__ import annotations

import copy
import re
from collections import defaultdict

from notebooks import MARKER

RELATIVE = 1e-4
DECIMAL = re.compile(
    r"(?<![\w.])[-+]?(?:\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)(?!\.?\d)"  # not a piece of a version or a name
)


def agree(stored: str, new: str) -> bool:
    """Whether two printed decimals are the same but for the last digits."""
    mantissa, _, exponent = stored.lower().partition("e")
    digits = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - digits)
    # A hair more than one unit: 0.4 - 0.3 is 0.10000000000000003.
    return abs(float(stored) - float(new)) <= RELATIVE * abs(float(stored)) + unit * (1 + 1e-9)


def forgive_text(stored: str, new: str) -> str:
    """The new text with every decimal that agrees with its stored counterpart replaced by that."""
    decimals = iter(DECIMAL.findall(stored))
    if len(DECIMAL.findall(stored)) != len(DECIMAL.findall(new)):
        return new

    def nearest(match: re.Match[str]) -> str:
        before = next(decimals)
        return before if agree(before, match[0]) else match[0]

    return DECIMAL.sub(nearest, new)


def forgive(stored: list, new: list) -> list:
    """The new outputs of a cell with decimals that agree with the stored outputs replaced by those."""
    new = copy.deepcopy(new)
    kinds = _texts(stored)
    for kind, places in _texts(new).items():
        if len(places) == len(kinds[kind]):
            for (holder, key), (before, _) in zip(places, kinds[kind], strict=True):
                holder[key] = forgive_text(before[key], holder[key])
    return new


def _texts(outputs: list) -> dict[str, list]:
    """Where the texts of outputs are, by kind, as (holder, key)."""
    places = defaultdict(list)
    for output in outputs:
        if output["output_type"] == "stream":
            places[output["name"]].append((output, "text"))
        for key in ("evalue", "recorded"):
            if key in output:
                places[key].append((output, key))
        for mime, value in output.get("data", {}).items():
            if isinstance(value, str) and not mime.startswith("image/"):
                places[mime].append((output["data"], mime))
    return places


def with_records(outputs: list, prose: str) -> list:
    """Outputs with the recorded values in the form in which the prose shows them, which nbval then compares."""
    outputs = copy.deepcopy(outputs)
    for output in outputs:
        told = output.get("metadata", {}).get("tftutor", {})
        name, value = told.get("record", {}).get("name"), told.get("record", {}).get("value")
        shown = sorted({format(value, m["format"] or "") for m in MARKER.finditer(prose) if m["name"] == name})
        if shown:
            output["recorded"] = f"{name}: {' '.join(shown)}"
    return outputs


def install() -> None:
    """Make nbval compare with tolerance."""
    from nbval.plugin import IPyNbCell

    exact = IPyNbCell.compare_outputs
    if getattr(exact, "is_tolerant", False):
        return

    def compare_outputs(self, test, ref, skip_compare=None):
        prose = "\n".join(cell.source for cell in self.parent.nb.cells if cell.cell_type == "markdown")
        ref, test = with_records(ref, prose), with_records(test, prose)
        return exact(self, forgive(ref, test), ref, skip_compare)

    compare_outputs.is_tolerant = True
    IPyNbCell.compare_outputs = compare_outputs
