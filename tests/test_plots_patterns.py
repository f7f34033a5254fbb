"""Patterns of pairs and common legends: what is drawn is what was given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import torch

from tftutor import plots


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_every_pattern_has_a_panel_with_its_share() -> None:
    patterns = {"self": torch.eye(4), "past": torch.ones(4, 4).tril() / 7, "all": torch.ones(4, 4, dtype=torch.bool)}
    plots.pattern_panels(patterns, per_row=2)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["self", "past", "all", ""]
    assert [ax.get_xlabel() for ax in axes[:3]] == ["25 % of all pairs", "62 % of all pairs", "100 % of all pairs"]
    assert axes[1].images[0].get_array().tolist() == torch.ones(4, 4).tril().bool().tolist()
    assert not axes[3].axison


def test_a_common_legend_stands_under_the_panels() -> None:
    axes = plots.panels(2)
    for ax in axes:
        plots.lines([1, 2], {"a": [1, 2], "b": [2, 1]}, ax=ax)
    plots.legend_below(axes, columns=2)
    assert all(ax.get_legend() is None for ax in axes)
    (legend,) = plt.gcf().legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
