"""Exercises of the chapter on scores and scaling."""

from __future__ import annotations

from tftutor.exercises.scores.additive import ADDITIVE
from tftutor.exercises.scores.ranking import BREAK_RANKING, SAME_RANKING
from tftutor.exercises.scores.saturation import JACOBIAN, PREDICT_CONFIDENT_MISTAKE
from tftutor.exercises.scores.variance import FACTOR, VARIANCE

EXERCISES = (PREDICT_CONFIDENT_MISTAKE, VARIANCE, JACOBIAN, FACTOR, ADDITIVE, SAME_RANKING, BREAK_RANKING)
