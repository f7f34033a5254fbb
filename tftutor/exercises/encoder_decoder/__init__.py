"""Exercises of the chapter on the full encoder-decoder."""

from __future__ import annotations

from tftutor.exercises.encoder_decoder.cross_attention import CROSS_ATTENTION
from tftutor.exercises.encoder_decoder.decode import DECODE
from tftutor.exercises.encoder_decoder.encode import ENCODE
from tftutor.exercises.encoder_decoder.generator import GENERATOR
from tftutor.exercises.encoder_decoder.questions import BREAK_SWAPPED_MASKS, COUNT_NORMS, PREDICT_ZERO_MEMORY

EXERCISES = (
    PREDICT_ZERO_MEMORY,
    ENCODE,
    CROSS_ATTENTION,
    DECODE,
    GENERATOR,
    COUNT_NORMS,
    BREAK_SWAPPED_MASKS,
)
