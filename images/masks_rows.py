"""Draw why one masked pass is as good as many passes over prefixes. Run: python images/masks_rows.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, VALUE, arrow, box, text, write

INPUTS, ANSWERS = ("<bos>", "A", "B"), ("A", "B", "C")
CELL = 52
LEFT, RIGHT, TOP = 70, 520, 128


def prefixes() -> list[str]:
    """Three passes, each over what there is so far."""
    parts = [text(215, 44, "three passes over three prefixes", size=17, bold=True),
             text(215, 68, "how a text is written", size=14, colour=QUIET)]  # fmt: skip
    for i in range(3):
        y = TOP + i * 74
        for j in range(i + 1):
            parts.append(box(LEFT + j * 66, y, 58, 36, KEY, INPUTS[j], size=15))
        parts.append(arrow((LEFT + i * 66 + 34, y), (LEFT + 2 * 66 + 92, y)))
        parts.append(box(LEFT + 2 * 66 + 124, y, 46, 36, VALUE, ANSWERS[i], size=15))
    return parts


def triangle() -> list[str]:
    """One pass over everything, each row with its own view."""
    parts = [text(RIGHT + 80, 44, "one pass, one mask", size=17, bold=True),
             text(RIGHT + 80, 68, "how it is learned", size=14, colour=QUIET)]  # fmt: skip
    for j, name in enumerate(INPUTS):
        parts.append(text(RIGHT + 26 + j * CELL, TOP - 24, name, size=15, colour=KEY, bold=True))
    for i in range(3):
        y = TOP + 14 + i * CELL
        parts.append(text(RIGHT - 16, y + 5, INPUTS[i], size=15, anchor="end", colour=QUERY, bold=True))
        for j in range(3):
            x, seen = RIGHT + 26 + j * CELL, j <= i
            fill, edge = ("#d6e8f7", QUERY) if seen else ("#f4f6f8", "#c3c9d1")
            parts.append(f'<rect x="{x - 23}" y="{y - 23}" width="46" height="46" rx="5" fill="{fill}" '
                         f'stroke="{edge}" stroke-width="1.5"/>')  # fmt: skip
            parts.append(text(x, y + 6, "0" if seen else "−∞", size=16, colour=INK if seen else QUIET))
        parts.append(arrow((RIGHT + 3 * CELL + 8, y), (RIGHT + 3 * CELL + 52, y)))
        parts.append(box(RIGHT + 3 * CELL + 80, y, 46, 36, VALUE, ANSWERS[i], size=15))
    parts.append(text(RIGHT + 80, TOP + 14 + 3 * CELL + 12, "row: who looks · column: whom at", size=14, colour=QUIET))
    return parts


def draw() -> list[str]:
    """Both, and a sign of equality between them."""
    return [*prefixes(), text(410, TOP + 82, "=", size=40, bold=True, colour=QUIET), *triangle()]


if __name__ == "__main__":
    title = (
        "Left, three passes: bos gives A; bos A gives B; bos A B gives C. Right, one pass with a 3 by 3 mask: zeros "
        "on and below the diagonal, minus infinity above; the rows bos, A, B give A, B, C."
    )
    write(__file__, 800, 330, title, draw())
