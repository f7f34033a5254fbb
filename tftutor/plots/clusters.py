"""Vectors as points in the plane, one colour and one marker for each group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from tftutor.plots.style import COLOURS, MARKERS, array_of, axes_of


def clusters(
    groups: Mapping[str, Any], *, title: str = "", x_label: str = "", y_label: str = "", legend: bool = True,
    ax: Axes | None = None,
) -> None:  # fmt: skip
    """Scatter groups of points.

    Args:
        groups: name -> points (n, 2).
        legend: whether to list the names.
    """
    ax = axes_of(ax)
    for i, (name, vectors) in enumerate(groups.items()):
        x, y = array_of(vectors).T
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        ax.scatter(x, y, s=42, label=name, color=colour, marker=marker, alpha=0.85)
    ax.set(title=title, xlabel=x_label, ylabel=y_label, xticks=[], yticks=[])
    if legend:
        ax.legend(frameon=False)
