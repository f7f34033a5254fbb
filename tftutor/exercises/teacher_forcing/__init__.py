"""Exercises of the chapter on teacher forcing."""

from __future__ import annotations

from tftutor.exercises.teacher_forcing.exact import EXACT
from tftutor.exercises.teacher_forcing.leaks import FIND_LEAK
from tftutor.exercises.teacher_forcing.loss import TOKEN_LOSS
from tftutor.exercises.teacher_forcing.questions import BREAK_ONE_WRONG, PREDICT_CHAIN
from tftutor.exercises.teacher_forcing.shift import SHIFT_RIGHT

EXERCISES = (PREDICT_CHAIN, SHIFT_RIGHT, TOKEN_LOSS, FIND_LEAK, EXACT, BREAK_ONE_WRONG)
