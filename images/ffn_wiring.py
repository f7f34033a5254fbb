"""Draw the serial and the parallel block, and how many products wait in a row. Run: python images/ffn_wiring.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, arrow, box, text, write


def plus(x: float, y: float) -> str:
    """A place where something is added to the stream."""
    return (f'<circle cx="{x:g}" cy="{y:g}" r="11" fill="white" stroke="{INK}" stroke-width="1.6"/>'
            + text(x, y + 6, "+", size=18))  # fmt: skip


def serial() -> list[str]:
    """Attention first, then the feed-forward layer reads the sum."""
    return [
        text(170, 36, "serial", size=19, bold=True),
        arrow((90, 400), (90, 308)),
        arrow((90, 286), (90, 138)),
        arrow((90, 116), (90, 60)),
        arrow((90, 384), (210, 384), (210, 366), colour=QUERY),
        box(210, 350, 130, 28, QUIET, "norm"),
        arrow((210, 336), (210, 318), colour=QUERY),
        box(210, 297, 130, 40, QUERY, "attention"),
        arrow((144, 297), (102, 297), colour=QUERY),
        plus(90, 297),
        arrow((90, 216), (210, 216), (210, 198), colour=KEY),
        box(210, 182, 130, 28, QUIET, "norm"),
        box(210, 127, 130, 40, KEY, "feed-forward"),
        arrow((210, 168), (210, 148), colour=KEY),
        arrow((144, 127), (102, 127), colour=KEY),
        plus(90, 127),
        text(296, 290, "4 products", size=15, anchor="start", colour=QUERY),
        text(296, 308, "in a row", size=15, anchor="start", colour=QUERY),
        text(296, 120, "then 2 more:", size=15, anchor="start", colour=KEY),
        text(296, 138, "6", size=15, anchor="start", colour=KEY, bold=True),
        text(90, 422, "x", size=17),
    ]


def parallel() -> list[str]:
    """Both read the same stream."""
    return [
        text(590, 36, "parallel", size=19, bold=True),
        arrow((590, 400), (590, 204)),
        arrow((590, 182), (590, 60)),
        arrow((590, 384), (490, 384), (490, 346), colour=QUERY),
        arrow((590, 384), (690, 384), (690, 346), colour=KEY),
        box(490, 330, 120, 28, QUIET, "norm"),
        box(690, 330, 120, 28, QUIET, "norm"),
        arrow((490, 316), (490, 290), colour=QUERY),
        arrow((690, 316), (690, 290), colour=KEY),
        box(490, 268, 120, 40, QUERY, "attention"),
        box(690, 268, 120, 40, KEY, "feed-forward"),
        arrow((490, 248), (490, 193), (578, 193), colour=QUERY),
        arrow((690, 248), (690, 193), (602, 193), colour=KEY),
        plus(590, 193),
        text(490, 160, "4 products in a row", size=15, colour=QUERY),
        text(690, 160, "2, meanwhile", size=15, colour=KEY),
        text(590, 422, "x", size=17),
    ]


if __name__ == "__main__":
    title = (
        "Two blocks. Serial: the stream passes a norm and attention, whose result is added; the sum passes a norm and "
        "the feed-forward layer, whose result is added, six products in a row. Parallel: both sub-layers read the same "
        "stream and both results are added to it at once, four products in a row"
    )
    write(__file__, 790, 440, title, [*serial(), *parallel()])
