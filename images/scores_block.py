"""Draw the steps of attention and where the factor stands. Run: python images/scores_block.py."""

from __future__ import annotations

from itertools import pairwise

from svg import INK, KEY, QUERY, QUIET, VALUE, arrow, box, text, write

STEPS = ((200, "q · k", KEY), (340, "÷ √dₖ", QUERY), (470, "mask", QUIET), (600, "softmax", QUIET), (740, "mix", VALUE))
TOP = 96


def draw() -> list[str]:
    """Queries and keys come from the left, values from below; what the numbers look like stands underneath."""
    parts = [box(x, TOP, 96, 44, colour, name, size=18) for x, name, colour in STEPS]
    parts += [arrow((x + 49, TOP), (nxt - 50, TOP)) for (x, *_), (nxt, *_) in pairwise(STEPS)]
    parts += [
        text(72, TOP - 24, "queries q", colour=QUERY),
        text(72, TOP + 34, "keys k", colour=KEY),
        arrow((112, TOP - 28), (150, TOP - 8), colour=QUERY),
        arrow((104, TOP + 28), (150, TOP + 8), colour=KEY),
        arrow((740, 200), (740, TOP + 24), colour=VALUE),
        text(740, 222, "values v", colour=VALUE),
        arrow((789, TOP), (830, TOP)),
        text(270, 40, "this chapter", size=15, bold=True),
        f'<path d="M146 58 V50 H394 V58" fill="none" stroke="{INK}" stroke-width="1.6"/>',
    ]
    told = ((270, "spread √dₖ", ""), (405, "spread 1", ""), (535, "", ""), (670, "weights,", "sum 1"))
    for x, first, second in told:
        parts += [text(x, TOP + 50, first, size=14, colour=QUIET), text(x, TOP + 68, second, size=14, colour=QUIET)]
    return parts


if __name__ == "__main__":
    title = (
        "Attention from left to right: queries and keys are compared, the scores divided by the root of d_k, masked, "
        "turned into weights by a softmax, and the weights mix the values"
    )
    write(__file__, 850, 240, title, draw())
