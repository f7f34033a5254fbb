"""Draw where position schemes enter an attention layer. Run: python images/positions_entrances.py."""

from __future__ import annotations

from svg import KEY, PALE, QUERY, QUIET, VALUE, arrow, box, text, write

ROW, TOP = 182, 66
STATIONS = {"x": 216, "qk": 352, "scores": 488, "softmax": 624}


def entrance(x: float, number: str, what: str, who: tuple[str, ...], colour: str) -> list[str]:
    """A numbered label with an arrow down to the row of boxes."""
    lines = [text(x, TOP - 6 + 18 * (i + 1), name, size=14) for i, name in enumerate(who)]
    left = x - 4.4 * len(what)
    return [
        f'<circle cx="{left - 8:g}" cy="{TOP - 21:g}" r="11" fill="{PALE[colour]}" stroke="{colour}"/>',
        text(left - 8, TOP - 16, number, size=14, bold=True),
        text(left + 10, TOP - 16, what, size=15, bold=True, colour=colour, anchor="start"),
        *lines,
        arrow((x, TOP + 42), (x, ROW - 24), colour=colour, width=2.2),
    ]


def draw() -> list[str]:
    """A row of boxes from token to mixture, entrances above, values below."""
    low = ROW + 92
    return [
        box(76, ROW, 112, 44, QUIET, "embedding", size=15),
        box(STATIONS["x"], ROW, 72, 44, QUIET, "x", size=16),
        box(STATIONS["qk"], ROW, 92, 44, QUERY, "q, k", size=16),
        box(STATIONS["scores"], ROW, 92, 44, KEY, "scores", size=16),
        box(STATIONS["softmax"], ROW, 92, 44, KEY, "softmax", size=16),
        box(STATIONS["qk"], low, 92, 40, VALUE, "v", size=16),
        box(STATIONS["softmax"], low, 92, 40, VALUE, "mixture", size=15),
        arrow((132, ROW), (178, ROW)),
        arrow((252, ROW), (304, ROW)),
        arrow((398, ROW), (440, ROW)),
        arrow((534, ROW), (576, ROW)),
        arrow((624, ROW + 22), (624, low - 22)),
        arrow((216, ROW + 22), (216, low), (304, low)),
        arrow((398, low), (576, low)),
        *entrance(STATIONS["x"] - 36, "1", "added", ("sinusoids,", "learned table"), QUIET),
        *entrance(STATIONS["qk"] - 4, "2", "turned", ("RoPE",), QUERY),
        *entrance(STATIONS["scores"], "3", "biased", ("T5, ALiBi",), KEY),
        *entrance(STATIONS["softmax"], "4", "masked", ("causal mask,", "no positions"), QUIET),
        text(487, low + 40, "schemes 2 and 3 leave the values alone", size=14, colour=QUIET),
    ]


if __name__ == "__main__":
    title = (
        "From left to right: embedding, x, queries and keys, scores, softmax; below, values go from x to the mixture. "
        "Four entrances for positions: added to x, turning q and k, biasing scores, and the causal mask"
    )
    write(__file__, 720, 330, title, draw())
