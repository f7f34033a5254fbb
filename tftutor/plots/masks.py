"""Masks as grids of squares, several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from tftutor.plots.style import COLOURS, WIDTH, array_of, label_ticks


def mask_panels(
    masks: Mapping[str, Any],
    *,
    rows: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    columns: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    signs: Sequence[str] = (),
    per_row: int = 3,
    height: float = 2.3,
) -> None:
    """Masks (T, S) side by side: a filled square where the query (row) may look at the key (column), a cross where not.

    Args:
        masks: title -> matrix of True and False.
        rows, columns: a label for each query and key: one list for all masks, or title -> list.
        signs: drawn between neighbours, such as ("&", "=").
        per_row: grids in a line.
        height: of a line, in inches.
    """
    n_lines = -(-len(masks) // per_row)
    _, grid = plt.subplots(n_lines, min(per_row, len(masks)), figsize=(WIDTH, height * n_lines), squeeze=False)
    axes = list(grid.flat)
    for ax in axes[len(masks) :]:
        ax.set_axis_off()
    for ax, (title, mask) in zip(axes, masks.items(), strict=False):
        _draw(ax, array_of(mask) > 0.5)
        label_ticks(ax, _labels(rows, title), _labels(columns, title))
        ax.set_title(title)
    for ax, sign in zip(axes, signs, strict=False):
        ax.annotate(sign, (1.0, 0.5), xycoords="axes fraction", xytext=(26, 0), textcoords="offset points", size=16,
                    ha="center", va="center")  # fmt: skip


def _labels(given: Any, title: str) -> Sequence[str] | None:
    return given.get(title) if isinstance(given, Mapping) else given


def _draw(ax: Axes, mask: np.ndarray) -> None:
    n_rows, n_columns = mask.shape
    for i, j in np.ndindex(n_rows, n_columns):
        colour = COLOURS[0] if mask[i, j] else "#f1f3f5"
        ax.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, color=colour, linewidth=0))
        if not mask[i, j]:
            ax.text(j, i, "×", ha="center", va="center", color="#868e96", size=8)
    ax.set(xlim=(-0.5, n_columns - 0.5), ylim=(n_rows - 0.5, -0.5), aspect="equal")
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
