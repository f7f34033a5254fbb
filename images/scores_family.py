"""Draw how the score functions are related. Run: python images/scores_family.py."""

from __future__ import annotations

from svg import KEY, QUERY, QUIET, VALUE, arrow, box, text, write

WIDTH, HEIGHT = 190, 56


def node(x: float, y: float, name: str, formula: str, colour: str) -> list[str]:
    """A score with its formula."""
    return [
        box(x, y, WIDTH, HEIGHT, colour),
        text(x, y - 6, name, size=16, bold=True),
        text(x, y + 16, formula, size=15),
    ]


def edge(start: tuple[float, float], end: tuple[float, float], words: str, at: tuple[float, float]) -> list[str]:
    """An arrow, and what happens on the way."""
    return [arrow(start, end), text(*at, words, size=14, anchor="start", colour=QUIET)]


def draw() -> list[str]:
    """The dot product in the middle of its family, the additive score by itself."""
    return [
        text(275, 34, "one matrix product for all pairs", size=15, bold=True),
        text(668, 34, "a small network for each pair", size=15, bold=True),
        *node(275, 90, "dot product", "q · k", QUERY),
        *node(275, 210, "scaled dot product", "q · k / √dₖ", QUERY),
        *node(110, 330, "bilinear", "q W kᵀ", KEY),
        *node(440, 330, "negative distance", "−‖q − k‖² / 2√dₖ", KEY),
        *node(460, 150, "cosine", "g · q · k / (‖q‖ ‖k‖)", KEY),
        *node(668, 90, "additive", "v · tanh(q + k)", VALUE),
        *edge((275, 120), (275, 180), "divide by √dₖ", (170, 154)),
        *edge((225, 240), (140, 300), "learn a matrix W", (62, 266)),
        *edge((325, 240), (410, 300), "subtract what lengths add", (390, 266)),
        *edge((372, 100), (420, 120), "divide by the lengths", (405, 98)),
        text(668, 150, "the first one (2015);", size=14, colour=QUIET),
        text(668, 170, "bounded, but T · S · dₖ", size=14, colour=QUIET),
        text(668, 190, "numbers in memory", size=14, colour=QUIET),
    ]


if __name__ == "__main__":
    title = (
        "From the dot product arrows lead to the scaled dot product and to the cosine, from the scaled dot product to "
        "the bilinear score and the negative distance. The additive score, a small network for each pair, stands by "
        "itself"
    )
    write(__file__, 790, 380, title, draw())
