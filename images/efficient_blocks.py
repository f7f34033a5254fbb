"""Draw the table of all scores, and a sweep over blocks of keys that carries three things along."""

from __future__ import annotations

from svg import INK, KEY, PAPER, QUERY, QUIET, VALUE, arrow, box, text, write

CELL, N = 22, 12


def square(x: float, y: float, side: float, fill: str, stroke: str = "#ffffff") -> str:
    """A square by its upper left corner."""
    return f'<rect x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" fill="{fill}" stroke="{stroke}"/>'


def table(left: float, top: float, lit: int | None) -> list[str]:
    """N x N scores; with `lit`, only one block of them is there."""
    parts = []
    for i in range(N):
        for j in range(N):
            there = lit is None or (3 <= i < 6 and 3 * lit <= j < 3 * lit + 3)
            parts.append(square(left + j * CELL, top + i * CELL, CELL, "#b9d3ea" if there else PAPER))
    return parts


def draw() -> list[str]:
    """Left the dense way, right the frugal one."""
    top, left, right = 92, 70, 452
    side = N * CELL
    parts = [
        text(left + side / 2, 40, "dense", size=18, bold=True),
        text(left + side / 2, 62, "all scores at once: N × N numbers", size=14, colour=QUIET),
        text(right + side / 2, 40, "blockwise", size=18, bold=True),
        text(right + side / 2, 62, "one block at a time, in any order", size=14, colour=QUIET),
        *table(left, top, None),
        *table(right, top, 1),
        text(left - 14, top + side / 2, "queries", size=14, anchor="end", colour=QUERY),
        text(left + side / 2, top + side + 24, "keys", size=14, colour=KEY),
        text(right + side / 2, top + side + 24, "keys", size=14, colour=KEY),
    ]
    row = top + 3 * CELL
    for b in range(4):
        x, width, dashes = right + 3 * b * CELL, *((2.4, "none") if b == 1 else (1, "4 4"))
        parts.append(f'<rect x="{x:g}" y="{row:g}" width="{3 * CELL}" height="{3 * CELL}" fill="none" stroke="{INK}" '
                     f'stroke-width="{width}" stroke-dasharray="{dashes}"/>')  # fmt: skip
    parts += [
        arrow((right + 10, row + 4.1 * CELL), (right + side - 10, row + 4.1 * CELL), colour=KEY),
        text(right + side / 2, row + 5.1 * CELL, "sweep over the keys", size=14, colour=KEY),
        text(846, top + 34, "carried along,", size=15, colour=QUIET),
        text(846, top + 54, "for each query", size=15, colour=QUIET),
        box(846, top + 92, 168, 36, QUERY, "top", size=15),
        box(846, top + 140, 168, 36, KEY, "total", size=15),
        box(846, top + 188, 168, 36, VALUE, "mixed", size=15),
        arrow((right + side + 6, row + 1.5 * CELL), (right + side + 36, row + 1.5 * CELL)),
        text(846, top + 232, "at the end:", size=15, colour=QUIET),
        text(846, top + 254, "mixed / total", size=16, bold=True),
    ]
    return parts


if __name__ == "__main__":
    write(__file__, 956, 396, "A table of all scores, or one block at a time", draw())
