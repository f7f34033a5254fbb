"""Draw the way in, from symbol to vector, and the way out, to probabilities. Run: python images/symbols_path.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, arrow, box, text, write

ROWS = ("p", "q", "r", "s", "t")  # of the table of letters
NEXT = (("EH", 3.0, 0.56), ("IY", 2.6, 0.38), ("EY", 0.5, 0.05), ("AA", -1.0, 0.01))  # made up, as in symbols_softmax
CELLS = 4
SHADE = ((0.2, 0.7, 0.4, 0.9), (0.8, 0.3, 0.6, 0.1), (0.9, 0.2, 0.7, 0.4), (0.1, 0.5, 0.9, 0.6), (0.6, 0.8, 0.2, 0.3))


def vector(x: float, y: float, shades: tuple[float, ...], colour: str, *, cell: float = 24) -> str:
    """A row of shaded squares; x and y are its left end and its middle."""
    squares = [
        f'<rect x="{x + i * cell:g}" y="{y - cell / 2:g}" width="{cell:g}" height="{cell:g}" fill="{colour}" '
        f'fill-opacity="{shade:g}" stroke="{colour}"/>'
        for i, shade in enumerate(shades)
    ]
    return "".join(squares)


def table(x: float, y: float, lit: int) -> list[str]:
    """The embedding table with one row standing out."""
    parts = []
    for i, (name, shades) in enumerate(zip(ROWS, SHADE, strict=True)):
        middle = y + 32 * i
        if i == lit:
            parts.append(f'<rect x="{x - 34}" y="{middle - 15:g}" width="{24 * CELLS + 42}" height="30" rx="5" '
                         f'fill="{PALE[QUERY]}"/>')  # fmt: skip
        parts += [text(x - 20, middle + 6, name, size=17, bold=i == lit), vector(x, middle, shades, QUERY)]
    return parts


def outcome(x: float, y: float) -> list[str]:
    """Logits and probabilities of four symbols."""
    parts = [text(x - 12, y - 34, "logits z", size=15, colour=KEY, bold=True),
             text(x + 158, y - 34, "probabilities p", size=15, colour=VALUE, bold=True)]  # fmt: skip
    for i, (name, logit, p) in enumerate(NEXT):
        middle = y + 34 * i
        parts += [
            text(x - 68, middle + 6, name, size=16, bold=True),
            f'<rect x="{x - 26 + 20 * min(logit, 0):g}" y="{middle - 11:g}" width="{20 * abs(logit):g}" height="22" '
            f'fill="{PALE[KEY]}" stroke="{KEY}"/>',
            text(x - 18 + 20 * max(logit, 0), middle + 6, f"{logit:.1f}".replace("-", "−"), size=15, anchor="start"),
            f'<rect x="{x + 100}" y="{middle - 11:g}" width="{120 * p:g}" height="22" fill="{VALUE}"/>',
            text(x + 108 + 120 * p, middle + 6, f"{p:.2f}", size=15, anchor="start"),
        ]
    return parts


def draw() -> list[str]:
    """Above the way in, below the way out."""
    return [
        text(24, 36, "in", size=18, bold=True, anchor="start"),
        box(70, 112, 60, 40, QUIET, "r", size=20),
        text(70, 160, "symbol", size=14, colour=QUIET),
        arrow((104, 112), (146, 112)),
        box(176, 112, 52, 40, QUIET, "20", size=18),
        text(176, 160, "number", size=14, colour=QUIET),
        arrow((206, 112), (246, 112)),
        *table(292, 48, lit=2),
        text(340, 226, "table of V rows, D columns", size=14, colour=QUIET),
        arrow((404, 112), (452, 112), colour=QUERY),
        vector(462, 112, SHADE[2], QUERY),
        text(510, 160, "vector", size=14, colour=QUIET),
        arrow((566, 112), (596, 112)),
        text(640, 107, "+ position,", size=15),
        text(640, 127, "layers …", size=15),
        f'<path d="M24 250 H676" stroke="{QUIET}" stroke-width="1" stroke-dasharray="4 5"/>',
        text(24, 286, "out", size=18, bold=True, anchor="start"),
        text(60, 336, "… layers", size=15),
        arrow((96, 331), (124, 331)),
        vector(132, 331, (0.3, 0.8, 0.5, 0.7), QUERY),
        text(180, 378, "last vector", size=14, colour=QUIET),
        arrow((236, 331), (330, 331)),
        text(282, 318, "· each row", size=14, colour=INK),
        *outcome(432, 324),
        arrow((458, 285), (516, 285), colour=VALUE),
        text(487, 274, "softmax", size=13, colour=VALUE),
    ]


if __name__ == "__main__":
    title = (
        "The letter r becomes the number 20, the number picks a row of a table, the row goes into the layers; the last "
        "vector is multiplied with every row, which gives logits, and a softmax turns them into probabilities"
    )
    write(__file__, 700, 456, title, draw())
