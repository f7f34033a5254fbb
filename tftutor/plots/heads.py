"""Many heads at a glance: what each is called, and what each is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from tftutor.plots.style import COLOURS, MARKERS, array_of, axes_of


def label_grid(
    labels: Sequence[Sequence[str]],
    *,
    quiet: str = "",
    texts: Sequence[Sequence[str]] | None = None,
    row_label: str = "",
    column_label: str = "",
    ax: Axes | None = None,
) -> None:
    """A table of squares coloured by their label, with a legend; rows and columns count from 1.

    Args:
        labels: a word for each square, row by row.
        quiet: the word whose squares stay grey.
        texts: what to write into each square.
    """
    n_rows, n_columns = len(labels), len(labels[0])
    if any(len(row) != n_columns for row in labels):
        raise ValueError(f"labels: expected rows of {n_columns} words, got {[len(row) for row in labels]}")
    ax = axes_of(ax, height=0.42 * n_rows + 1.0)
    names = list(dict.fromkeys(word for row in labels for word in row if word != quiet))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)} | {quiet: "#e8eaee"}
    for i, row in enumerate(labels):
        for j, word in enumerate(row):
            ax.add_patch(Rectangle((j + 0.54, i + 0.54), 0.92, 0.92, color=colour[word], linewidth=0))
            if texts is not None:
                ink = "#333333" if word == quiet else "white"
                ax.text(j + 1, i + 1, texts[i][j], ha="center", va="center", size=7.5, color=ink)
    ax.set(xlim=(0.5, n_columns + 0.5), ylim=(n_rows + 0.5, 0.5), xlabel=column_label, ylabel=row_label)
    ax.set_xticks(range(1, n_columns + 1))
    ax.set_yticks(range(1, n_rows + 1))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    used = {word for row in labels for word in row}
    patches = [Patch(color=colour[name], label=name) for name in [*names, quiet] if name in used]
    ax.legend(handles=patches, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(patches))


def whiskers(
    rows: Mapping[str, Sequence[tuple[float, float, float]]], *, x_label: str = "", zero: bool = True,
    ax: Axes | None = None,
) -> None:  # fmt: skip
    """Points with intervals, one row of them per name; the points of a row stand below one another.

    Args:
        rows: name -> (value, low, high) for each point.
        zero: draw a line at 0.
    """
    ax = axes_of(ax, height=0.52 * len(rows) + 0.8)
    for i, (name, points) in enumerate(rows.items()):
        value, low, high = array_of(points).T
        if (low > value).any() or (high < value).any():
            raise ValueError(f"rows[{name!r}]: expected low <= value <= high")
        y = i + (np.arange(len(points)) - (len(points) - 1) / 2) * 0.8 / max(len(points), 1)
        colour = COLOURS[i % len(COLOURS)]
        ax.hlines(y, low, high, color=colour, linewidth=1.4)
        ax.plot(value, y, MARKERS[i % len(MARKERS)], color=colour, markersize=4)
    if zero:
        ax.axvline(0, color="#555555", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.set_xlabel(x_label)
