"""Draw the layers of published hybrids. Run: python images/beyond_hybrids.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, text, write

ROW = 25
# name, note below, mixers from the first layer to the last of one period
STACKS = (
    ("Transformer", "every layer attends", "a" * 8),
    ("Jamba", "1 attention, 7 Mamba", "rrrrarrr"),
    ("Kimi Linear", "1 attention, 3 linear", "rrrarrra"),
    ("Mamba", "no attention, no FFN", "m" * 8),
)


def bar(x: float, y: float, colour: str, words: str, width: float) -> str:
    """Half a layer."""
    return (f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{ROW - 5}" rx="4" fill="{PALE[colour]}" '
            f'stroke="{colour}" stroke-width="1.2"/>' + text(x + width / 2, y + 14.5, words, size=12))  # fmt: skip


def stack(left: float, name: str, note: str, mixers: str) -> list[str]:
    """Eight layers, the first at the bottom: mixer on the left, feed-forward part on the right."""
    parts = [text(left + 70, 34, name, size=17, bold=True, colour=INK)]
    for i, mixer in enumerate(mixers):
        y = 52 + ROW * (7 - i)
        if mixer == "m":
            parts.append(bar(left, y, QUERY, "recurrence", 140))
            continue
        colour, words = (KEY, "attention") if mixer == "a" else (QUERY, "recurrence")
        experts = {"Jamba": i % 2 == 1, "Kimi Linear": True}.get(name, False)
        parts += [bar(left, y, colour, words, 78), bar(left + 82, y, VALUE if experts else QUIET,
                                                       "experts" if experts else "FFN", 58)]  # fmt: skip
    return [*parts, text(left + 70, 52 + 8 * ROW + 18, note, size=13, colour=QUIET)]


def draw() -> list[str]:
    """Four stacks."""
    return [piece for i, what in enumerate(STACKS) for piece in stack(26 + 170 * i, *what)]


if __name__ == "__main__":
    write(__file__, 702, 286, "What hybrids replace", draw())
