"""Stacked bars are as long as their shares."""

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


def test_parts_fill_each_bar_and_only_large_ones_are_numbered() -> None:
    wholes = {"small": {"a": 1.0, "b": 3.0}, "large": {"a": 30.0, "b": 68.0, "c": 2.0}}
    assert plots.stacked(wholes, x_label="%") is None
    ax = plt.gcf().axes[0]
    spans = [(bar.get_y() + bar.get_height() / 2, bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert spans == [pytest.approx(span) for span in
                     [(0, 0, 25), (1, 0, 30), (0, 25, 75), (1, 30, 68), (0, 100, 0), (1, 98, 2)]]  # fmt: skip
    assert [text.get_text() for text in ax.texts] == ["25", "30", "75", "68"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["small", "large"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
