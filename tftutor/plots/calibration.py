"""Are probabilities what they say? Shares of right answers against the probabilities that were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from tftutor.plots.style import COLOURS, MARKERS, array_of, axes_of


def reliability_diagram(
    curves: Mapping[str, Sequence[tuple[float, float, float, float]]], *, x_label: str = "", y_label: str = "",
    ax: Axes | None = None,
) -> None:  # fmt: skip
    """One curve for each name over the square from 0 to 1; on the dashed diagonal a probability is what it says.

    Args:
        curves: name -> (probability, share right, low, high) of each bin, the last two an interval of the share.
    """
    ax = axes_of(ax, height=3.8)
    ax.plot([0, 1], [0, 1], color="#555555", linestyle="--", linewidth=1.0, marker="")
    for i, (name, bins) in enumerate(curves.items()):
        given, share, low, high = array_of(bins).T
        if (low > share).any() or (high < share).any():
            raise ValueError(f"curves[{name!r}]: expected low <= share <= high")
        ax.vlines(given, low, high, color=COLOURS[i], linewidth=1.2)
        ax.plot(given, share, color=COLOURS[i], marker=MARKERS[i], label=name)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=x_label, ylabel=y_label)
    ax.legend(loc="lower right")
