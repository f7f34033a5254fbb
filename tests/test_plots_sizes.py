"""Dumbbells say what they are asked to say."""

from __future__ import annotations

import matplotlib as mpl
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt

from tftutor import plots


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def test_dumbbells_have_two_sizes_in_each_row_and_a_reference() -> None:
    pairs = {"a": (0.01, 1.0), "b": (0.5, 20.0), "c": (1.0, 0.1)}
    assert plots.dumbbells(pairs, names=("old", "new"), reference=("goal", 0.7), x_label="rms", numbers=".2f") is None
    ax = plt.gcf().axes[0]
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b", "c"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row on top
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["old", "new", "goal"]
    written = [text.get_text() for text in ax.texts if text.get_text()]
    assert written == ["0.01", "1.00", "0.50", "20.00", "1.00", "0.10"]
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines[:6]]
    assert marks == [(0.01, 0), (1.0, 0), (0.5, 1), (20.0, 1), (1.0, 2), (0.1, 2)]
