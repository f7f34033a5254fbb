"""Draw one decoding step with a cache. Run: python images/kv_cache_step.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, VALUE, arrow, box, text, write

WORDS = ("the", "cat", "sat", "on")
TOP, STEP = 106, 46  # first row of the cache, height of a row


def row(i: int, *, new: bool) -> list[str]:
    """One token's key and value."""
    y = TOP + i * STEP
    parts = [text(392, y + 6, WORDS[i], anchor="end", colour=INK if new else QUIET, bold=new)]
    for x, colour, name in ((452, KEY, "k"), (560, VALUE, "v")):
        parts.append(box(x, y, 92, 34, colour, f"{name}{'₁₂₃₄'[i]}"))
        if new:
            parts.append(f'<rect x="{x - 48:g}" y="{y - 19:g}" width="96" height="38" rx="8" fill="none" '
                         f'stroke="{colour}" stroke-width="2.6"/>')  # fmt: skip
    return parts


def draw() -> list[str]:
    """From left to right: the new token, its three vectors, the cache, the answer."""
    last = TOP + 3 * STEP
    frame = (f'<rect x="336" y="{TOP - 34}" width="288" height="{3 * STEP + 20:g}" rx="10" fill="#f4f6f8" '
             f'stroke="{QUIET}" stroke-width="1.2" stroke-dasharray="5 4"/>')  # fmt: skip
    return [
        text(520, 48, "in the cache since earlier steps", size=15, colour=QUIET),
        frame,
        *[part for i in range(4) for part in row(i, new=i == 3)],
        box(84, last, 100, 36, QUIET, "on"),
        text(84, last + 42, "the new token,", size=14, colour=QUIET),
        text(84, last + 60, "the only one computed", size=14, colour=QUIET),
        arrow((136, last), (196, last)),
        text(166, last - 12, "project", size=13, colour=QUIET),
        box(232, last - 52, 60, 34, QUERY, "q₄"),
        box(232, last, 60, 34, KEY, "k₄"),
        box(232, last + 52, 60, 34, VALUE, "v₄"),
        arrow((264, last), (366, last), colour=KEY),
        text(308, last - 10, "append", size=13, colour=QUIET),
        arrow((264, last + 52), (560, last + 52), (560, last + 23), colour=VALUE),
        arrow((232, last - 70), (232, 72), (452, 72), (452, TOP - 20), colour=QUERY),
        text(244, 62, "q₄ meets every key", size=14, anchor="start", colour=QUERY),
        arrow((626, TOP + 1.5 * STEP), (684, TOP + 1.5 * STEP)),
        box(744, TOP + 1.5 * STEP, 112, 62, QUIET),
        text(744, TOP + 1.5 * STEP - 3, "softmax,", size=15),
        text(744, TOP + 1.5 * STEP + 17, "mix values", size=15),
        arrow((744, TOP + 1.5 * STEP + 32), (744, last + 30)),
        text(744, last + 50, "one row, for “on”", size=15, bold=True),
    ]


if __name__ == "__main__":
    write(__file__, 840, 330, "One decoding step with a cache", draw())
