"""Draw RoPE as dials: the same two tokens at two places. Run: python images/positions_rope.py.

In the book, `_static/positions.js` puts a version with sliders in the place of this drawing.
"""

from __future__ import annotations

import math

from svg import INK, KEY, QUERY, QUIET, text, write

ANGLES = ((0.4, 1.9), (1.1, 2.0), (2.6, 0.9), (0.2, 5.6))  # of query and key in each pair, before rotation
SPEEDS = tuple(10_000 ** -(2 * i / 8) for i in range(4))  # radians per position, a head of width 8
RADIUS = 52


def score(query_pos: int, key_pos: int) -> float:
    """Sum over the pairs of the cosine of the angle between query and key."""
    turned = zip(ANGLES, SPEEDS, strict=True)
    return sum(math.cos(q - k + (query_pos - key_pos) * speed) for (q, k), speed in turned)


def hand(x: float, y: float, angle: float, colour: str) -> str:
    """An arrow from the middle of a dial."""
    to = x + 0.92 * RADIUS * math.cos(angle), y - 0.92 * RADIUS * math.sin(angle)
    return (f'<path d="M{x:g} {y:g} L{to[0]:.1f} {to[1]:.1f}" fill="none" stroke="{colour}" stroke-width="3" '
            f'marker-end="url(#h{colour[1:]})"/>')  # fmt: skip


def row(y: float, query_pos: int, key_pos: int) -> list[str]:
    """Four dials and the score."""
    parts = []
    for i, ((q, k), speed) in enumerate(zip(ANGLES, SPEEDS, strict=True)):
        x = 96 + 138 * i
        parts.append(f'<circle cx="{x}" cy="{y}" r="{RADIUS}" fill="white" stroke="{QUIET}"/>')
        parts.append(hand(x, y, q + query_pos * speed, QUERY))
        parts.append(hand(x, y, k + key_pos * speed, KEY))
    total = f"{score(query_pos, key_pos):.2f}".replace("-", "−")
    return [
        *parts,
        text(594, y - 24, f"query at {query_pos}", size=15, anchor="start", colour=QUERY, bold=True),
        text(594, y + 2, f"key at {key_pos}", size=15, anchor="start", colour=KEY, bold=True),
        text(594, y + 30, f"q · k = {total}", size=16, anchor="start", colour=INK, bold=True),
    ]


def draw() -> list[str]:
    """Two rows of dials."""
    heads = [text(96 + 138 * i, 34, f"pair {i}: {speed:g} rad", size=14) for i, speed in enumerate(SPEEDS)]
    return [*heads, *row(106, 5, 3), *row(234, 25, 23)]


if __name__ == "__main__":
    title = (
        "Four dials, each with a hand for the query and one for the key, first at 5 and 3, then at 25 and "
        "23. All hands have moved, the angles between them have not, and the score is the same"
    )
    write(__file__, 720, 306, title, draw())
