"""Exercises of the chapter on masks."""

from __future__ import annotations

from tftutor.exercises.masks.additive import NAN_HUNT
from tftutor.exercises.masks.build import CAUSAL
from tftutor.exercises.masks.convert import CONVERT
from tftutor.exercises.masks.decoder import DECODER_MASK
from tftutor.exercises.masks.leaks import FIND_LEAK
from tftutor.exercises.masks.questions import BREAK_EMPTY_ROW, PREDICT_DROPPED_MASK

EXERCISES = (PREDICT_DROPPED_MASK, CAUSAL, DECODER_MASK, CONVERT, FIND_LEAK, NAN_HUNT, BREAK_EMPTY_ROW)
