"""Figures of the course, and the only user of matplotlib.

Functions are named by what they draw and return nothing, so that a cell may end with one. To put several side by side
take axes from `panels` and pass them as `ax`. Figures have an opaque white ground: readable on a dark page as well.
Colours are told apart by colour-blind readers, and lines differ by marker too.
"""

from __future__ import annotations

from tftutor.plots.calibration import reliability_diagram
from tftutor.plots.clusters import clusters
from tftutor.plots.curves import arrows, bars, lines
from tftutor.plots.heads import label_grid, whiskers
from tftutor.plots.masks import mask_panels
from tftutor.plots.matrices import attention_map, heatmap
from tftutor.plots.patterns import pattern_panels
from tftutor.plots.points import points
from tftutor.plots.shares import stacked
from tftutor.plots.sizes import dumbbells
from tftutor.plots.style import COLOURS, MARKERS, WIDTH, legend_below, panels, save, use_style
from tftutor.plots.trees import Branch, beam_tree

__all__ = [
    "COLOURS", "MARKERS", "WIDTH", "Branch", "arrows", "attention_map", "bars", "beam_tree", "clusters", "dumbbells",
    "heatmap", "label_grid", "legend_below", "lines", "mask_panels", "panels", "pattern_panels", "points",
    "reliability_diagram", "save", "stacked", "use_style", "whiskers",
]  # fmt: skip
