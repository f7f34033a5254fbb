"""Draw the two questions about one word. Run: python images/pretraining_objectives.py."""

from __future__ import annotations

from svg import KEY, QUERY, QUIET, VALUE, arrow, box, text, write

STEP = 62


def row(left: float, y: float, symbols: list[str], colours: list[str]) -> list[str]:
    """A row of small boxes."""
    return [box(left + i * STEP, y, 50, 34, colour, symbol)
            for i, (symbol, colour) in enumerate(zip(symbols, colours, strict=True)) if symbol]  # fmt: skip


def causal(left: float) -> list[str]:
    """Every place asks for the next letter."""
    letters = ["s", "c", "a", "l", "e"]
    parts = [text(left - 34, 46, "GPT: go on", size=18, bold=True, anchor="start"),
             text(left - 34, 70, "each place sees itself and what is left of it", size=15, anchor="start",
                  colour=QUIET)]  # fmt: skip
    parts += row(left, 252, ["bos", *letters], [QUIET] + [QUERY] * 5)
    parts += row(left, 118, [*letters, "eos"], [VALUE] * 6)
    for i in range(6):
        parts.append(arrow((left + i * STEP, 232), (left + i * STEP, 138)))
        if i:
            parts.append(arrow((left + (i - 1) * STEP, 232), (left + i * STEP - 4, 150), colour=QUIET, width=1.2))
    parts.append(text(left + 2.5 * STEP, 300, "6 answers from 6 places", size=16))
    return parts


def masked(left: float) -> list[str]:
    """Only the hidden letter is asked for, from both sides."""
    parts = [text(left - 34, 46, "BERT: fill the gap", size=18, bold=True, anchor="start"),
             text(left - 34, 70, "each place sees all places", size=15, anchor="start", colour=QUIET)]  # fmt: skip
    parts += row(left, 252, ["bos", "s", "c", "?", "l", "e", "eos"], [QUIET, QUERY, QUERY, KEY, QUERY, QUERY, QUIET])
    parts += row(left, 118, ["", "", "", "a", "", "", ""], [VALUE] * 7)
    middle = left + 3 * STEP
    for i in range(7):
        offset = (i - 3) * 5
        colour, width = (QUERY, 1.8) if i == 3 else (QUIET, 1.2)
        parts.append(arrow((left + i * STEP, 232), (middle + offset, 138), colour=colour, width=width))
    parts.append(text(left + 3 * STEP, 300, "1 answer from 7 places", size=16))
    return parts


if __name__ == "__main__":
    title = (
        "The word scale twice. Left, GPT: from the beginning mark and each letter an arrow leads to the next letter, "
        "six answers. Right, BERT: the letter a is hidden, arrows from all seven places lead to this one answer"
    )
    write(__file__, 920, 326, title, [*causal(62), *masked(486)])
