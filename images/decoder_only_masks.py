"""Draw three masks: causal, prefix, and an encoder-decoder as one square. Run: python images/decoder_only_masks.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, VALUE, text, write

SOURCE, TARGET = ("h", "i", ">"), ("HH", "AY")
CELL, TOP = 40, 128
SHADES = {"both": ("#d6e8f7", QUERY), "cross": ("#fbdfcf", KEY), "self": ("#d3efe3", VALUE),
          "none": ("#f4f6f8", "#c3c9d1")}  # fmt: skip


def kind(i: int, j: int, name: str) -> str:
    """How query i gets at key j: "both" ways in the prompt, "cross", "self" (causal), or "none"."""
    cut = len(SOURCE) - 1  # the separator begins the target
    if i < cut and j < cut:
        return "both" if name != "causal" or j <= i else "none"
    if i < cut:
        return "none"
    if j < cut:
        return "cross"
    return "self" if j <= i else "none"


def square(left: float, name: str, title: str, below: str) -> list[str]:
    """One mask with its title and a line below."""
    tokens = [*SOURCE, *TARGET]
    middle = left + CELL * len(tokens) / 2
    parts = [text(middle, 44, title, size=17, bold=True)]
    for i, token in enumerate(tokens):
        parts.append(text(left + (i + 0.5) * CELL, TOP - 12, token, size=14, colour=KEY, bold=True))
        parts.append(text(left - 10, TOP + (i + 0.5) * CELL + 5, token, size=14, anchor="end", colour=QUERY, bold=True))
        for j in range(len(tokens)):
            fill, edge = SHADES[kind(i, j, name)]
            parts.append(f'<rect x="{left + j * CELL + 2}" y="{TOP + i * CELL + 2}" width="{CELL - 4}" '
                         f'height="{CELL - 4}" rx="4" fill="{fill}" stroke="{edge}" stroke-width="1.5"/>')  # fmt: skip
    if name == "two":
        cut = (len(SOURCE) - 1) * CELL
        x, y, end = left + cut, TOP + cut, CELL * len(tokens)
        parts.append(f'<path d="M{x} {TOP - 4} V{TOP + end + 4} M{left - 4} {y} H{left + end + 4}" stroke="{INK}" '
                     'stroke-width="2.5" fill="none"/>')  # fmt: skip
    parts.append(text(middle, TOP + CELL * len(tokens) + 30, below, size=14, colour=QUIET))
    return parts


def draw() -> list[str]:
    """Three squares and a key."""
    parts = [*square(56, "causal", "causal", "one stack"), *square(318, "prefix", "prefix", "one stack"),
             *square(580, "two", "encoder-decoder", "two stacks, four blocks")]  # fmt: skip
    labels = (("both", "within the word"), ("cross", "the word, from the sounds"), ("self", "within the sounds"))
    for n, (shade, words) in enumerate(labels):
        fill, edge = SHADES[shade]
        x = 70 + 245 * n
        parts.append(f'<rect x="{x}" y="{388}" width="18" height="18" rx="4" fill="{fill}" stroke="{edge}" '
                     'stroke-width="1.5"/>')  # fmt: skip
        parts.append(text(x + 28, 402, words, size=14, anchor="start"))
    parts.append(text(156, 76, "row: who looks", size=14, colour=QUIET))
    return parts


if __name__ == "__main__":
    title = (
        "Three squares of five rows and columns, for the tokens h, i, separator, HH, AY. Causal: filled on and below "
        "the diagonal. Prefix: the same, and the square of h and i is full. Encoder-decoder: the same filled squares "
        "as prefix, cut by two lines into encoder, cross-attention and decoder; the upper right block is empty."
    )
    write(__file__, 820, 424, title, draw())
