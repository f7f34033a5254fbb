"""Exercises of the chapter on BERT and GPT: two ways to pre-train."""

from __future__ import annotations

from tftutor.exercises.pretraining.corruption import CORRUPT
from tftutor.exercises.pretraining.family import STACK_MASK
from tftutor.exercises.pretraining.masked_loss import MASKED_LOSS
from tftutor.exercises.pretraining.pseudo import PSEUDO_LIKELIHOOD
from tftutor.exercises.pretraining.questions import BREAK_COPY, PREDICT_TWO_GAPS
from tftutor.exercises.pretraining.senses import NEAREST_SENSE

EXERCISES = (CORRUPT, MASKED_LOSS, STACK_MASK, PREDICT_TWO_GAPS, PSEUDO_LIKELIHOOD, NEAREST_SENSE, BREAK_COPY)
