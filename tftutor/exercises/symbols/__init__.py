"""Exercises of the chapter on symbols, vectors and probabilities."""

from __future__ import annotations

from tftutor.exercises.symbols.aliasing import BREAK_TABLE, ENCODE
from tftutor.exercises.symbols.embedding import EMBED
from tftutor.exercises.symbols.logits import LOG_SOFTMAX
from tftutor.exercises.symbols.odds import LOG_ODDS
from tftutor.exercises.symbols.questions import EMBEDDING_SCALE, PREDICT_CONFIDENT

EXERCISES = (EMBEDDING_SCALE, BREAK_TABLE, PREDICT_CONFIDENT, LOG_SOFTMAX, LOG_ODDS, EMBED, ENCODE)
