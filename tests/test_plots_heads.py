"""Figures of many heads say what they are asked to say."""

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


def test_a_grid_of_labels_has_a_legend_and_texts() -> None:
    labels = [["next", "other", "sink"], ["other", "sink", "sink"]]
    texts = [["a", "b", "c"], ["d", "e", "f"]]
    assert plots.label_grid(labels, quiet="other", texts=texts, row_label="layer") is None
    ax = plt.gcf().axes[0]
    assert [text.get_text() for text in ax.texts] == list("abcdef")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["next", "sink", "other"]
    colours = [patch.get_facecolor() for patch in ax.patches]
    assert len(colours) == 6
    assert colours[1] == colours[3] != colours[0]
    assert colours[2] == colours[4] == colours[5]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "3"]
    with pytest.raises(ValueError, match="rows of 3"):
        plots.label_grid([["a", "b", "c"], ["a"]])


def test_whiskers_stand_in_the_rows_of_their_names() -> None:
    plots.whiskers({"one": [(1.0, 0.5, 1.5), (2.0, 2.0, 3.0)], "two": [(0.0, -1.0, 0.2)]}, x_label="x")
    ax = plt.gcf().axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["one", "two"]
    points = [line for line in ax.lines if len(line.get_xdata()) in (1, 2) and line.get_marker() not in ("None", "")]
    assert [list(line.get_xdata()) for line in points] == [[1.0, 2.0], [0.0]]
    assert all(abs(y - 0) < 0.5 for y in points[0].get_ydata())
    assert list(points[1].get_ydata()) == [1.0]
    with pytest.raises(ValueError, match="low <= value"):
        plots.whiskers({"one": [(1.0, 1.5, 2.0)]})
