"""Which pairs of a longer text are compared: patterns of many small squares, several side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

from tftutor.plots.style import COLOURS, WIDTH, array_of


def pattern_panels(patterns: Mapping[str, Any], *, per_row: int = 3, height: float = 2.7) -> None:
    """Patterns (T, S) side by side: dark where the query (row) reads the key (column); under each, the share of dark.

    Args:
        patterns: title -> matrix of truth values, or of weights, where everything above 0 counts.
        per_row: patterns in a line.
        height: of a line, in inches.
    """
    n_lines = -(-len(patterns) // per_row)
    _, grid = plt.subplots(n_lines, min(per_row, len(patterns)), figsize=(WIDTH, height * n_lines), squeeze=False)
    for ax in list(grid.flat)[len(patterns) :]:
        ax.set_axis_off()
    for ax, (title, pattern) in zip(grid.flat, patterns.items(), strict=False):
        seen = array_of(pattern) > 0
        ax.imshow(seen, cmap=ListedColormap(["#edf0f3", COLOURS[0]]), vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(title)
        ax.set_xlabel(f"{100 * seen.mean():.0f} % of all pairs", size=9, color="#555555")
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set(visible=True, color="#c5cbd2", linewidth=0.8)
