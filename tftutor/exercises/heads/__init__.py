"""Exercises of the chapter on many heads."""

from __future__ import annotations

from tftutor.exercises.heads.break_view import BREAK_VIEW
from tftutor.exercises.heads.classify import CLASSIFY
from tftutor.exercises.heads.costs import COSTS, PREDICT_EIGHT_HEADS
from tftutor.exercises.heads.multi_head import MULTI_HEAD
from tftutor.exercises.heads.terms import TERMS

EXERCISES = (PREDICT_EIGHT_HEADS, MULTI_HEAD, TERMS, COSTS, CLASSIFY, BREAK_VIEW)
