"""Draw how far the first token is from the last. Run: python images/recurrent_paths.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, arrow, box, text, write

N, STEP = 7, 44


def row(left: float, y: float, *, lit: tuple[int, ...] = ()) -> list[str]:
    """A row of positions."""
    return [box(left + i * STEP, y, 30, 30, QUERY if i in lit else QUIET) for i in range(N)]


def panel(left: float, name: str, count: str, rows: int, moves: list[tuple[int, int, int, int]]) -> list[str]:
    """Rows of positions from below, and a way through them: (row, column) to (row, column)."""
    ys = [286 - 62 * i for i in range(rows)]
    lit = [{(r, c) for a in moves for r, c in ((a[0], a[1]), (a[2], a[3])) if r == i} for i in range(rows)]
    parts = [text(left + 3 * STEP, 34, name, size=17, bold=True), text(left + 3 * STEP, 58, count, size=15, colour=INK)]
    for i, y in enumerate(ys):
        parts += row(left, y, lit=tuple(c for _, c in lit[i]))
    for r0, c0, r1, c1 in moves:
        x0, x1, y0, y1 = left + c0 * STEP, left + c1 * STEP, ys[r0], ys[r1]
        if r0 == r1:
            parts.append(arrow((x0 + 15, y0), (x1 - 16, y1), colour=KEY, width=2.4))
        else:
            parts.append(arrow((x0, y0 - 16), (x1 - (4 if c1 > c0 else 0), y1 + 17), colour=KEY, width=2.4))
    for column, name in ((0, "first"), (N - 1, "last")):
        parts.append(text(left + column * STEP, 328, name, size=14, colour=QUIET))
    return parts


def draw() -> list[str]:
    """Recurrence, convolution of width 3, attention."""
    recurrence = [(0, 0, 1, 0), *[(1, i, 1, i + 1) for i in range(N - 1)]]
    convolution = [(i, 2 * i, i + 1, 2 * i + 2) for i in range(3)]
    return [
        *panel(36, "recurrence", "T steps, one layer", 2, recurrence),
        *panel(366, "convolution, width 3", "about T / 2 layers", 4, convolution),
        *panel(696, "attention", "one step, one layer", 2, [(0, 0, 1, 6)]),
    ]


if __name__ == "__main__":
    title = (
        "The way from the first of seven tokens to the last: through all seven states of a recurrence, through three "
        "layers of a convolution that looks two tokens back, or in one step of attention"
    )
    write(__file__, 1000, 344, title, draw())
