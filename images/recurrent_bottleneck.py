"""Draw spelling to sound through one vector. Run: python images/recurrent_bottleneck.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, VALUE, arrow, box, text, write

LETTERS, SOUNDS = ("s", "c", "h", "o", "o", "l"), ("S", "K", "UW", "L")
STEP, LEFT, ROW, SYMBOLS = 66, 50, 130, 200


def reader() -> list[str]:
    """The encoder: one state per letter, each made from the one before it."""
    parts = []
    for i, letter in enumerate(LETTERS):
        x = LEFT + i * STEP
        parts += [box(x, ROW, 40, 40, KEY), text(x, SYMBOLS + 6, letter, size=19)]
        parts.append(arrow((x, SYMBOLS - 14), (x, ROW + 22)))
        if i:
            parts.append(arrow((x - STEP + 20, ROW), (x - 21, ROW)))
    return parts


def writer(left: float) -> list[str]:
    """The decoder: each state from the one before it and the sound just written."""
    parts = []
    for i, sound in enumerate(SOUNDS):
        x = left + i * STEP
        parts += [box(x, ROW, 40, 40, QUERY), text(x, 62, sound, size=18, bold=True), arrow((x, ROW - 21), (x, 70))]
        parts += [text(x, SYMBOLS + 6, SOUNDS[i - 1] if i else "begin", size=16, colour=QUIET)]
        parts.append(arrow((x, SYMBOLS - 12), (x, ROW + 22), colour=QUIET))
        if i:
            parts.append(arrow((x - STEP + 20, ROW), (x - 21, ROW)))
    return parts


def draw() -> list[str]:
    """Reader, vector, writer."""
    end = LEFT + (len(LETTERS) - 1) * STEP
    middle, start = end + 85, end + 170
    return [
        text((LEFT + end) / 2, 34, "reads: one step per letter", size=16, colour=QUIET),
        text(start + 1.5 * STEP, 34, "writes: one step per sound", size=16, colour=QUIET),
        *reader(),
        arrow((end + 21, ROW), (middle - 20, ROW)),
        box(middle, ROW, 36, 92, VALUE),
        text(middle, SYMBOLS + 6, "all of the word", size=15, bold=True),
        text(middle, SYMBOLS + 26, "in one vector", size=15, bold=True),
        arrow((middle + 19, ROW), (start - 21, ROW)),
        *writer(start),
        text(middle, 66, "fixed size", size=15, colour=INK),
    ]


if __name__ == "__main__":
    title = (
        "A recurrent network reads s, c, h, o, o, l one letter at a time, keeps one vector of fixed size, and a second "
        "network writes S, K, UW, L from it"
    )
    write(__file__, 800, 246, title, draw())
