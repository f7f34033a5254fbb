"""Draw static and continuous batching on the same five requests. Run: python images/kv_cache_batching.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, text, write

OUTPUTS = {"A": 3, "B": 8, "C": 4, "D": 6, "E": 4}
COLOUR = {"A": QUERY, "B": KEY, "C": VALUE, "D": QUERY, "E": KEY}
# row of the batch -> (request, first step)
STATIC = ((("A", 0), ("C", 8)), (("B", 0), ("D", 8)))
CONTINUOUS = ((("A", 0), ("C", 3), ("D", 7)), (("B", 0), ("E", 8)))
CELL, LEFT = 36, 96


def bar(y: float, name: str, first: int) -> list[str]:
    """One request: a cell for each token it writes."""
    colour, parts = COLOUR[name], []
    for i in range(OUTPUTS[name]):
        parts.append(f'<rect x="{LEFT + (first + i) * CELL + 1.5:g}" y="{y:g}" width="{CELL - 3}" height="30" rx="4" '
                     f'fill="{PALE[colour]}" stroke="{colour}" stroke-width="1.3"/>')  # fmt: skip
    return [*parts, *[text(LEFT + (first + i + 0.5) * CELL, y + 21, name, size=15) for i in range(OUTPUTS[name])]]


def idle(y: float, first: int, last: int) -> list[str]:
    """Steps in which a row is computed, or kept free, for nobody."""
    return [f'<rect x="{LEFT + i * CELL + 1.5:g}" y="{y:g}" width="{CELL - 3}" height="30" rx="4" fill="{PALE[QUIET]}" '
            f'stroke="{QUIET}" stroke-width="1" stroke-dasharray="3 3"/>' for i in range(first, last)]  # fmt: skip


def mark(y: float, step: int, words: str) -> list[str]:
    """When all is done."""
    x = LEFT + step * CELL
    return [f'<path d="M{x:g} {y - 8:g} V{y + 76:g}" stroke="{INK}" stroke-width="2"/>',
            text(x + 6, y + 38, words, size=14, anchor="start")]  # fmt: skip


def draw() -> list[str]:
    """Static above, continuous below."""
    parts = [text(18, 30, "static: the next batch waits for the longest row", size=16, anchor="start", bold=True)]
    for r, row in enumerate(STATIC):
        y = 48 + 36 * r
        parts += [text(84, y + 21, f"row {r + 1}", size=14, anchor="end", colour=QUIET)]
        for name, first in row:
            parts += bar(y, name, first)
    parts += idle(48, 3, 8) + idle(48, 12, 14) + bar(48, "E", 14) + idle(84, 14, 18) + mark(48, 18, "18 steps")
    parts += [text(18, 166, "continuous: whoever is done leaves, whoever waits joins", size=16, anchor="start",
                   bold=True)]  # fmt: skip
    for r, row in enumerate(CONTINUOUS):
        y = 184 + 36 * r
        parts += [text(84, y + 21, f"row {r + 1}", size=14, anchor="end", colour=QUIET)]
        for name, first in row:
            parts += bar(y, name, first)
    return parts + idle(220, 12, 13) + mark(184, 13, "13 steps")


if __name__ == "__main__":
    write(__file__, 840, 276, "Static and continuous batching", draw())
