"""Figures of the course, and the only user of matplotlib.

Functions are named by what they draw and return nothing, so that a cell may end with one. To put several side by side
take axes from `panels` and pass them as `ax`. Figures have an opaque white ground: readable on a dark page as well.
Colours are told apart by colour-blind readers, and lines differ by marker too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

# Okabe and Ito's palette, dark enough for lines on white: blue, vermilion, green, purple, orange, sky, black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a65d8b", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 6.4  # inches; the book shows it at the width of the text


def use_style() -> None:
    """Set matplotlib up for the course: PNG of stable bytes, white ground, quiet axes."""
    mpl.rcParams.update(
        {
            "figure.dpi": 110,
            "figure.figsize": (WIDTH, 3.4),
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "savefig.bbox": "tight",
            "svg.hashsalt": "tftutor",
            "font.size": 10,
            "axes.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.grid": False,
            "axes.prop_cycle": mpl.cycler(color=COLOURS),
            "image.cmap": "viridis",
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "lines.markersize": 4.5,
        }
    )
    if mpl.get_backend().lower().endswith("inline"):
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("png", metadata={"Software": None})


def panels(n: int, *, height: float = 2.8, width: float = WIDTH, share_y: bool = False) -> list[Axes]:
    """`n` axes side by side in one figure, to be passed as `ax` to the functions below."""
    return list(plt.subplots(1, n, figsize=(width, height), squeeze=False, sharey=share_y)[1][0])


def save(path: Path | str) -> None:
    """Write the current figure to a file, the same bytes each time, and close it: for scripts in images/."""
    path = Path(path)
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    plt.gcf().savefig(path, metadata=metadata, dpi=160)
    plt.close()


def heatmap(
    values: Any,
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    row_label: str = "",
    column_label: str = "",
    title: str = "",
    limits: tuple[float, float] | None = None,
    centre: float | None = None,
    numbers: str | None = None,
    bar: bool = True,
    ax: Axes | None = None,
) -> None:
    """A matrix as coloured squares, first row on top.

    Args:
        values: matrix, tensor or array. NaN is left white with a cross: "not there", as for masked entries.
        rows, columns: a label for each row and column.
        limits: smallest and largest value of the colour scale; None: those of the data.
        centre: draw on a diverging scale around this value (scores and differences have a zero).
        numbers: format such as ".2f" to write each value into its square.
        bar: show the colour scale.
    """
    values = _array(values)
    if values.ndim != 2:
        raise ValueError(f"values: expected a matrix, got shape {values.shape}")
    ax = _axes(ax, height=min(6.0, max(2.2, 0.32 * len(values) + 1.0)))
    low, high = limits or (float(np.nanmin(values)), float(np.nanmax(values)))
    if centre is not None:
        reach = max(high - centre, centre - low, 1e-12)
        low, high = centre - reach, centre + reach
    image = ax.imshow(values, vmin=low, vmax=high, cmap="viridis" if centre is None else "PuOr_r", aspect="equal")
    _label_ticks(ax, rows, columns)
    ax.set(xlabel=column_label, ylabel=row_label, title=title)
    ax.spines[:].set_visible(False)
    if bar:
        ax.figure.colorbar(image, ax=ax, shrink=0.75)
    for i, j in zip(*np.nonzero(np.isnan(values)), strict=True):
        ax.text(j, i, "×", ha="center", va="center", color="#777777", size=8)
    if numbers is not None:
        for i, j in zip(*np.nonzero(~np.isnan(values)), strict=True):
            ink = "white" if _luminance(image.cmap(image.norm(values[i, j]))[:3]) < 0.18 else "black"
            ax.text(j, i, format(values[i, j], numbers), ha="center", va="center", color=ink, size=8)


def attention_map(
    weights: Any,
    queries: Sequence[str],
    keys: Sequence[str],
    *,
    title: str = "",
    numbers: str | None = None,
    bar: bool = True,
    ax: Axes | None = None,
) -> None:
    """Attention weights (T, S) as a heat-map from 0 to 1: one row per query, one column per key."""
    weights = _array(weights)
    if weights.shape != (len(queries), len(keys)):
        raise ValueError(f"weights: expected shape ({len(queries)}, {len(keys)}), got {weights.shape}")
    heatmap(weights, rows=queries, columns=keys, row_label="query", column_label="key", title=title, limits=(0.0, 1.0),
            numbers=numbers, bar=bar, ax=ax)  # fmt: skip


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
    ax = _axes(ax)
    x = _array(x)
    for i, (name, values) in enumerate(curves.items()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        ax.plot(x, _array(values), label=name, color=colour, marker=marker if markers else None)
        if intervals and name in intervals:
            low, high = (_array(edge) for edge in intervals[name])
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
    ax = _axes(ax)
    names = list(heights)
    where, width = np.arange(len(groups or names)), 0.8 / (len(names) if groups else 1)
    for i, name in enumerate(names):
        values = np.atleast_1d(_array(heights[name]))
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
    ax = _axes(ax, height=3.6)
    points = {name: _array(vector) for name, vector in vectors.items()}
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


def _axes(ax: Axes | None, *, height: float = 3.4) -> Axes:
    return plt.subplots(figsize=(WIDTH, height))[1] if ax is None else ax


def _luminance(rgb: Sequence[float]) -> float:
    """Relative luminance as the web's contrast rules define it; black and white stand out equally at 0.18."""
    channels = np.asarray(rgb)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _array(values: Any) -> np.ndarray:
    """A float array from a tensor (on any graph), an array or a list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=float)


def _label_ticks(ax: Axes, rows: Sequence[str] | None, columns: Sequence[str] | None) -> None:
    ax.tick_params(length=0)
    if rows is not None:
        ax.set_yticks(range(len(rows)), rows)
    if columns is not None:
        long = max((len(str(name)) for name in columns), default=0) > 3
        ax.set_xticks(range(len(columns)), columns, rotation=45 if long else 0, ha="right" if long else "center")
