"""What wholes are made of: bars of one length, cut into shares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from tftutor.plots.style import COLOURS, axes_of


def stacked(
    wholes: Mapping[str, Mapping[str, float]], *, x_label: str = "", numbers: str = ".0f", least: float = 6.0,
    ax: Axes | None = None,
) -> None:  # fmt: skip
    """One bar per name, first on top, each 100 % long and cut into the shares of its parts.

    Args:
        wholes: name -> part -> size; parts that are missing count as zero, colours follow their first appearance.
        numbers: format of the percentages that are written into the parts.
        least: parts of fewer percent carry no number.
    """
    ax = axes_of(ax, height=0.42 * len(wholes) + 1.2)
    parts = list(dict.fromkeys(part for sizes in wholes.values() for part in sizes))
    left = np.zeros(len(wholes))
    for i, part in enumerate(parts):
        widths = np.array([100 * sizes.get(part, 0.0) / sum(sizes.values()) for sizes in wholes.values()])
        ax.barh(range(len(wholes)), widths, left=left, height=0.7, color=COLOURS[i % len(COLOURS)], label=part)
        for row, (start, width) in enumerate(zip(left, widths, strict=True)):
            if width >= least:
                ink = "black" if i % len(COLOURS) in (4, 5) else "white"
                ax.text(start + width / 2, row, format(width, numbers), ha="center", va="center", size=9, color=ink)
        left = left + widths
    ax.set_yticks(range(len(wholes)), list(wholes))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set(xlim=(0, 100), ylim=(len(wholes) - 0.5, -0.5), xlabel=x_label)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(parts), columnspacing=1.2, handlelength=1.2)
