"""Draw a memory that grows and one that does not. Run: python images/beyond_memory.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, arrow, text, write

WORDS = ("to", "be", "or", "not", "to")


def cell(x: float, y: float, colour: str, size: float = 26) -> str:
    """One vector, or one number, of memory."""
    return (f'<rect x="{x:g}" y="{y:g}" width="{size:g}" height="{size:g}" rx="4" fill="{PALE[colour]}" '
            f'stroke="{colour}" stroke-width="1.3"/>')  # fmt: skip


def draw() -> list[str]:
    """Left: a cache after five tokens; right: a state after five tokens."""
    parts = [
        text(180, 34, "attention keeps everything", size=17, bold=True),
        text(500, 34, "a recurrence keeps one summary", size=17, bold=True),
    ]
    for i, word in enumerate(WORDS):
        x = 70 + 44 * i
        parts += [cell(x, 60, KEY), cell(x, 92, VALUE), text(x + 13, 142, word, size=15)]
    parts += [
        text(60, 79, "keys", size=13, anchor="end", colour=KEY),
        text(60, 111, "values", size=13, anchor="end", colour=VALUE),
        text(296, 100, "...", size=20, colour=QUIET),
        text(180, 180, "grows with every token", size=15, colour=INK),
        text(180, 202, "nothing is lost; every step reads all of it", size=14, colour=QUIET),
    ]
    parts += [cell(462 + 20 * i, 56 + 20 * j, QUERY, 18) for i in range(4) for j in range(3)]
    parts += [text(434 + 22 * i, 142, word, size=15) for i, word in zip((0, 1.4, 2.6, 4, 5.6), WORDS, strict=True)]
    parts += [
        arrow((557, 126), (545, 114), colour=QUIET),
        text(556, 92, "state", size=14, anchor="start", colour=QUERY),
        text(500, 180, "the same size for ever", size=15, colour=INK),
        text(500, 202, "each token fades, blends in, or is ignored", size=14, colour=QUIET),
    ]
    return parts


if __name__ == "__main__":
    write(__file__, 680, 222, "A growing cache and a state of fixed size", draw())
