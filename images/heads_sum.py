"""Draw the product with W_O as a sum over heads. Run: python images/heads_sum.py."""

from __future__ import annotations

from svg import KEY, PALE, QUERY, QUIET, VALUE, text, write

HEADS = (QUERY, KEY, VALUE)


def cell(x: float, y: float, width: float, height: float, colour: str, words: str) -> str:
    """A block with words in it; x and y are its middle."""
    rect = (f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}" '
            f'fill="{PALE[colour]}" stroke="{colour}" stroke-width="1.5"/>')  # fmt: skip
    return rect + text(x, y + 6, words, size=16)


def draw() -> list[str]:
    """Heads side by side times blocks on top of one another; below, the same as a sum."""
    parts = [text(130, 34, "heads side by side", size=16, colour=QUIET), text(388, 34, "W_O", size=16, colour=QUIET)]
    for i, colour in enumerate(HEADS):
        parts.append(cell(60 + 70 * i, 104, 70, 34, colour, f"head {i}"))
        parts.append(cell(388, 64 + 40 * i, 190, 40, colour, f"rows {i} of W_O"))
    parts += [text(256, 110, "×", size=22), text(508, 110, "=", size=22), cell(612, 104, 150, 34, QUIET, "output")]
    parts += [text(36, 236, "=", size=22)]
    for i, colour in enumerate(HEADS):
        x = 62 + 218 * i
        parts += [cell(x + 37, 230, 70, 34, colour, f"head {i}"), text(x + 84, 236, "×", size=18),
                  cell(x + 138, 230, 90, 40, colour, f"rows {i}")]  # fmt: skip
        if i < 2:
            parts.append(text(x + 201, 236, "+", size=22))
    return [*parts, text(350, 284, "take one term away, and that head is gone", size=16, colour=QUIET)]


if __name__ == "__main__":
    title = (
        "Three heads side by side times the matrix W_O, which consists of three blocks of rows on top of one another, "
        "equals head 0 times block 0 plus head 1 times block 1 plus head 2 times block 2."
    )
    write(__file__, 720, 304, title, draw())
