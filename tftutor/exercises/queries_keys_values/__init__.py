"""Exercises of the chapter on queries, keys and values."""

from __future__ import annotations

from tftutor.exercises.queries_keys_values.attention import ATTENTION
from tftutor.exercises.queries_keys_values.matrices import BREAK_BASIS, DESIGN_W_Q, PREDICT_ZERO_VECTOR
from tftutor.exercises.queries_keys_values.score_tables import RISES, TIED_SCORES

EXERCISES = (PREDICT_ZERO_VECTOR, ATTENTION, DESIGN_W_Q, TIED_SCORES, RISES, BREAK_BASIS)
