"""Draw one block at work on three tokens: attention across, feed-forward within. Run: python images/ffn_block.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, arrow, box, text, write

COLUMNS = {150: "red", 320: "apple", 490: "pie"}


def column(x: float, word: str) -> list[str]:
    """One token's stream, from below to above, with its own pass through the feed-forward layer."""
    left, wide, low, high = x - 22, 56, 196, 132
    shape = (f'<path d="M{x - 22:g} {low:g} L{x - wide:g} {(low + high) / 2:g} L{x - 22:g} {high:g} H{x + 22:g} '
             f'L{x + wide:g} {(low + high) / 2:g} L{x + 22:g} {low:g} Z" fill="{PALE[KEY]}" stroke="{KEY}" '
             'stroke-width="1.5"/>')  # fmt: skip
    stream = left - 48
    return [
        box(stream, 372, 76, 32, QUIET, word),
        arrow((stream, 356), (stream, 62), colour=INK, width=2.4),
        arrow((stream, 336), (x, 336), (x, 316), colour=QUERY),
        arrow((x, 268), (x, 240), (stream + 6, 240), colour=QUERY),
        arrow((stream, 222), (x, 222), (x, 200), colour=KEY),
        shape,
        text(x, 169, "FFN", size=15, bold=True, colour=KEY),
        arrow((x, 130), (x, 100), (stream + 6, 100), colour=KEY),
    ]


def draw() -> list[str]:
    """Three columns, one attention across them, two notes."""
    parts = [part for x, word in COLUMNS.items() for part in column(x, word)]
    return [
        box(320, 292, 440, 44, QUERY),
        *parts,
        text(335, 298, "attention", size=17, bold=True, colour=QUERY),
        text(574, 280, "1/3 of the weights", size=16, anchor="start", colour=QUERY, bold=True),
        text(574, 304, "4 D², tokens read", size=16, anchor="start", colour=QUERY),
        text(574, 326, "each other", size=16, anchor="start", colour=QUERY),
        text(574, 150, "2/3 of the weights", size=16, anchor="start", colour=KEY, bold=True),
        text(574, 174, "8 D², the same layer", size=16, anchor="start", colour=KEY),
        text(574, 196, "at every token", size=16, anchor="start", colour=KEY),
        text(320, 34, "to the next block", size=16, colour=QUIET),
    ]


if __name__ == "__main__":
    title = (
        "A block on three tokens. One attention layer spans all three streams and adds what it read to each. Above it, "
        "each stream passes through a feed-forward layer of its own, wide in the middle, and adds the result"
    )
    write(__file__, 760, 404, title, draw())
