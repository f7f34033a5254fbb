"""Repeated measurements of several variants: every one of them as a point, with their mean and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from tftutor.plots.style import COLOURS, array_of, axes_of


def points(
    measured: Mapping[str, Any],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    x_label: str = "",
    title: str = "",
    numbers: str | None = None,
    reference: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> None:
    """One row per name, first on top: a point for each measurement, a line for their mean, a whisker for its interval.

    Args:
        measured: name -> measurements (n,), for instance one for each seed.
        intervals: name -> (low, high).
        numbers: format such as ".2f" to write each mean at the right edge.
        reference: name -> place of a dashed vertical line.
    """
    ax = axes_of(ax, height=0.36 * len(measured) + 1.0)
    for row, (name, values) in enumerate(measured.items()):
        values = array_of(values)
        if intervals and name in intervals:
            ax.hlines(row, *intervals[name], color="#999999", linewidth=1.2, zorder=1)
        ax.scatter(values, [row] * len(values), s=26, color=COLOURS[0], alpha=0.75, linewidth=0, zorder=2)
        ax.vlines(values.mean(), row - 0.28, row + 0.28, color="black", linewidth=1.6, zorder=3)
        if numbers is not None:
            ax.annotate(format(values.mean(), numbers), (1.0, row), xycoords=("axes fraction", "data"),
                        textcoords="offset points", xytext=(6, 0), va="center", size=9)  # fmt: skip
    for name, place in (reference or {}).items():
        ax.axvline(place, color="#555555", linestyle="--", linewidth=1.0, zorder=0)
        ax.annotate(name, (place, 1.0), xycoords=("data", "axes fraction"), textcoords="offset points", xytext=(0, 4),
                    ha="center", size=9, color="#555555")  # fmt: skip
    ax.set_yticks(range(len(measured)), list(measured))
    ax.set_ylim(len(measured) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=x_label)
    ax.set_title(title, pad=18 if reference and title else None)
