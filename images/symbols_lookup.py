"""Draw a look-up as a product with a one-hot vector. Run: python images/symbols_lookup.py."""

from __future__ import annotations

from svg import KEY, QUERY, QUIET, arrow, matrix, text, write

TABLE = [[1, 0, 2], [0, 3, 1], [4, 1, 0], [2, 2, 5]]
PICK = 2


def draw() -> list[str]:
    """One-hot row, table, result."""
    one_hot = [[int(i == PICK) for i in range(len(TABLE))]]
    lit = [(PICK, j) for j in range(3)]
    return [
        matrix(130, 130, one_hot, KEY, lit=[(0, PICK)]),
        text(130, 176, "one-hot, (V)", size=14, colour=QUIET),
        text(222, 137, "×", size=22),
        matrix(312, 130, TABLE, QUERY, lit=lit),
        text(312, 222, "table, (V, D)", size=14, colour=QUIET),
        text(402, 137, "=", size=22),
        matrix(492, 130, [TABLE[PICK]], QUERY, lit=[(0, j) for j in range(3)]),
        text(492, 176, "row 2, (D)", size=14, colour=QUIET),
        text(130, 60, "the number 2", size=16, bold=True),
        arrow((130, 70), (146, 106)),
        text(492, 60, "nothing was computed:", size=15),
        text(492, 80, "the row was there", size=15),
    ]


if __name__ == "__main__":
    title = "The one-hot row 0 0 1 0 times a table of four rows gives row 2 of the table, 4 1 0"
    write(__file__, 620, 246, title, draw())
