"""The look of every figure, and the small things that the functions drawing them share."""

from __future__ import annotations

from collections.abc import Sequence
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


def legend_below(axes: Sequence[Axes], *, columns: int = 4) -> None:
    """One legend under the figure, for panels that share their curves or have no room inside."""
    for ax in axes:
        if ax.get_legend() is not None:
            ax.get_legend().remove()
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def save(path: Path | str) -> None:
    """Write the current figure to a file, the same bytes each time, and close it: for scripts in images/."""
    path = Path(path)
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    plt.gcf().savefig(path, metadata=metadata, dpi=160)
    plt.close()


def axes_of(ax: Axes | None, *, height: float = 3.4) -> Axes:
    """The axes given, or those of a new figure as wide as the text and `height` inches high."""
    return plt.subplots(figsize=(WIDTH, height))[1] if ax is None else ax


def array_of(values: Any) -> np.ndarray:
    """A float array from a tensor (on any graph), an array or a list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=float)


def label_ticks(ax: Axes, rows: Sequence[str] | None, columns: Sequence[str] | None) -> None:
    """Name the rows and columns of a matrix that is drawn."""
    ax.tick_params(length=0)
    if rows is not None:
        ax.set_yticks(range(len(rows)), rows)
    if columns is not None:
        long = max((len(str(name)) for name in columns), default=0) > 3
        ax.set_xticks(range(len(columns)), columns, rotation=45 if long else 0, ha="right" if long else "center")
