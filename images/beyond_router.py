"""Draw a router that sends each token to one expert. Run: python images/beyond_router.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, arrow, box, text, write

WORDS = ("to", "be", "or", "not")
CHOICES = (1, 0, 1, 3)  # the expert of each word
CHANCES = ("0.6", "0.9", "0.5", "0.7")


def bars(x: float, y: float, chosen: int) -> str:
    """The router's probabilities of four experts; the chosen one stands out."""
    heights = [6, 9, 5, 7]
    heights[chosen] = 26
    return "".join(
        f'<rect x="{x + 11 * i:g}" y="{y - h:g}" width="9" height="{h}" fill="{KEY if i == chosen else PALE[QUIET]}" '
        f'stroke="{KEY if i == chosen else QUIET}"/>'
        for i, h in enumerate(heights)
    )  # fmt: skip


def draw() -> list[str]:
    """Tokens on the left, the router's choice beside each, experts on the right."""
    parts = [
        text(70, 34, "tokens", size=16, bold=True), text(215, 34, "router", size=16, bold=True),
        text(470, 34, "experts", size=16, bold=True), text(640, 34, "load", size=16, bold=True),
    ]  # fmt: skip
    rows = [70 + 50 * i for i in range(4)]
    for word, choice, chance, y in zip(WORDS, CHOICES, CHANCES, rows, strict=True):
        parts += [
            box(70, y, 76, 32, QUERY, word), arrow((110, y), (186, y), colour=QUIET), bars(194, y + 13, choice),
            text(254, y + 5, chance, size=14, colour=KEY), arrow((274, y), (412, rows[choice]), colour=INK),
        ]  # fmt: skip
    for i, y in enumerate(rows):
        count = CHOICES.count(i)
        idle = QUIET if count == 0 else VALUE
        parts += [box(470, y, 110, 34, idle, f"FFN {i}"), text(640, y + 5, f"{count} of 4", size=15,
                                                               colour=INK if count else QUIET)]  # fmt: skip
    note = "every token goes to one expert; the other three do no work for it"
    return [*parts, text(351, 264, note, size=14, colour=QUIET)]


if __name__ == "__main__":
    write(__file__, 702, 284, "A router and four experts", draw())
