"""Draw why one masked pass does the work of many prefix passes. Run: python images/forcing_one_pass.py."""

from __future__ import annotations

from svg import INK, PAPER, QUERY, QUIET, VALUE, arrow, box, text, write

INPUTS = ("<bos>", "S", "K", "UW", "L")
ANSWERS = ("S", "K", "UW", "L", "<eos>")
CELL, TOP, ROW = 54, 118, 46
LIT = 2  # the row that is pointed out


def y_of(t: int) -> float:
    """Where row t has its middle."""
    return TOP + t * ROW


def marked(x: float, width: float) -> str:
    """A band behind the row that is pointed out."""
    return f'<rect x="{x:g}" y="{y_of(LIT) - ROW / 2:g}" width="{width:g}" height="{ROW:g}" rx="8" fill="#fff3c9"/>'


def passes(x0: float) -> list[str]:
    """Five passes, one below the other, each over a longer prefix."""
    parts = [text(x0 + 206, 34, "five passes, one for each prefix", size=18, bold=True),
             text(x0 + 206, 58, "of each pass only the last prediction is kept", size=14, colour=QUIET),
             marked(x0 - 8, 424)]  # fmt: skip
    for t, answer in enumerate(ANSWERS):
        y = y_of(t)
        parts += [box(x0 + 26 + i * CELL, y, CELL - 6, 30, QUERY, INPUTS[i], size=14) for i in range(t + 1)]
        parts.append(arrow((x0 + 26 + (t + 0.5) * CELL, y), (x0 + 344, y), colour=QUIET))
        parts.append(box(x0 + 378, y, 60, 30, VALUE, answer, size=14))
    return parts


def one_pass(x0: float) -> list[str]:
    """One pass: row t may look at the inputs up to t, which are those of the prefix."""
    columns = [x0 + 26 + i * CELL for i in range(5)]
    parts = [text(x0 + 206, 34, "one pass with the causal mask", size=18, bold=True),
             text(x0 + 206, 58, "row t may look at the first t inputs only", size=14, colour=QUIET),
             marked(x0 - 8, 424)]  # fmt: skip
    parts += [
        text(x, TOP - 30, name, size=14, bold=True, colour=QUERY) for x, name in zip(columns, INPUTS, strict=True)
    ]
    for t, answer in enumerate(ANSWERS):
        y = y_of(t)
        for i, x in enumerate(columns):
            if i <= t:
                parts.append(box(x, y, CELL - 6, 30, QUERY))
                parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="{INK}"/>')
            else:
                parts.append(f'<rect x="{x - CELL / 2 + 3:g}" y="{y - 15:g}" width="{CELL - 6}" height="30" rx="6" '
                             f'fill="{PAPER}" stroke="#c3cad3" stroke-dasharray="3 3"/>')  # fmt: skip
        parts.append(arrow((x0 + 292, y), (x0 + 344, y), colour=QUIET))
        parts.append(box(x0 + 378, y, 60, 30, VALUE, answer, size=14))
    return parts


def draw() -> list[str]:
    """The passes on the left, the one pass on the right."""
    same = [text(490, y_of(LIT) + 8, "=", size=30, bold=True)]
    foot = [text(490, y_of(4) + 48, "The marked rows: both predict UW from the spelling and <bos>, S, K, nothing else.",
                 size=15, colour=INK)]  # fmt: skip
    return [*passes(28), *one_pass(530), *same, *foot]


if __name__ == "__main__":
    heading = (
        "Left, five passes over the prefixes of bos, S, K, UW, L, of which each keeps its last prediction: S, K, UW, "
        "L, eos. Right, one pass whose row t looks at the first t inputs only; its five rows give the same predictions."
    )
    write(__file__, 980, 370, heading, draw())
