"""Draw the map of the course: which idea leads to which. Run: python images/clinic_map.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, VALUE, arrow, box, text, write

ROWS = (66, 176, 286, 396, 506)
PARTS = ("why", "mechanism", "build, train", "use", "families")
# name -> row, middle, width, colour
BOXES = {
    "symbols to probabilities": (0, 240, 190, QUIET),
    "one vector for all": (0, 460, 150, QUIET),
    "attention": (0, 640, 110, QUERY),
    "query, key, value": (1, 215, 140, QUERY),
    "scores / √d": (1, 370, 110, QUERY),
    "masks": (1, 510, 90, VALUE),
    "heads": (1, 640, 90, QUERY),
    "positions": (1, 805, 110, KEY),
    "residuals, norms": (2, 215, 140, QUIET),
    "feed-forward": (2, 370, 110, QUIET),
    "teacher forcing": (2, 510, 130, VALUE),
    "block, model": (2, 690, 130, QUIET),
    "cost of N²": (3, 250, 120, QUERY),
    "generation": (3, 400, 110, QUIET),
    "KV cache": (3, 540, 100, VALUE),
    "longer texts": (3, 805, 120, KEY),
    "beyond attention": (4, 230, 150, QUERY),
    "decoder-only": (4, 430, 130, VALUE),
    "BERT, GPT": (4, 590, 110, VALUE),
    "T5": (4, 720, 70, QUIET),
}


def at(name: str, side: str) -> tuple[float, float]:
    """The middle of one side of a box."""
    row, x, width, _ = BOXES[name]
    dx, dy = {"l": (-width / 2 - 3, 0), "r": (width / 2 + 3, 0), "t": (0, -21), "b": (0, 21)}[side]
    return x + dx, ROWS[row] + dy


def link(start: str, end: str, sides: str, colour: str, *bends: tuple[float, float]) -> str:
    """An arrow from a side of one box to a side of another."""
    return arrow(at(start, sides[0]), *bends, at(end, sides[1]), colour=colour, width=1.7)


def draw() -> list[str]:
    """Rows are parts of the course; arrows say what needs what."""
    bands = [f'<rect x="14" y="{y - 42}" width="872" height="84" rx="8" fill="#f4f6f8"/>' for y in ROWS]
    names = [text(28, y + 5, name, size=15, anchor="start", colour=QUIET, bold=True)
             for y, name in zip(ROWS, PARTS, strict=True)]  # fmt: skip
    links = [
        link("one vector for all", "attention", "rl", QUIET),
        link("symbols to probabilities", "one vector for all", "rl", QUIET),
        link("attention", "query, key, value", "bt", QUERY, (640, 121), (215, 121)),
        link("query, key, value", "scores / √d", "rl", QUERY),
        link("scores / √d", "masks", "rl", QUERY),
        link("masks", "heads", "rl", QUERY),
        link("heads", "block, model", "bt", QUERY, (640, 231), (690, 231)),
        link("masks", "teacher forcing", "bt", VALUE),
        arrow((805, 197), (805, 372), colour=KEY, width=1.7),
        link("residuals, norms", "feed-forward", "rl", QUIET),
        arrow((370, 309), (370, 330), (690, 330), (690, 309), colour=QUIET, width=1.7),
        arrow((330, 197), (298, 222), (298, 350), (270, 373), colour=QUERY, width=1.7),
        link("generation", "KV cache", "rl", VALUE),
        arrow((545, 197), (592, 228), (592, 350), (562, 373), colour=VALUE, width=1.7),
        link("cost of N²", "beyond attention", "bt", QUERY, (250, 451), (230, 451)),
        link("KV cache", "decoder-only", "bt", VALUE, (540, 451), (430, 451)),
        arrow((556, 192), (612, 222), (612, 470), (600, 484), colour=VALUE, width=1.7),
        arrow((725, 307), (725, 485), colour=QUIET, width=1.7),
    ]
    boxes = [box(x, ROWS[row], width, 36, colour, name, size=14) for name, (row, x, width, colour) in BOXES.items()]
    legend = text(450, 572, "green: the mask, and what hangs on it", size=14, colour=INK)
    return [*bands, *names, *links, *boxes, legend]


if __name__ == "__main__":
    write(__file__, 900, 590, "Which idea leads to which", draw())
