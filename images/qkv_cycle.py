"""Draw why a cycle of preferences is impossible with symmetric scores. Run: python images/qkv_cycle.py."""

from __future__ import annotations

import math

from svg import INK, KEY, QUERY, QUIET, box, curve, text, write

NAMES = ("rock", "scissors", "paper")
CENTRE, RADIUS = (170, 176), 106


def corner(i: int) -> tuple[float, float]:
    """Where the i-th token stands."""
    angle = math.radians(-90 + 120 * i)
    return CENTRE[0] + RADIUS * math.cos(angle), CENTRE[1] + RADIUS * math.sin(angle)


def looks_for(i: int) -> str:
    """A bent arrow from one token to the next."""
    (x0, y0), (x1, y1) = corner(i), corner(i + 1)
    mx, my = (x0 + x1) / 2, (y0 + y1) / 2
    out, start, end = (2.1, 0.2, 0.8) if abs(y0 - y1) < 1 else (1.42, 0.22, 0.8)
    cx, cy = CENTRE[0] + out * (mx - CENTRE[0]), CENTRE[1] + out * (my - CENTRE[1])
    axes = ((x0, cx, x1), (y0, cy, y1))
    at = [(1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b for t in (start, end) for a, c, b in axes]
    return curve(f"M{at[0]:.1f} {at[1]:.1f} Q{cx:.1f} {cy:.1f} {at[2]:.1f} {at[3]:.1f}", colour=QUERY, width=2.4)


def line(y: float, left: str, right: str, why: str) -> list[str]:
    """One inequality and its reason."""
    return [
        text(430, y, left, size=17, anchor="end"),
        text(446, y, ">", size=18, bold=True, colour=QUERY),
        text(462, y, right, size=17, anchor="start"),
        text(560, y, why, size=14, anchor="start", colour=QUIET),
    ]


def draw() -> list[str]:
    """The triangle on the left, the contradiction on the right."""
    corners = [box(*corner(i), 92, 36, QUIET, name, size=17) for i, name in enumerate(NAMES)]
    return [
        text(170, 34, "each looks for what it beats", size=16, bold=True),
        *[looks_for(i) for i in range(3)],
        *corners,
        text(490, 34, "with symmetric scores s", size=16, bold=True),
        *line(84, "s(r,s)", "s(r,p)", "rock looks for scissors"),
        text(462, 108, "= s(p,r)", size=17, anchor="start", colour=KEY),
        *line(140, "s(p,r)", "s(p,s)", "paper looks for rock"),
        text(462, 164, "= s(s,p)", size=17, anchor="start", colour=KEY),
        *line(196, "s(s,p)", "s(s,r)", "scissors look for paper"),
        text(462, 220, "= s(r,s)", size=17, anchor="start", colour=KEY),
        text(490, 264, "so s(r,s) > s(r,s): impossible", size=18, bold=True, colour=INK),
    ]


if __name__ == "__main__":
    title = (
        "A triangle: rock looks for scissors, scissors for paper, paper for rock. With symmetric scores the three "
        "preferences add up to a number being larger than itself"
    )
    write(__file__, 740, 300, title, draw())
