"""Draw memory reserved in stretches and handed out in blocks. Run: python images/kv_cache_blocks.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, text, write

CELL, LEFT = 22, 40
TEXTS = (("A", QUERY, 5), ("B", KEY, 11), ("C", VALUE, 4))


def cell(x: float, y: float, colour: str, *, used: bool) -> str:
    """Room for one token."""
    fill = PALE[colour] if used else "white"
    dash = "" if used else ' stroke-dasharray="2 2"'
    return (f'<rect x="{x + 1:g}" y="{y:g}" width="{CELL - 2}" height="26" rx="3" fill="{fill}" stroke="{colour}" '
            f'stroke-width="1.2"{dash}/>')  # fmt: skip


def reserved(y: float) -> list[str]:
    """Each text owns a stretch for twelve tokens."""
    parts = []
    for i, (name, colour, length) in enumerate(TEXTS[:2]):
        left = LEFT + i * 12 * CELL
        parts += [cell(left + j * CELL, y, colour, used=j < length) for j in range(12)]
        parts.append(text(left + 6 * CELL, y - 9, f"{name}: {length} of 12", size=14, colour=colour))
    return parts


def blocks(y: float) -> list[str]:
    """The same 24 places in six blocks of four."""
    owners = ("A", "B", "C", "B", "A", "B")
    colours = {name: colour for name, colour, _ in TEXTS}
    left_over = {name: length for name, _, length in TEXTS}
    parts = []
    for i, name in enumerate(owners):
        x = LEFT + i * 4 * CELL + i * 8
        for j in range(4):
            parts.append(cell(x + j * CELL, y, colours[name], used=left_over[name] > 0))
            left_over[name] -= 1
        parts.append(text(x + 2 * CELL, y - 9, f"block {i}: {name}", size=13, colour=colours[name]))
    return parts


def draw() -> list[str]:
    """Above: reserved; below: blocks and tables."""
    return [
        text(LEFT, 32, "one stretch each, as long as a text may ever get: a third text finds no room", size=15,
             anchor="start", bold=True, colour=INK),
        *reserved(66),
        text(LEFT, 136, "the same memory in blocks: a table says which blocks are a text's, in which order", size=15,
             anchor="start", bold=True, colour=INK),
        *blocks(172),
        text(LEFT, 228, "tables:   A = [0, 4]    B = [1, 3, 5]    C = [2]", size=15, anchor="start", colour=QUIET),
    ]  # fmt: skip


if __name__ == "__main__":
    write(__file__, 640, 248, "Memory in stretches and in blocks", draw())
