"""Exercises of the chapter on decoder-only models and in-context learning."""

from __future__ import annotations

from tftutor.exercises.decoder_only.claims import BREAK_PREFIX, EVIDENCE, PREDICT_CACHE
from tftutor.exercises.decoder_only.episodes import BUILD_PROMPT, SHOWN_ACCURACY
from tftutor.exercises.decoder_only.induction import INDUCTION_SCORES
from tftutor.exercises.decoder_only.masking import PREFIX_LM_MASK
from tftutor.exercises.decoder_only.target import TARGET_LOSS

EXERCISES = (PREFIX_LM_MASK, TARGET_LOSS, BREAK_PREFIX, PREDICT_CACHE, BUILD_PROMPT, SHOWN_ACCURACY, INDUCTION_SCORES,
             EVIDENCE)  # fmt: skip
