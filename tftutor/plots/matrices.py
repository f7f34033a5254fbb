"""Matrices as coloured squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tftutor.plots.style import array_of, axes_of, label_ticks


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
    values = array_of(values)
    if values.ndim != 2:
        raise ValueError(f"values: expected a matrix, got shape {values.shape}")
    ax = axes_of(ax, height=min(6.0, max(2.2, 0.32 * len(values) + 1.0)))
    low, high = limits or (float(np.nanmin(values)), float(np.nanmax(values)))
    if centre is not None:
        reach = max(high - centre, centre - low, 1e-12)
        low, high = centre - reach, centre + reach
    image = ax.imshow(values, vmin=low, vmax=high, cmap="viridis" if centre is None else "PuOr_r", aspect="equal")
    label_ticks(ax, rows, columns)
    ax.set(xlabel=column_label, ylabel=row_label, title=title)
    ax.spines[:].set_visible(False)
    if bar:
        ax.figure.colorbar(image, ax=ax, shrink=0.75)
    for i, j in zip(*np.nonzero(np.isnan(values)), strict=True):
        ax.text(j, i, "×", ha="center", va="center", color="#777777", size=8)
    if numbers is not None:
        for i, j in zip(*np.nonzero(~np.isnan(values)), strict=True):
            ink = "white" if luminance(image.cmap(image.norm(values[i, j]))[:3]) < 0.18 else "black"
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
    weights = array_of(weights)
    if weights.shape != (len(queries), len(keys)):
        raise ValueError(f"weights: expected shape ({len(queries)}, {len(keys)}), got {weights.shape}")
    heatmap(weights, rows=queries, columns=keys, row_label="query", column_label="key", title=title, limits=(0.0, 1.0),
            numbers=numbers, bar=bar, ax=ax)  # fmt: skip


def luminance(rgb: Sequence[float]) -> float:
    """Relative luminance as the web's contrast rules define it; black and white stand out equally at 0.18."""
    channels = np.asarray(rgb)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
