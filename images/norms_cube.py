"""Draw which numbers of a batch share a mean under four norms. Run: python images/norms_cube.py."""

from __future__ import annotations

from collections.abc import Callable

from svg import KEY, PALE, QUERY, QUIET, VALUE, text, write

B, T, D = 3, 4, 5  # sequences, tokens, features
CELL, AWAY, UP = 24, 17, 13  # side of a cell; how far the next sequence stands behind
LENGTHS = (4, 2, 3)


def point(x0: float, y0: float, d: float, t: float, b: float) -> str:
    """A corner of the grid on paper: features to the right, tokens down, sequences to the back."""
    return f"{x0 + d * CELL + b * AWAY:g} {y0 + t * CELL - b * UP:g}"


def face(x0: float, y0: float, corners: list[tuple[float, float, float]], fill: str, line: str, width: float) -> str:
    """A filled polygon."""
    path = " L".join(point(x0, y0, *corner) for corner in corners)
    return f'<path d="M{path} Z" fill="{fill}" stroke="{line}" stroke-width="{width:g}" stroke-linejoin="round"/>'


def cell(x0: float, y0: float, d: int, t: int, b: int, colour: str, dashed: bool) -> list[str]:
    """Front, top and right face of one number."""
    fill = "white" if dashed else PALE[colour]
    line = QUIET if dashed else colour
    front = [(d, t, b), (d + 1, t, b), (d + 1, t + 1, b), (d, t + 1, b)]
    top = [(d, t, b), (d + 1, t, b), (d + 1, t, b + 1), (d, t, b + 1)]
    right = [(d + 1, t, b), (d + 1, t, b + 1), (d + 1, t + 1, b + 1), (d + 1, t + 1, b)]
    parts = [face(x0, y0, corners, fill, line, 1.1) for corners in (top, right, front)]
    return [part.replace("/>", ' stroke-dasharray="3 2"/>') for part in parts] if dashed else parts


def cube(
    x0: float, y0: float, colour: str, shared: Callable[[int, int, int], bool],
    left_out: Callable[[int, int, int], bool] = lambda b, t, d: False,
) -> list[str]:  # fmt: skip
    """The frame of a batch and the numbers that are taken together."""
    whole = [
        [(0, 0, B), (D, 0, B), (D, T, B), (0, T, B)],
        [(0, 0, 0), (0, 0, B), (0, T, B), (0, T, 0)],
        [(0, T, 0), (D, T, 0), (D, T, B), (0, T, B)],
    ]
    parts = [face(x0, y0, corners, "none", "#b8c0cc", 1) for corners in whole]
    for b in reversed(range(B)):
        for t in reversed(range(T)):
            for d in range(D):
                if shared(b, t, d):
                    parts += cell(x0, y0, d, t, b, colour, left_out(b, t, d))
    frame = [
        [(0, 0, 0), (D, 0, 0), (D, T, 0), (0, T, 0)],
        [(0, 0, 0), (D, 0, 0), (D, 0, B), (0, 0, B)],
        [(D, 0, 0), (D, 0, B), (D, T, B), (D, T, 0)],
    ]
    return parts + [face(x0, y0, corners, "none", "#8a94a3", 1.2) for corners in frame]


def draw() -> list[str]:
    """Four cubes side by side, and the axes at the first."""
    y0, step = 122.0, 212
    words = (
        ("layer norm, RMSNorm", "one token, all features", QUERY),
        ("norm of a sample", "all tokens of a sequence", KEY),
        ("batch norm", "one feature, all tokens", VALUE),
        ("masked batch norm", "… that are no padding", VALUE),
    )
    sets: tuple[Callable[[int, int, int], bool], ...] = (
        lambda b, t, d: (b, t) == (0, 1),
        lambda b, t, d: b == 0,
        lambda b, t, d: d == 4,
        lambda b, t, d: d == 4,
    )
    parts = []
    for i, ((name, what, colour), shared) in enumerate(zip(words, sets, strict=True)):
        x0 = 46.0 + i * step
        left_out = (lambda b, t, d: t >= LENGTHS[b]) if i == 3 else (lambda b, t, d: False)
        parts += [
            text(x0 + 82, 34, name, size=17, bold=True),
            text(x0 + 82, 56, what, size=14, colour=QUIET),
            *cube(x0, y0, colour, shared, left_out),
        ]
    parts += [
        text(106, y0 + T * CELL + 22, "features D", size=14),
        f'<g transform="rotate(-90 34 {y0 + 48:g})">{text(34, y0 + 48, "tokens T", size=14)}</g>',
        text(56, y0 - 30, "batch B", size=14, anchor="middle"),
    ]
    return parts


if __name__ == "__main__":
    title = (
        "Four times the same block of batch times tokens times features. Under layer norm and RMSNorm the five "
        "features of one token are shaded, under a norm of the sample all tokens and features of the first "
        "sequence, under batch norm one feature of all tokens of all sequences, under masked batch norm the same "
        "without padding"
    )
    write(__file__, 880, 260, title, draw())
