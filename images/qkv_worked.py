"""Draw one score worked out by hand: x W_Q = q, x W_K = k, q · k. Run: python images/qkv_worked.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, arrow, box, matrix, text, write

W_Q = [[0, 3, 0], [0, 0, 0], [0, 1, 0]]
W_K = [[0, -1, 0], [0, 2, 0], [0, 1, 0]]


def row(y: float, word: str, x: list[int], name: str, w: list[list[int]], result: list[int], colour: str) -> list[str]:
    """One projection: a token's row times a matrix; the numbers that make the result are lit."""
    used = [i for i, entry in enumerate(x) if entry]
    sum_text = " + ".join(f"{x[i]}·{w[i][1]}" for i in used) + f" = {result[1]}"
    return [
        box(66, y, 84, 34, QUIET, word, size=18),
        matrix(186, y, [x], QUIET, lit=[(0, i) for i in used]),
        text(186, y - 30, "x", size=16, colour=QUIET),
        matrix(328, y, w, colour, lit=[(i, 1) for i in used]),
        text(328, y - 60, name, size=17, colour=colour, bold=True),
        text(408, y + 6, "=", size=20),
        matrix(486, y, [result], colour, lit=[(0, 1)]),
        text(486, y - 30, "query" if name == "W_Q" else "key", size=16, colour=colour, bold=True),
        text(486, y + 40, sum_text, size=16, colour=INK),
    ]


def draw() -> list[str]:
    """Two projections and the score."""
    return [
        *row(92, "apple", [1, 0, 2], "W_Q", W_Q, [0, 5, 0], QUERY),
        *row(240, "eat", [0, 1, 0], "W_K", W_K, [0, 2, 0], KEY),
        arrow((552, 92), (612, 92), (612, 116), colour=QUERY),
        arrow((552, 240), (612, 240), (612, 216), colour=KEY),
        text(612, 140, "q · k = 5·2 = 10", size=17, bold=True),
        text(612, 164, "÷ √3 = 5.77", size=17),
        text(612, 194, "the score", size=16, colour=QUIET),
    ]


if __name__ == "__main__":
    title = (
        "Apple, the row 1 0 2, times W_Q gives the query 0 5 0, because 1 times 3 plus 2 times 1 is 5; eat, the row "
        "0 1 0, times W_K gives the key 0 2 0; their dot product is 10, divided by the root of 3 it is 5.77"
    )
    write(__file__, 700, 316, title, draw())
