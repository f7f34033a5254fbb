"""The plot of repeated measurements shows each of them, their mean, and nothing that was not measured."""

from __future__ import annotations

import matplotlib as mpl
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt

from tftutor import plots


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_every_measurement_is_a_point_of_its_row() -> None:
    measured = {"rope": [1.6, 1.7, 1.8], "none": [2.1, 2.3]}
    plots.points(measured, intervals={"rope": (1.5, 1.9)}, numbers=".2f", reference={"unigram": 3.3}, x_label="nats")
    ax = plt.gca()
    shown = [[tuple(point) for point in row.get_offsets()] for row in ax.collections if hasattr(row, "get_sizes")
             and len(row.get_sizes())]  # fmt: skip
    assert shown == [[(1.6, 0), (1.7, 0), (1.8, 0)], [(2.1, 1), (2.3, 1)]]
    assert [text.get_text() for text in ax.texts] == ["1.70", "2.20", "unigram"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["rope", "none"]
    assert ax.get_ylim() == (1.5, -0.5)  # the first name on top
    assert ax.get_xlabel() == "nats"


def test_axes_of_a_panel_are_used() -> None:
    left, right = plots.panels(2)
    plots.points({"a": [1.0]}, ax=right, title="t")
    assert right.get_title() == "t"
    assert not left.collections
