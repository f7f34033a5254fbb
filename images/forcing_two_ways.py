"""Draw what a decoder reads in training and while it writes. Run: python images/forcing_two_ways.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, VALUE, arrow, box, curve, text, write

RIGHT = ("S", "K", "UW", "L", "<eos>")
FORCED_OUT = ("S", "K", "AH", "L", "<eos>")
FREE_OUT = ("S", "K", "AH", "?", "?")
STEP, LEFT = 84, 92
IN_Y, MODEL_Y, OUT_Y, ANSWER_Y = 300, 226, 152, 96


def wrong(x: float, y: float, words: str) -> str:
    """A box for a symbol that is wrong."""
    return (f'<rect x="{x - 31:g}" y="{y - 19:g}" width="62" height="38" rx="6" fill="#fbdfcf" stroke="{KEY}" '
            f'stroke-width="2.5" stroke-dasharray="5 3"/>' + text(x, y + 6, words, size=16, bold=True))  # fmt: skip


def panel(x0: float, title: str, note: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> list[str]:
    """Inputs below, the decoder in the middle, its answers above."""
    xs = [x0 + LEFT + i * STEP for i in range(5)]
    middle = (xs[0] + xs[-1]) / 2
    parts = [text(middle, 38, title, size=18, bold=True), text(middle, 62, note, size=14, colour=QUIET),
             text(x0 + 40, IN_Y + 5, "reads", size=14, anchor="end", colour=QUIET),
             text(x0 + 40, OUT_Y + 5, "says", size=14, anchor="end", colour=QUIET),
             box(middle, MODEL_Y, 4 * STEP + 62, 36, QUIET, "decoder", size=15)]  # fmt: skip
    for x, read, said in zip(xs, inputs, outputs, strict=True):
        parts.append(wrong(x, IN_Y, read) if read == "AH" else box(x, IN_Y, 62, 38, QUERY, read, size=15))
        parts.append(wrong(x, OUT_Y, said) if said == "AH" else box(x, OUT_Y, 62, 38, VALUE, said, size=15))
        parts.append(arrow((x, IN_Y - 20), (x, MODEL_Y + 20)))
        parts.append(arrow((x, MODEL_Y - 20), (x, OUT_Y + 20)))
    return parts


def draw() -> list[str]:
    """Training on the left, writing on the right."""
    left, right = 16, 500
    parts = panel(left, "training: all at once", "the inputs are known before the decoder starts",
                  ("<bos>", *RIGHT[:4]), FORCED_OUT)  # fmt: skip
    parts.append(text(left + 40, ANSWER_Y + 5, "right", size=14, anchor="end", colour=QUIET))
    for i, answer in enumerate(RIGHT):
        x = left + LEFT + i * STEP
        parts.append(text(x, ANSWER_Y + 6, answer, size=16, bold=True, colour=KEY if answer == "UW" else INK))
    parts += panel(right, "writing: one by one", "each input is the answer before it",
                   ("<bos>", "S", "K", "AH", "?"), FREE_OUT)  # fmt: skip
    for i in range(4):
        x = right + LEFT + i * STEP
        bend = f"C{x + 52:g} {OUT_Y:g} {x + 32:g} {IN_Y:g}"
        parts.append(curve(f"M{x + 31:g} {OUT_Y:g} {bend} {x + STEP - 33:g} {IN_Y:g}", colour=KEY if i == 2 else QUIET))
    return parts


if __name__ == "__main__":
    heading = (
        "Left, training: the decoder reads bos, S, K, UW, L and says S, K, AH, L, eos; AH is wrong, and the next input "
        "is UW all the same. Right, writing: every answer becomes the next input, so the wrong AH is read back."
    )
    write(__file__, 980, 340, heading, draw())
