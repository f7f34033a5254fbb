"""The scatter plot of groups: every point in its place, every group told apart."""

from __future__ import annotations

import matplotlib as mpl
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt

from tftutor import plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_every_vector_is_a_point_of_its_group():
    plots.clusters({"fruit": [[0.0, 1.0], [2.0, 3.0]], "firm": [[4.0, 5.0]]}, title="layer 6")
    ax = plt.gca()
    assert [row.get_offsets().tolist() for row in ax.collections] == [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0]]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["fruit", "firm"]
    first, second = (row.get_paths()[0].vertices.shape for row in ax.collections)
    assert first != second  # markers differ, not only colours


def test_a_panel_may_go_without_a_legend():
    left, right = plots.panels(2)
    plots.clusters({"a": [[1.0, 2.0]]}, ax=right, legend=False)
    assert right.get_legend() is None
    assert not left.collections
