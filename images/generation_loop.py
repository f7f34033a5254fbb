"""Draw the loop that writes. Run: python images/generation_loop.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, VALUE, arrow, box, text, write

MIDDLE = 118
CHOICES = (("UW", 0.93), ("AA", 0.01), ("EH", 0.00))  # of the model g2p, for school


def draw() -> list[str]:
    """From left to right: the text so far, the model, its probabilities, the choice; below, the way back."""
    parts = [
        text(104, 52, "1  the text so far", size=15, bold=True),
        *[box(40 + i * 64, MIDDLE, 56, 36, QUIET, word) for i, word in enumerate(("<bos>", "S", "K"))],
        arrow((198, MIDDLE), (238, MIDDLE)),
        text(296, 52, "2  the model", size=15, bold=True),
        box(296, MIDDLE, 108, 62, QUERY, "step"),
        text(296, MIDDLE + 56, "logits at the", size=14, colour=QUIET),
        text(296, MIDDLE + 74, "last position", size=14, colour=QUIET),
        arrow((352, MIDDLE), (392, MIDDLE)),
        text(486, 52, "3  probabilities", size=15, bold=True),
        arrow((586, MIDDLE), (640, MIDDLE)),
        text(612, MIDDLE - 14, "choose", size=14, colour=VALUE, bold=True),
        text(690, 52, "4  a symbol", size=15, bold=True),
        box(690, MIDDLE, 76, 40, VALUE, "UW"),
        arrow((690, MIDDLE + 22), (690, 248), (104, 248), (104, MIDDLE + 22), colour=VALUE),
        text(400, 238, "5  append it and go round again", size=15, colour=VALUE),
        arrow((730, MIDDLE), (782, MIDDLE)),
        text(838, MIDDLE - 4, "stop at <eos>", size=14, colour=INK),
        text(838, MIDDLE + 15, "or at the limit", size=14, colour=INK),
    ]
    for i, (name, share) in enumerate(CHOICES):
        y = MIDDLE - 30 + i * 30
        parts.append(text(424, y + 5, name, size=14, anchor="end"))
        parts.append(f'<rect x="432" y="{y - 9:g}" width="{110 * share + 3:g}" height="18" rx="3" fill="{KEY}"/>')
        parts.append(text(440 + 110 * share + 4, y + 5, f"{share:.2f}", size=13, anchor="start", colour=QUIET))
    return parts


if __name__ == "__main__":
    write(__file__, 910, 276, "The loop that writes", draw())
