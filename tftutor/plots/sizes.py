"""Sizes that span several powers of ten: before and after, against something they should match."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from tftutor.plots.style import COLOURS, MARKERS, axes_of


def dumbbells(
    pairs: Mapping[str, tuple[float, float]],
    *,
    names: tuple[str, str] = ("before", "after"),
    reference: tuple[str, float] | None = None,
    x_label: str = "",
    numbers: str = ".3g",
    ax: Axes | None = None,
) -> None:
    """Two sizes in each row, on a logarithmic axis, with an arrow from the first to the second.

    Args:
        pairs: row -> (before, after), both positive; the first row on top.
        names: what the two are called in the legend.
        reference: name and size of a dashed vertical line.
        numbers: format of the sizes that are written beside the marks.
    """
    ax = axes_of(ax, height=0.55 * len(pairs) + 1.4)
    for row, sizes in enumerate(pairs.values()):
        link = {"arrowstyle": "->", "color": "#777777", "shrinkA": 5, "shrinkB": 5}
        ax.annotate("", xy=(sizes[1], row), xytext=(sizes[0], row), arrowprops=link)
        for i, size in enumerate(sizes):
            label = names[i] if row == 0 else None
            ax.plot([size], [row], color=COLOURS[i], marker=MARKERS[i], markersize=8, linestyle="none", label=label)
            ax.annotate(format(size, numbers), (size, row), textcoords="offset points", xytext=(0, 8), ha="center",
                        size=9)  # fmt: skip
    if reference is not None:
        ax.axvline(reference[1], color="#555555", linestyle="--", linewidth=1.0, label=reference[0])
    ax.set_xscale("log")
    ax.set_yticks(range(len(pairs)), list(pairs))
    ax.set(xlabel=x_label, ylim=(len(pairs) - 0.5, -0.6))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=3)
