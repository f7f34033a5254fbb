"""Draw the three forms of retention. Run: python images/beyond_forms.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, arrow, box, text, write

CELL = 20


def square(x: float, y: float, colour: str, strength: float) -> str:
    """One pair of a query and a key; paler where more has faded."""
    return (f'<rect x="{x:g}" y="{y:g}" width="{CELL - 2}" height="{CELL - 2}" rx="2" fill="{colour}" '
            f'fill-opacity="{strength:.2f}" stroke="{colour}" stroke-width="0.8"/>')  # fmt: skip


def triangle(left: float, top: float, n: int) -> list[str]:
    """Pairs of n tokens with themselves and those before."""
    pairs = [(i, j) for i in range(n) for j in range(i + 1)]
    return [square(left + CELL * j, top + CELL * i, KEY, 0.85 * 0.72 ** (i - j)) for i, j in pairs]


def parallel(left: float, top: float) -> list[str]:
    """All pairs of six tokens."""
    return triangle(left, top, 6)


def recurrent(left: float, top: float) -> list[str]:
    """Six states in a row."""
    parts = []
    for i in range(6):
        x = left + 31 * i
        parts.append(f'<rect x="{x:g}" y="{top + 40:g}" width="22" height="22" rx="4" fill="{PALE[QUERY]}" '
                     f'stroke="{QUERY}" stroke-width="1.3"/>')  # fmt: skip
        parts.append(arrow((x + 11, top + 84), (x + 11, top + 64), colour=QUIET, width=1.2))
        parts.append(arrow((x + 11, top + 38), (x + 11, top + 18), colour=QUIET, width=1.2))
        if i < 5:
            parts.append(arrow((x + 22, top + 51), (x + 31, top + 51), colour=QUERY, width=1.4))
    return parts


def chunkwise(left: float, top: float) -> list[str]:
    """Two chunks of three tokens, and the state between them."""
    parts = []
    for n in range(2):
        x, y = left + 3 * CELL * n + 30 * n, top + 3 * CELL * n
        parts += triangle(x, y, 3)
    parts.append(box(left + 3 * CELL + 14, top + 3 * CELL + 30, 22, 22, QUERY))
    parts.append(arrow((left + 1.5 * CELL, top + 3 * CELL + 2), (left + 1.5 * CELL, top + 3 * CELL + 30),
                       (left + 3 * CELL + 1, top + 3 * CELL + 30), colour=QUERY))  # fmt: skip
    parts.append(arrow((left + 3 * CELL + 26, top + 3 * CELL + 30), (left + 3 * CELL + 36, top + 3 * CELL + 30),
                       colour=QUERY, width=1.4))  # fmt: skip
    return parts


def draw() -> list[str]:
    """Side by side."""
    titles = ((115, "parallel", "all pairs at once:", "for training"),
              (345, "recurrent", "one state, step by step:", "for writing"),
              (575, "chunkwise", "pairs within, state between:", "for long texts"))  # fmt: skip
    parts = []
    for x, name, how, what in titles:
        parts += [text(x, 34, name, size=18, bold=True, colour=INK), text(x, 206, how, size=14, colour=QUIET),
                  text(x, 226, what, size=14, colour=VALUE, bold=True)]  # fmt: skip
    return [*parts, *parallel(55, 58), *recurrent(256, 60), *chunkwise(500, 58)]


if __name__ == "__main__":
    write(__file__, 690, 244, "Three forms of one computation", draw())
