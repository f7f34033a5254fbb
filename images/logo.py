"""Draw the logo: the attention of five tokens that may look back but not ahead. Run: python images/logo.py."""

from __future__ import annotations

import math
from pathlib import Path

TOKENS = 5
CELL, GAP = 17, 3
DARK, LIGHT = (29, 78, 216), (191, 219, 254)  # weight 1 and weight 0
FUTURE = "#94a3b8"  # readable on white and on black


def weights(row: int) -> list[float]:
    """Made-up attention of one token over itself and those before it."""
    scores = [math.cos(2.1 * row + 1.7 * column) + 0.5 * (row == column) for column in range(row + 1)]
    top = max(math.exp(2 * score) for score in scores)
    return [math.exp(2 * score) / top for score in scores]


def cell(row: int, column: int, weight: float | None) -> str:
    """A square of the triangle, or a dot where no token may look."""
    x, y = column * (CELL + GAP) + GAP, row * (CELL + GAP) + GAP
    if weight is None:
        return f'<circle cx="{x + CELL / 2}" cy="{y + CELL / 2}" r="2" fill="{FUTURE}"/>'
    colour = ",".join(str(round(light + weight * (dark - light))) for dark, light in zip(DARK, LIGHT, strict=True))
    return f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="3" fill="rgb({colour})"/>'


def draw() -> str:
    """The logo as SVG."""
    side = TOKENS * (CELL + GAP) + GAP
    cells = [
        cell(row, column, weights(row)[column] if column <= row else None)
        for row in range(TOKENS)
        for column in range(TOKENS)
    ]
    label = "A triangle of squares: the attention weights of five tokens that look back only"
    size = f'viewBox="0 0 {side} {side}" width="{side}" height="{side}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    return "\n".join([head, f"<title>{label}</title>", *cells, "</svg>", ""])


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), "utf8")
