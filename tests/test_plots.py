"""Figures are drawn, say what they are asked to say, and are the same bytes each time."""

from __future__ import annotations

import ast
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

mpl.use("Agg")
import matplotlib.pyplot as plt

from tftutor import plots
from tftutor.plots.matrices import luminance

PACKAGE = Path(plots.__file__).parent.parent


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def _texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_a_heatmap_has_labels_numbers_and_crosses() -> None:
    values = torch.tensor([[0.1, 0.9, float("nan")], [0.5, 0.25, 0.25]], requires_grad=True)
    assert plots.heatmap(values, rows=["a", "b"], columns=["x", "y", "z"], numbers=".2f", title="t") is None
    ax = plt.gcf().axes[0]
    assert _texts(ax) == ["×", "0.10", "0.90", "0.50", "0.25", "0.25"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["x", "y", "z"]
    assert ax.get_title() == "t"
    with pytest.raises(ValueError, match="expected a matrix"):
        plots.heatmap(torch.ones(3))


def test_numbers_stay_readable_on_every_square() -> None:
    plots.heatmap(torch.linspace(0, 1, 21)[None], numbers=".2f")
    ax = plt.gcf().axes[0]
    image = ax.images[0]

    for text, value in zip(ax.texts, image.get_array()[0], strict=True):
        light, dark = sorted(
            (luminance(to_rgb(text.get_color())), luminance(image.cmap(image.norm(value))[:3])), reverse=True
        )
        assert (light + 0.05) / (dark + 0.05) > 4.5


def test_an_attention_map_runs_from_0_to_1_and_checks_its_labels() -> None:
    plots.attention_map(torch.full((2, 3), 1 / 3), ["a", "b"], ["x", "y", "z"])
    ax = plt.gcf().axes[0]
    assert ax.images[0].get_clim() == (0.0, 1.0)
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("query", "key")
    with pytest.raises(ValueError, match=r"expected shape \(2, 2\), got \(2, 3\)"):
        plots.attention_map(torch.ones(2, 3), "ab", "xy")


def test_a_diverging_map_is_centred() -> None:
    plots.heatmap(torch.tensor([[-1.0, 3.0]]), centre=0.0)
    assert plt.gcf().axes[0].images[0].get_clim() == (-3.0, 3.0)


def test_lines_have_bands_markers_and_a_legend() -> None:
    x = [1, 2, 4]
    plots.lines(x, {"a": [1, 2, 3], "b": torch.tensor([3.0, 2, 1])}, intervals={"a": ([0, 1, 2], [2, 3, 4])}, log="x",
                reference={"chance": 1.5}, x_label="heads", y_label="nats")  # fmt: skip
    ax = plt.gcf().axes[0]
    assert len(ax.collections) == 1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "chance"]
    assert len({line.get_marker() for line in ax.lines[:2]}) == 2
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "4"]


def test_bars_alone_and_in_groups() -> None:
    left, right = plots.panels(2)
    plots.bars({"LN": 1.0, "BN": 2.5}, intervals={"LN": (0.8, 1.2)}, numbers=".1f", ax=left)
    plots.bars({"a": [1, 2, 3], "b": [3, 2, 1]}, groups=["x", "y", "z"], ax=right)
    assert [bar.get_height() for bar in left.patches] == [1.0, 2.5]
    assert _texts(left) == ["1.0", "2.5"]
    assert left.texts[0].xy[1] == 1.2  # above the whisker
    assert len(right.patches) == 6
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["x", "y", "z"]


def test_masks_stand_side_by_side_with_signs_between_them() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool).tril()
    plots.mask_panels({"a": mask, "b": ~mask, "c": mask}, rows=["p", "q"], columns={"b": ["x", "y", "z"]}, signs="&=",
                      per_row=2)  # fmt: skip
    first, second, third, empty = plt.gcf().axes
    assert [ax.get_title() for ax in (first, second, third)] == ["a", "b", "c"]
    assert len(first.patches) == len(third.patches) == 6
    assert _texts(first).count("×") == 3
    assert _texts(first)[-1] == "&"
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["p", "q"]
    assert [tick.get_text() for tick in second.get_xticklabels()] == ["x", "y", "z"]
    assert not first.get_xticklabels()
    assert not empty.axison
    hidden = {tuple(text.get_position()) for text in second.texts if text.get_text() == "×"}
    assert hidden == {(0, 0), (0, 1), (1, 1)}  # (column, row)


def test_arrows_keep_angles() -> None:
    plots.arrows({"q": torch.tensor([0.0, 5.0]), "k": [-1, 0.5]})
    ax = plt.gcf().axes[0]
    assert ax.get_aspect() == 1.0
    assert {"q", "k"} <= set(_texts(ax))
    low, high = ax.get_xlim()
    assert low == -high
    assert high > 5


def test_files_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for suffix in ("png", "svg"):
        files = [tmp_path / f"{i}.{suffix}" for i in range(2)]
        for file in files:
            plots.lines([1, 2], {"a": [1, 2]}, title="t")
            plots.save(file)
        assert files[0].read_bytes() == files[1].read_bytes()
    assert plt.get_fignums() == []


def test_the_ground_is_white_so_that_a_dark_page_can_show_it(tmp_path: Path) -> None:
    plots.bars({"a": 1.0})
    plots.save(tmp_path / "a.png")
    pixels = plt.imread(tmp_path / "a.png")
    assert np.allclose(pixels[0, 0][:3], 1.0)
    assert pixels.shape[-1] == 3 or np.allclose(pixels[..., 3], 1.0)


def test_colours_stand_out_on_white_and_markers_differ() -> None:
    assert len(set(plots.COLOURS)) == len(plots.COLOURS) == len(set(plots.MARKERS))
    assert all(1.05 / (luminance(to_rgb(colour)) + 0.05) > 2.0 for colour in plots.COLOURS)


def test_nothing_else_in_the_package_imports_matplotlib() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if path.parent.name != "plots":
                assert not any(name.split(".")[0] == "matplotlib" for name in names), path
