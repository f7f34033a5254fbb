"""Draw the encoder-decoder with everything that is usually left out. Run: python images/encoder_decoder.py.

The ground is opaque, so that the drawing reads the same on light and on dark pages.
"""

from __future__ import annotations

from pathlib import Path

WIDTH, HEIGHT = 860, 930
INK, QUIET = "#1f2937", "#5b6675"
SELF, CROSS, FFN, NORM, TABLE = "#d6e8f7", "#fbdfcf", "#d3efe3", "#e8eaee", "#ecdff0"
EDGE = {SELF: "#0072b2", CROSS: "#d55e00", FFN: "#009e73", NORM: "#5b6675", TABLE: "#8a4f7d"}

ENCODER = 70  # x of the encoder's residual stream
DECODER = 800  # x of the decoder's
BOX = 196  # width of a sub-layer
BUS = 432  # x of the line that brings the memory to every decoder layer


def text(
    x: float, y: float, words: str, *, size: int = 15, anchor: str = "middle", colour: str = INK, bold: bool = False
) -> str:
    """Words with their baseline at y."""
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}>{words}</text>'


def box(x: float, y: float, width: float, height: float, fill: str, *lines: str) -> str:
    """A rounded box around one or two lines of text; x and y are its middle."""
    rect = (f'<rect x="{x - width / 2}" y="{y - height / 2}" width="{width}" height="{height}" rx="7" fill="{fill}" '
            f'stroke="{EDGE[fill]}" stroke-width="1.5"/>')  # fmt: skip
    first = y + 5 - 9 * (len(lines) - 1)
    words = [
        text(x, first + 18 * i, line, size=15 if i == 0 else 13, colour=INK if i == 0 else QUIET)
        for i, line in enumerate(lines)
    ]
    return "\n".join([rect, *words])


def line(*points: tuple[float, float], arrow: bool = True, colour: str = INK, width: float = 1.8) -> str:
    """Straight pieces, with a head at the end."""
    path = "M" + " L".join(f"{x} {y}" for x, y in points)
    head = f' marker-end="url(#{"orange" if colour == EDGE[CROSS] else "ink"})"' if arrow else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{head}/>'


def plus(x: float, y: float) -> str:
    """Where two streams are added."""
    return (f'<circle cx="{x}" cy="{y}" r="11" fill="white" stroke="{INK}" stroke-width="1.6"/>'
            f'<path d="M{x - 6} {y} H{x + 6} M{x} {y - 6} V{y + 6}" stroke="{INK}" stroke-width="1.6"/>')  # fmt: skip


def cells(x: float, y: float, symbols: list[str], fill: str, *, height: int = 28, step: int = 40) -> str:
    """A row of tokens, or of vectors when the symbols are empty; x is the middle of the row."""
    left = x - step * len(symbols) / 2
    parts = []
    for i, symbol in enumerate(symbols):
        parts.append(f'<rect x="{left + i * step + 2}" y="{y - height / 2}" width="{step - 4}" height="{height}" '
                     f'rx="4" fill="{fill}" stroke="{EDGE[fill]}" stroke-width="1.2"/>')  # fmt: skip
        if symbol:
            parts.append(text(left + (i + 0.5) * step, y + 5, symbol, size=13))
    return "\n".join(parts)


def ticks(x: float, y: float, n: int, *, step: int = 40) -> list[str]:
    """A short arrow up from (or to) each of a row of cells."""
    left = x - step * (n - 1) / 2
    return [line((left + i * step, y), (left + i * step, y - 19), width=1.3) for i in range(n)]


def badge(x: float, y: float, number: int, colour: str) -> str:
    """The number of an attention site."""
    figure = text(x, y + 5, str(number), size=14, colour="white", bold=True)
    return f'<circle cx="{x}" cy="{y}" r="11" fill="{colour}"/>{figure}'


def sublayer(stream: float, side: int, y: float, fill: str, *lines: str) -> str:
    """A branch off the residual stream: norm, then the sub-layer, then back into the stream by addition.

    `side` is 1 when the branch lies to the right of the stream, -1 to the left; y is the middle of the sub-layer.
    """
    middle = stream + side * 165
    return "\n".join(
        [
            line((stream, y + 56), (middle, y + 56), (middle, y + 25)),
            box(middle - side * 62, y + 56, 54, 22, NORM, "norm"),
            box(middle, y, BOX, 48, fill, *lines),
            line((middle, y - 25), (middle, y - 44), (stream + side * 12, y - 44)),
            plus(stream, y - 44),
        ]
    )


def layer(x: float, top: float, bottom: float, width: float, name: str, anchor: str) -> str:
    """A dashed frame around what is repeated."""
    frame = (f'<rect x="{x}" y="{top}" width="{width}" height="{bottom - top}" rx="12" fill="#f8f9fb" stroke="{QUIET}" '
             f'stroke-width="1.2" stroke-dasharray="5 4"/>')  # fmt: skip
    where = x + width - 12 if anchor == "end" else x + 12
    return frame + text(where, top + 20, name, anchor=anchor, size=14, colour=QUIET, bold=True)


def encoder() -> list[str]:
    """The left half, from the letters to the memory."""
    x = ENCODER
    return [
        layer(28, 404, 716, 352, "encoder layer, N times", "end"),
        text(x - 26, 914, "source: letters, then the end mark", size=14, anchor="start", colour=QUIET),
        cells(x + 112, 880, [*"school", "eos"], NORM),
        *ticks(x + 112, 864, 7),
        box(x + 112, 824, 280, 34, TABLE, "embedding × √D"),
        line((x, 807), (x, 775), width=2.6),
        plus(x, 763),
        line((x + 76, 763), (x + 13, 763)),
        text(x + 82, 768, "positions", size=14, anchor="start", colour=QUIET),
        line((x, 751), (x, 594), arrow=False, width=2.6),
        sublayer(x, 1, 626, SELF, "self-attention", "mask: source padding"),
        badge(x + 165 + BOX / 2, 602, 1, EDGE[SELF]),
        line((x, 570), (x, 460), arrow=False, width=2.6),
        sublayer(x, 1, 492, FFN, "feed-forward", "each position alone"),
        line((x, 436), (x, 381), width=2.6),
        box(x + 112, 366, 280, 26, NORM, "norm"),
        *ticks(x + 112, 352, 7),
        cells(x + 112, 306, [""] * 7, CROSS, height=50),
        text(x - 26, 251, "memory: one vector per source token", size=15, anchor="start", bold=True),
        text(x - 26, 270, "computed once, read by every decoder layer", size=13, anchor="start", colour=QUIET),
    ]  # fmt: skip


def decoder() -> list[str]:
    """The right half, from the shifted target to the distribution over the next token."""
    x, orange = DECODER, EDGE[CROSS]
    left = x - 165 - BOX / 2
    return [
        layer(486, 296, 716, 352, "decoder layer 1", "start"),
        text(x + 26, 914, "target, shifted right: it begins with bos", size=14, anchor="end", colour=QUIET),
        cells(x - 72, 880, ["bos", "S", "K", "UW", "L"], NORM),
        *ticks(x - 72, 864, 5),
        box(x - 72, 824, 200, 34, TABLE, "embedding × √D"),
        line((x, 807), (x, 775), width=2.6),
        plus(x, 763),
        line((x - 76, 763), (x - 13, 763)),
        text(x - 82, 768, "positions", size=14, anchor="end", colour=QUIET),
        line((x, 751), (x, 605), arrow=False, width=2.6),
        sublayer(x, -1, 637, SELF, "self-attention", "mask: future, target padding"),
        badge(left, 613, 2, EDGE[SELF]),
        line((x, 581), (x, 483), arrow=False, width=2.6),
        sublayer(x, -1, 515, CROSS, "cross-attention", "mask: source padding"),
        badge(left, 491, 3, orange),
        line((x, 459), (x, 361), arrow=False, width=2.6),
        sublayer(x, -1, 393, FFN, "feed-forward", "each position alone"),
        line((x, 337), (x, 283), width=2.6),
        box(x - 144, 262, 340, 36, NORM, "decoder layer 2: the same three sub-layers"),
        line((x, 244), (x, 227), width=2.6),
        box(x - 144, 206, 340, 36, NORM, "decoder layer N: the same three sub-layers"),
        line((x, 188), (x, 171), width=2.6),
        box(x - 72, 156, 200, 26, NORM, "norm"),
        line((x, 143), (x, 126), width=2.6),
        box(x - 72, 108, 200, 34, TABLE, "linear D → V, softmax"),
        *ticks(x - 72, 90, 5),
        cells(x - 72, 56, ["S", "K", "UW", "L", "eos"], NORM),
        text(x + 26, 30, "at each position, the next token", size=14, anchor="end", colour=QUIET),
        line((324, 306), (BUS, 306), arrow=False, colour=orange, width=2.6),
        line((BUS, 206), (BUS, 515), arrow=False, colour=orange, width=2.6),
        *[line((BUS, y), (end, y), colour=orange, width=2.6) for y, end in ((515, left - 3), (262, 482), (206, 482))],
        text(BUS - 54, 326, "keys, values", size=13, colour=orange),
    ]  # fmt: skip


def legend() -> list[str]:
    """How to read the signs."""
    return [
        badge(56, 52, 1, EDGE[SELF]), badge(82, 52, 2, EDGE[SELF]), badge(108, 52, 3, EDGE[CROSS]),
        text(130, 57, "the three attention sites", size=14, anchor="start"),
        plus(56, 88),
        text(78, 93, "residual connection: add to the stream", size=14, anchor="start"),
        box(68, 124, 54, 22, NORM, "norm"),
        text(106, 129, "here before each sub-layer (pre-norm)", size=14, anchor="start"),
    ]  # fmt: skip


def draw() -> str:
    """The drawing as SVG."""
    label = (
        "An encoder on the left turns letters into a memory of one vector per letter; the memory goes to every "
        "layer of the decoder on the right, which turns the shifted target into the next token at each position"
    )
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 Z" fill="{colour}"/></marker>'
        for name, colour in (("ink", INK), ("orange", EDGE[CROSS]))
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'role="img" font-family="Helvetica, Arial, sans-serif">',
            f"<title>{label}</title>",
            f"<defs>{heads}</defs>",
            f'<rect x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="14" fill="white" stroke="#d0d7de"/>',
            *encoder(),
            *decoder(),
            *legend(),
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), "utf8")
