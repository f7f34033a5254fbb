"""Draw one token asking all others: query, keys, shares, values. Run: python images/qkv_soft_search.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, VALUE, arrow, box, text, write

WORDS = ("we", "eat", "red", "apple")
SHARES = (0.003, 0.897, 0.050, 0.050)  # the chapter computes them by hand
COLUMNS = (145, 287, 429, 571)
TOKEN, PARTS, BUS, SHARE, RESULT = 462, 402, 338, 232, 74


def places(x: float, word: str) -> list[tuple[float, str, str]]:
    """Where the vectors of a token stand, with name and colour; only the asking token shows its query."""
    parts = [(x - 36, "k", KEY), (x + 36, "v", VALUE)]
    return [*parts, (x + 86, "q", QUERY)] if word == "apple" else parts


def token(word: str, x: float) -> list[str]:
    """A word with the vectors made from it."""
    made = places(x, word)
    return [
        box(x, TOKEN, 96, 36, QUIET, word, size=18),
        *[arrow((x, TOKEN - 18), (at, PARTS + 18), colour=QUIET, width=1.3) for at, _, _ in made],
        *[box(at, PARTS, 38, 32, colour, name, size=18) for at, name, colour in made],
    ]


def share(x: float, weight: float) -> list[str]:
    """From a key up: the score, the share as a bar; beside it the value, as strong as the share."""
    key, value, height, strength = x - 36, x + 36, 62 * weight + 1.5, 1.2 + 5 * weight
    return [
        arrow((key, PARTS - 16), (key, BUS), colour=KEY, width=1.6, head=False),
        f'<circle cx="{key}" cy="{BUS}" r="5" fill="{INK}"/>',
        arrow((key, BUS - 5), (key, SHARE + 28), width=1.4),
        f'<rect x="{key - 20}" y="{SHARE - height:g}" width="40" height="{height:g}" rx="2" fill="{QUERY}"/>',
        text(key, SHARE + 20, f"{weight:.2f}", size=17, bold=True),
        arrow((value, PARTS - 16), (value, BUS + 7), colour=VALUE, width=strength, head=False),
        arrow((value, BUS - 7), (value, 150), (355 + 0.18 * (x - 355), RESULT + 22), colour=VALUE, width=strength),
    ]


def draw() -> list[str]:
    """From bottom to top: words, their parts, scores, shares, the mixture."""
    end = COLUMNS[-1] + 86
    return [
        *[piece for word, x in zip(WORDS, COLUMNS, strict=True) for piece in token(word, x)],
        *[piece for x, weight in zip(COLUMNS, SHARES, strict=True) for piece in share(x, weight)],
        arrow((end, PARTS - 16), (end, BUS), (COLUMNS[0] - 36, BUS), colour=QUERY, width=2.4, head=False),
        text(44, BUS + 6, "q · k", size=17, bold=True),
        text(44, SHARE - 12, "softmax", size=15, colour=QUIET),
        text(44, SHARE + 8, "shares", size=17, bold=True),
        box(355, RESULT, 330, 40, VALUE, "what “apple” now knows: mostly “eat”", size=17),
        text(355, 34, "new vector = shares × values, added up", size=15, colour=QUIET),
    ]


if __name__ == "__main__":
    title = (
        "The word apple sends its query to the keys of we, eat, red and apple; a softmax turns the scores into shares "
        "0.00, 0.90, 0.05 and 0.05; the values, mixed in these shares, are what apple receives"
    )
    write(__file__, 700, 496, title, draw())
