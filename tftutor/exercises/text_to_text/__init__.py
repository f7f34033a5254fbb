"""Exercises of the chapter on T5: every task is text to text."""

from __future__ import annotations

from tftutor.exercises.text_to_text.mixing import MIXING
from tftutor.exercises.text_to_text.prefixes import FORMAT_INPUT, SPOT_FAKES
from tftutor.exercises.text_to_text.questions import BREAK_PREFIXES, PREDICT_UNKNOWN
from tftutor.exercises.text_to_text.restoring import RESTORE
from tftutor.exercises.text_to_text.spans import CORRUPT_SPANS

EXERCISES = (FORMAT_INPUT, SPOT_FAKES, PREDICT_UNKNOWN, CORRUPT_SPANS, RESTORE, MIXING, BREAK_PREFIXES)
