"""Exercises of the chapter on the feed-forward layer, the block and its budget."""

from __future__ import annotations

from tftutor.exercises.feed_forward.flops import COUNT_FLOPS
from tftutor.exercises.feed_forward.gated import MATCHED_WIDTH, SWIGLU
from tftutor.exercises.feed_forward.parameters import COUNT_PARAMETERS
from tftutor.exercises.feed_forward.positions import POSITION_WISE
from tftutor.exercises.feed_forward.questions import BREAK_DEAD_UNITS, PREDICT_DOUBLE_WIDTH
from tftutor.exercises.feed_forward.wiring import PARALLEL_BLOCK

EXERCISES = (PREDICT_DOUBLE_WIDTH, SWIGLU, MATCHED_WIDTH, POSITION_WISE, COUNT_PARAMETERS, COUNT_FLOPS, PARALLEL_BLOCK,
             BREAK_DEAD_UNITS)  # fmt: skip
