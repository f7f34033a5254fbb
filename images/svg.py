"""Pieces of drawings, shared by the scripts beside it. The ground is opaque, so that dark pages show it too."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

INK, QUIET, PAPER = "#1f2937", "#5b6675", "#f4f6f8"
QUERY, KEY, VALUE = "#0072b2", "#d55e00", "#008060"  # the three roles, everywhere in the course
PALE = {QUERY: "#d6e8f7", KEY: "#fbdfcf", VALUE: "#d3efe3", QUIET: "#e8eaee"}


def text(
    x: float, y: float, words: str, *, size: int = 16, anchor: str = "middle", colour: str = INK, bold: bool = False
) -> str:
    """Words with their baseline at y."""
    weight = ' font-weight="600"' if bold else ""
    return (f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}>'
            f"{escape(words)}</text>")  # fmt: skip


def box(x: float, y: float, width: float, height: float, colour: str, words: str = "", *, size: int = 16) -> str:
    """A rounded box in the pale shade of `colour`; x and y are its middle."""
    rect = (f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}" rx="6" '
            f'fill="{PALE[colour]}" stroke="{colour}" stroke-width="1.5"/>')  # fmt: skip
    return rect + (text(x, y + size * 0.35, words, size=size) if words else "")


def arrow(*points: tuple[float, float], colour: str = INK, width: float = 1.8, head: bool = True) -> str:
    """Straight pieces, with a head at the end."""
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
    end = f' marker-end="url(#h{colour[1:]})"' if head else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}" stroke-linejoin="round"{end}/>'


def curve(path: str, *, colour: str = INK, width: float = 1.8) -> str:
    """A path in SVG's own language, with a head at the end."""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}" marker-end="url(#h{colour[1:]})"/>'


def matrix(
    x: float, y: float, rows: list[list[int]], colour: str, *, lit: Iterable[tuple[int, int]] = (), cell: float = 32
) -> str:
    """A matrix of whole numbers in brackets; x and y are its middle, the entries of `lit` stand out."""
    height, width = cell * len(rows), cell * len(rows[0])
    left, top, lit = x - width / 2, y - height / 2, set(lit)
    parts = []
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            cx, cy = left + (j + 0.5) * cell, top + (i + 0.5) * cell
            if (i, j) in lit:
                parts.append(f'<rect x="{cx - cell / 2 + 2:g}" y="{cy - cell / 2 + 2:g}" width="{cell - 4:g}" '
                             f'height="{cell - 4:g}" rx="5" fill="{PALE[colour]}"/>')  # fmt: skip
            sign = str(entry).replace("-", "−")
            parts.append(text(cx, cy + 6, sign, size=17, bold=(i, j) in lit, colour=INK if (i, j) in lit else QUIET))
    for side, to in ((left - 4, 6), (left + width + 4, -6)):
        parts.append(f'<path d="M{side + to:g} {top:g} H{side:g} V{top + height:g} H{side + to:g}" fill="none" '
                     f'stroke="{colour}" stroke-width="2"/>')  # fmt: skip
    return "".join(parts)


def write(script: str, width: int, height: int, title: str, parts: Iterable[str]) -> None:
    """Save a drawing beside the script that made it."""
    heads = "".join(
        f'<marker id="h{colour[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 Z" fill="{colour}"/></marker>'
        for colour in (INK, QUIET, QUERY, KEY, VALUE)
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" font-family="Helvetica, Arial, sans-serif">',
        f"<title>{escape(title)}</title>",
        f"<defs>{heads}</defs>",
        f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="12" fill="white" stroke="#d0d7de"/>',
        *parts,
        "</svg>",
        "",
    ]
    Path(script).with_suffix(".svg").write_text("\n".join(lines), "utf8")
