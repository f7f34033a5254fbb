"""Exercises of the chapter on what lies beyond attention."""

from __future__ import annotations

from tftutor.exercises.beyond.decay import DECAY_MASK, DESIGN_STEPS
from tftutor.exercises.beyond.questions import HYBRIDS, PREDICT_CAPACITY
from tftutor.exercises.beyond.recurrent import RECURRENT
from tftutor.exercises.beyond.router import BREAK_BALANCE, ROUTER

EXERCISES = (RECURRENT, DECAY_MASK, DESIGN_STEPS, PREDICT_CAPACITY, HYBRIDS, ROUTER, BREAK_BALANCE)
