"""Trees of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from tftutor.plots.style import COLOURS, axes_of


class Branch(NamedTuple):
    """A text that grew by one symbol."""

    parent: int  # which entry of the round before it continues
    symbol: str
    probability: float  # of the whole text so far
    kept: bool  # whether it goes on (or has ended and stays)


def beam_tree(rounds: Sequence[Sequence[Branch]], *, root: str = "", ax: Axes | None = None) -> None:
    """What a beam search looked at: one column for each round, the branches it kept in blue, the others in grey.

    Branches are placed from top to bottom as they are listed; numbers are probabilities.
    """
    ax = axes_of(ax, height=0.36 * max(map(len, rounds)) + 0.6)
    before = [0.0]
    ax.text(0.5, 0, root, ha="right", va="center", size=9, weight="bold")
    for column, branches in enumerate(rounds, start=1):
        if any(not 0 <= branch.parent < len(before) for branch in branches):
            raise ValueError(f"rounds[{column - 1}]: expected parents from 0 to {len(before) - 1}")
        heights = [(len(branches) - 1) / 2 - i for i in range(len(branches))]
        for y, branch in zip(heights, branches, strict=True):
            colour = COLOURS[0] if branch.kept else "#6b7280"
            ax.plot([column - 0.45, column - 0.04], [before[branch.parent], y], color=colour, marker="",
                    linewidth=1.8 if branch.kept else 0.9, linestyle="-" if branch.kept else ":")  # fmt: skip
            ax.text(column, y, f"{branch.symbol} {branch.probability:.2f}", va="center", size=9, color=colour,
                    weight="bold" if branch.kept else "normal")  # fmt: skip
        before = heights
    tallest = max(map(len, rounds)) / 2
    ax.set(xlim=(0.1, len(rounds) + 0.6), ylim=(-tallest, tallest))
    ax.set_axis_off()
