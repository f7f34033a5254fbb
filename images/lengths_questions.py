"""Draw the three questions about long texts. Run: python images/lengths_questions.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, arrow, box, text, write

LEFT, RIGHT, TRAINED, END = 300, 810, 430, 640  # of the text; last position of training; last row of a table
ROWS = (100, 200, 300)  # baselines of the three bars


def bar(x: float, to: float, y: float, colour: str, *, height: float = 26) -> str:
    """A stretch of text."""
    return (f'<rect x="{x:g}" y="{y - height:g}" width="{to - x:g}" height="{height:g}" fill="{PALE[colour]}" '
            f'stroke="{colour}" stroke-width="1.4"/>')  # fmt: skip


def question(number: int, words: str, more: str, y: float) -> list[str]:
    """Number, question and what it is about, on the left."""
    return [
        text(22, y - 8, str(number), size=30, colour=QUERY, anchor="start", bold=True),
        text(56, y - 16, words, size=17, anchor="start", bold=True),
        text(56, y + 6, more, size=14, anchor="start", colour=QUIET),
    ]


def draw() -> list[str]:
    """One row for each question: a table that ends, a loss that rises, a needle outside the window."""
    one, two, three = ROWS
    loss = f"M{LEFT} {two - 8} H{TRAINED + 10} C{TRAINED + 60} {two - 8} {TRAINED + 50} {two - 40} {RIGHT} {two - 42}"
    wall = f'<path d="M{END} {one - 42} V{one + 12}" stroke="{KEY}" stroke-width="4"/>'
    return [
        f'<rect x="{LEFT}" y="36" width="{TRAINED - LEFT}" height="290" fill="#eef2f6"/>',
        text((LEFT + TRAINED) / 2, 26, "as long as in training", size=14, colour=QUIET),
        text((TRAINED + RIGHT) / 2, 26, "longer", size=14, colour=QUIET),
        *question(1, "Does it run?", "tables end, caches fill up", one),
        bar(LEFT, END, one, QUERY),
        wall,
        text(END + 14, one - 8, "no row 512: error", size=14, anchor="start", colour=KEY),
        *question(2, "Is it still good?", "the loss, place by place", two),
        f'<path d="{loss}" fill="none" stroke="{KEY}" stroke-width="2.6"/>',
        f'<path d="M{LEFT} {two - 4} H{RIGHT}" fill="none" stroke="{VALUE}" stroke-width="2.6" '
        'stroke-dasharray="7 5"/>',
        text(RIGHT, two - 50, "most schemes", size=14, anchor="end", colour=KEY),
        text(RIGHT, two + 14, "a few", size=14, anchor="end", colour=VALUE),
        *question(3, "Does it use what is far?", "a needle, asked for at the end", three),
        bar(LEFT, RIGHT, three, QUIET),
        box(LEFT + 46, three - 13, 34, 24, KEY, "]k", size=14),
        box(RIGHT - 22, three - 13, 34, 24, QUERY, "]?", size=14),
        bar(RIGHT - 150, RIGHT - 42, three, VALUE),
        text(RIGHT - 96, three - 8, "the window", size=13, colour=VALUE),
        arrow((RIGHT - 22, three + 4), (RIGHT - 22, three + 20), (LEFT + 46, three + 20), (LEFT + 46, three + 4),
              colour=INK),
        text((LEFT + RIGHT) / 2 + 40, three + 38, "would have to look back here", size=14, colour=QUIET),
    ]  # fmt: skip


if __name__ == "__main__":
    write(__file__, 840, 350, "Three questions about texts longer than in training", draw())
