"""Figures of the chapter on generation say what they are asked to say."""

from __future__ import annotations

import matplotlib as mpl
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt

from tftutor import plots
from tftutor.plots import Branch


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def test_a_tree_joins_each_branch_to_its_parent() -> None:
    rounds = [[Branch(0, "R", 0.9, True), Branch(0, "W", 0.1, False)],
              [Branch(0, "IY", 0.5, True), Branch(0, "EH", 0.3, True), Branch(1, "IY", 0.01, False)]]  # fmt: skip
    assert plots.beam_tree(rounds, root="<bos>") is None
    ax = plt.gcf().axes[0]
    assert [text.get_text() for text in ax.texts] == ["<bos>", "R 0.90", "W 0.10", "IY 0.50", "EH 0.30", "IY 0.01"]
    starts = [line.get_ydata()[0] for line in ax.lines]
    assert starts == [0, 0, 0.5, 0.5, -0.5]
    assert len({line.get_color() for line in ax.lines}) == 2
    with pytest.raises(ValueError, match="expected parents from 0 to 0"):
        plots.beam_tree([[Branch(1, "R", 0.9, True)]])


def test_a_reliability_diagram_has_a_diagonal_and_intervals() -> None:
    plots.reliability_diagram({"raw": [(0.2, 0.4, 0.3, 0.5), (0.6, 0.9, 0.8, 0.95)]}, x_label="given", y_label="right")
    ax = plt.gcf().axes[0]
    assert [list(line.get_xdata()) for line in ax.lines] == [[0, 1], [0.2, 0.6]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["raw"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("given", "right")
    with pytest.raises(ValueError, match="low <= share <= high"):
        plots.reliability_diagram({"raw": [(0.2, 0.4, 0.5, 0.6)]})
