"""Draw the popular, wrong picture of an LSTM with attention. Run: python images/recurrent_popular.py."""

from __future__ import annotations

import itertools

from svg import INK, KEY, QUERY, QUIET, VALUE, arrow, box, text, write


def letter(x: float, y: float, name: str) -> str:
    """The name of an arrow, in a circle."""
    return (f'<circle cx="{x:g}" cy="{y:g}" r="12" fill="white" stroke="{QUIET}" stroke-width="1.5"/>'
            + text(x, y + 5, name, size=15, bold=True))  # fmt: skip


def network(left: float, *, every_state: bool, letters: bool) -> list[str]:
    """Encoder below, attention in the middle, decoder above; what attention reads is right or wrong."""
    xs = [left + 60 + 62 * i for i in range(4)]
    middle = (xs[0] + xs[-1]) / 2
    parts = [text(x, 372, name, size=18) for x, name in zip(xs, "cats", strict=True)]
    parts += [arrow((x, 354), (x, 322)) for x in xs]
    parts += [box(x, 300, 44, 42, KEY) for x in xs]
    for a, b in itertools.pairwise(xs):
        parts.append(arrow((a + 22, 292), (b - 23, 292)))
        if every_state:
            parts.append(arrow((b - 22, 308), (a + 23, 308)))
    parts += [box(middle, 192, 130, 40, VALUE, "attention"), box(middle, 92, 130, 44, QUERY, "decoder LSTM", size=16)]
    parts.append(arrow((middle - 40, 115), (middle - 40, 171), colour=QUERY, width=2))
    parts.append(arrow((middle + 40, 171), (middle + 40, 115), colour=VALUE, width=2))
    parts += [text(middle - 50, 148, "query", size=14, anchor="end", colour=QUERY),
              text(middle + 50, 148, "context", size=14, anchor="start", colour=VALUE)]  # fmt: skip
    sources = xs if every_state else xs[-1:]
    ends = [middle - 45 + 30 * i for i in range(4)] if every_state else [middle + 40]
    parts += [arrow((x, 278), (end, 214), colour=KEY, width=2) for x, end in zip(sources, ends, strict=True)]
    parts += [arrow((middle, 69), (middle, 40)), text(middle, 30, "K AE T S", size=17, bold=True)]
    if letters:
        parts += [letter(xs[0] - 22, 340, "a"), letter(middle + 92, 246, "b"), letter(middle - 110, 143, "c"),
                  letter(middle + 122, 143, "d")]  # fmt: skip
    return parts


def draw() -> list[str]:
    """The drawing as one finds it, its arrows lettered."""
    note = [
        text(340, 296, "encoder LSTM, one", size=15, anchor="start", colour=QUIET),
        text(340, 316, "state per letter", size=15, anchor="start", colour=QUIET),
        text(340, 236, "the encoder's last", size=15, anchor="start", colour=INK),
        text(340, 256, "hidden state", size=15, anchor="start", colour=INK),
    ]
    return [*network(10, every_state=False, letters=True), *note]


if __name__ == "__main__":
    title = (
        "Letters go into an encoder LSTM (arrow a), its last hidden state into attention (b), the decoder's state into "
        "attention as a query (c), and the context back into the decoder (d)"
    )
    write(__file__, 520, 396, title, draw())
