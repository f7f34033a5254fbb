"""Curves, bars and arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tftutor.plots.style import COLOURS, MARKERS, array_of, axes_of


def lines(
    x: Any,
    curves: Mapping[str, Any],
    *,
    intervals: Mapping[str, tuple[Any, Any]] | None = None,
    x_label: str = "",
    y_label: str = "",
    title: str = "",
    log: str = "",
    markers: bool = True,
    reference: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> None:
    """Curves over a common x, each with its name; a sweep also has an interval around each curve.

    Args:
        x: positions, (n,).
        curves: name -> values (n,).
        intervals: name -> (low, high), drawn as a band, for instance the range over seeds.
        log: "x", "y" or "xy" for logarithmic axes.
        reference: name -> height of a dashed horizontal line.
    """
    ax = axes_of(ax)
    x = array_of(x)
    for i, (name, values) in enumerate(curves.items()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        ax.plot(x, array_of(values), label=name, color=colour, marker=marker if markers else None)
        if intervals and name in intervals:
            low, high = (array_of(edge) for edge in intervals[name])
            ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    for name, height in (reference or {}).items():
        ax.axhline(height, color="#555555", linestyle="--", linewidth=1.0, label=name)
    if "x" in log:
        ax.set_xscale("log")
        if len(x) <= 10:  # a sweep: name the points that were measured
            ax.set_xticks(x, [f"{value:g}" for value in x])
            ax.minorticks_off()
    if "y" in log:
        ax.set_yscale("log")
    ax.set(xlabel=x_label, ylabel=y_label, title=title)
    if len(curves) + len(reference or {}) > 1:
        ax.legend()


def bars(
    heights: Mapping[str, Any],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    y_label: str = "",
    title: str = "",
    numbers: str | None = None,
    groups: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> None:
    """One bar per name, or, with `groups`, one bar per name in each group.

    Args:
        heights: name -> height; with `groups`, name -> a height for each group.
        intervals: name -> (low, high), drawn as a whisker; not with `groups`.
        numbers: format such as ".2f" to write each height above its bar.
    """
    ax = axes_of(ax)
    names = list(heights)
    where, width = np.arange(len(groups or names)), 0.8 / (len(names) if groups else 1)
    for i, name in enumerate(names):
        values = np.atleast_1d(array_of(heights[name]))
        at = where + (i - (len(names) - 1) / 2) * width if groups else where[i : i + 1]
        ax.bar(at, values, width * 0.92, label=name, color=COLOURS[i % len(COLOURS)] if groups else COLOURS[0])
        tops = values
        if intervals and name in intervals:
            low, high = intervals[name]
            ax.vlines(at, low, high, color="black", linewidth=1.2)
            tops = np.maximum(values, high)
        if numbers is not None:
            for x, value, top in zip(at, values, tops, strict=True):
                ax.annotate(format(value, numbers), (x, top), textcoords="offset points", xytext=(0, 3), ha="center",
                            size=8)  # fmt: skip
    ax.set_xticks(where, groups or names)
    if groups:
        ax.legend()
    ax.set(ylabel=y_label, title=title)


def arrows(
    vectors: Mapping[str, Any], *, title: str = "", x_label: str = "", y_label: str = "", ax: Axes | None = None
) -> None:
    """Named vectors in the plane, drawn from the origin on equal axes."""
    ax = axes_of(ax, height=3.6)
    points = {name: array_of(vector) for name, vector in vectors.items()}
    reach = 1.15 * max(float(np.abs(point).max()) for point in points.values()) or 1.0
    for i, (name, (x, y)) in enumerate(points.items()):
        colour = COLOURS[i % len(COLOURS)]
        style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", xy=(x, y), xytext=(0, 0), arrowprops=style)
        ax.annotate(name, (x, y), textcoords="offset points", xytext=(6 if x >= 0 else -6, 5), color=colour,
                    ha="left" if x >= 0 else "right")  # fmt: skip
    ax.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    ax.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=title, xlabel=x_label, ylabel=y_label)
