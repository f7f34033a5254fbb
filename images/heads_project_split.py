"""Draw how heads come about: project, then split; and what it is not. Run: python images/heads_project_split.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, arrow, text, write

HEADS = (QUERY, KEY, VALUE)
CELL = 24


def bar(x: float, y: float, colours: list[str]) -> str:
    """A vector as a row of cells, one colour each; x and y are its middle."""
    left = x - CELL * len(colours) / 2
    return "".join(
        f'<rect x="{left + i * CELL:g}" y="{y - CELL / 2:g}" width="{CELL}" height="{CELL}" fill="{PALE[colour]}" '
        f'stroke="{colour}" stroke-width="1.5"/>'
        for i, colour in enumerate(colours)
    )


def block(x: float, y: float, columns: list[tuple[str, int, int]]) -> str:
    """A 6 by 6 matrix; each entry of `columns` colours two columns from row `first` to row `last`."""
    left, top = x - 3 * CELL, y - 3 * CELL
    parts = [f'<rect x="{left:g}" y="{top:g}" width="{6 * CELL}" height="{6 * CELL}" fill="white" stroke="{QUIET}"/>']
    for i, (colour, first, last) in enumerate(columns):
        parts.append(
            f'<rect x="{left + 2 * i * CELL:g}" y="{top + first * CELL:g}" width="{2 * CELL}" '
            f'height="{(last - first) * CELL}" fill="{PALE[colour]}" stroke="{colour}" stroke-width="1.5"/>'
        )
    return "".join(parts)


def side(x: float, title: str, verdict: str, x_colours: list[str], columns: list[tuple[str, int, int]]) -> list[str]:
    """One of the two ways, from the token's vector at the top to the queries of three heads."""
    queries = [colour for colour in HEADS for _ in range(2)]
    return [
        text(x, 36, title, size=19, bold=True),
        bar(x, 78, x_colours),
        text(x - 108, 84, "x", size=18, colour=QUIET),
        arrow((x, 96), (x, 116)),
        block(x, 194, columns),
        text(x - 108, 200, "W_Q", size=18, colour=QUIET),
        arrow((x, 272), (x, 292)),
        bar(x, 312, queries),
        text(x - 108, 318, "q", size=18, colour=QUIET),
        *[text(x + (i - 1) * 2 * CELL, 348, f"head {i}", size=13, colour=colour) for i, colour in enumerate(HEADS)],
        text(x, 384, verdict, size=16, colour=INK),
    ]


def draw() -> list[str]:
    """Both ways, side by side."""
    whole = [(colour, 0, 6) for colour in HEADS]
    diagonal = [(colour, 2 * i, 2 * i + 2) for i, colour in enumerate(HEADS)]
    sliced = [colour for colour in HEADS for _ in range(2)]
    return [
        *side(190, "project, then split", "each head reads all of x", [QUIET] * 6, whole),
        f'<path d="M350 24 V396" stroke="{PALE[QUIET]}" stroke-width="2"/>',
        *side(520, "slice, then project", "each head reads its slice only", sliced, diagonal),
    ]


if __name__ == "__main__":
    title = (
        "Two ways to three heads of width two. Left: a vector of six features times a full six by six matrix, whose "
        "columns belong to the heads in pairs, so each head reads all features. Right: the vector is cut into three "
        "slices first; each head multiplies its slice with a two by two block, and the rest of the matrix is unused."
    )
    write(__file__, 700, 408, title, draw())
