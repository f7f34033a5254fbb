"""Exercises of the chapter on residual streams and normalisation."""

from __future__ import annotations

from tftutor.exercises.normalisation.axes import SHARED_AXES
from tftutor.exercises.normalisation.batch import MASKED_BATCH_NORM
from tftutor.exercises.normalisation.layer import LAYER_NORM
from tftutor.exercises.normalisation.questions import BREAK_EQUALITY, PREDICT_LEAK
from tftutor.exercises.normalisation.wiring import WIRE

EXERCISES = (PREDICT_LEAK, LAYER_NORM, SHARED_AXES, MASKED_BATCH_NORM, WIRE, BREAK_EQUALITY)
