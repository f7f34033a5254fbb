"""What a check has to say, in a notebook and in a terminal."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Literal

_SIGNS = {"right": "✓", "wrong": "✗", "not attempted": "○"}
_COLOURS = {"right": "#117733", "wrong": "#cc3311", "not attempted": "#777777"}  # on a thin bar: any background


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of a check. True when the answer is right."""

    id: str
    status: Literal["not attempted", "wrong", "right"]
    problem: str = ""  # which property failed, or what else is wrong: "returns None"
    where: str = ""  # the smallest input on which it failed
    expected: str = ""
    got: str = ""
    hint: str = ""
    notice: str = ""

    def __bool__(self) -> bool:
        return self.status == "right"

    def lines(self) -> list[tuple[str, str]]:
        """(label, text) pairs, the headline first."""
        headline = {
            "right": f"right. {self.notice}",
            "wrong": f"not yet. Your answer {self.problem}",
            "not attempted": "not attempted yet",
        }[self.status]
        rows = [("", f"{_SIGNS[self.status]} {self.id}: {headline}".rstrip())]
        if self.status == "wrong":
            rows += [("input", self.where), ("expected", self.expected), ("got", self.got), ("hint", self.hint)]
        return [(label, text) for label, text in rows if text]

    def __repr__(self) -> str:
        return " | ".join(f"{label}: {text}" if label else text for label, text in self.lines())

    def __str__(self) -> str:
        return "\n".join(f"  {label}: {text}" if label else text for label, text in self.lines())

    def _repr_html_(self) -> str:
        rows = [
            f"<em>{label}</em>: {html.escape(text)}" if label else f"<strong>{html.escape(text)}</strong>"
            for label, text in self.lines()
        ]
        style = f"border-left: 4px solid {_COLOURS[self.status]}; padding: 0.2em 0.8em; margin: 0.3em 0"
        return f'<div class="tftutor-check" style="{style}">{"<br>".join(rows)}</div>'
