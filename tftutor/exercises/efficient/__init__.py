"""Exercises of the chapter on what attention costs."""

from __future__ import annotations

from tftutor.exercises.efficient.choices import FLASH, MATCH, PREDICT_REACH
from tftutor.exercises.efficient.linear import LINEAR
from tftutor.exercises.efficient.online import MERGE
from tftutor.exercises.efficient.rank import BREAK_RANK
from tftutor.exercises.efficient.sizes import CROSSOVERS
from tftutor.exercises.efficient.window import WINDOW

EXERCISES = (CROSSOVERS, MERGE, PREDICT_REACH, WINDOW, BREAK_RANK, LINEAR, MATCH, FLASH)
