"""Exercises of the chapter on texts longer than those of training."""

from __future__ import annotations

from tftutor.exercises.lengths.angles import INTERPOLATE, NTK_BASE
from tftutor.exercises.lengths.questions import BREAK_REACH, FOUR_SENTENCES, PREDICT_SHIFT, WHICH_CURVE
from tftutor.exercises.lengths.sliding import CACHE_POSITIONS

EXERCISES = (
    PREDICT_SHIFT,
    INTERPOLATE,
    NTK_BASE,
    CACHE_POSITIONS,
    WHICH_CURVE,
    BREAK_REACH,
    FOUR_SENTENCES,
)
