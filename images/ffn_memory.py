"""Draw a feed-forward layer as a memory, beside attention. Run: python images/ffn_memory.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, arrow, box, text, write


def look_up(left: float, names: tuple[str, str, str, str], rows: tuple[tuple[str, float], ...]) -> list[str]:
    """A vector compared with keys; the numbers that come out mix values."""
    head, keys, middle, values = names
    parts = [
        text(left + 170, 34, head, size=18, bold=True),
        box(left + 34, 190, 52, 34, QUERY, "x" if "feed" in head else "q", size=18),
        text(left + 122, 74, keys, size=15, colour=KEY, bold=True),
        text(left + 202, 74, middle, size=15, colour=INK, bold=True),
        text(left + 282, 74, values, size=15, colour=VALUE, bold=True),
    ]
    for i, (number, height) in enumerate(rows):
        y = 106 + 42 * i
        parts += [
            arrow((left + 62, 190), (left + 92, y), colour=QUERY, width=1.2),
            box(left + 122, y, 56, 28, KEY, f"k{'₁₂₃₄₅'[i]}"),
            arrow((left + 152, y), (left + 172, y), width=1.2),
            f'<rect x="{left + 176:g}" y="{y - 13:g}" width="52" height="26" rx="4" fill="{PALE[QUIET]}"/>',
            f'<rect x="{left + 176:g}" y="{y - 13:g}" width="{52 * height:g}" height="26" rx="4" fill="{QUERY}" '
            'opacity="0.45"/>',
            text(left + 202, y + 6, number, size=15),
            box(left + 282, y, 56, 28, VALUE, f"v{'₁₂₃₄₅'[i]}"),
            arrow((left + 230, y), (left + 252, y), width=1.2),
        ]
    return parts


def draw() -> list[str]:
    """Attention on the left, the feed-forward layer on the right."""
    attention = (("0.7", 0.7), ("0.1", 0.1), ("0.1", 0.1), ("0.1", 0.1))
    ffn = (("0", 0.0), ("1.3", 0.65), ("0", 0.0), ("0", 0.0), ("0.4", 0.2))
    return [
        *look_up(24, ("attention", "keys", "softmax", "values"), attention),
        *look_up(404, ("feed-forward layer", "keys", "ReLU", "values"), ffn),
        text(194, 330, "made from the tokens of this text;", size=15, colour=QUIET),
        text(194, 350, "shares add up to 1", size=15, colour=QUIET),
        text(574, 330, "learned once, the same for every text;", size=15, colour=QUIET),
        text(574, 350, "any sum, most are 0", size=15, colour=QUIET),
    ]


if __name__ == "__main__":
    title = (
        "Two look-ups side by side. Attention: a query meets four keys made from the text, a softmax gives shares 0.7, "
        "0.1, 0.1, 0.1 that mix four values. Feed-forward layer: x meets five learned keys, a ReLU gives 0, 1.3, 0, 0, "
        "0.4, which weigh five learned values"
    )
    write(__file__, 770, 372, title, draw())
