"""Exercises of the interview clinic and its capstone."""

from __future__ import annotations

from tftutor.exercises.clinic.capstone import CAPSTONE
from tftutor.exercises.clinic.on_attention import ATTENTION
from tftutor.exercises.clinic.on_building import BUILDING
from tftutor.exercises.clinic.on_inference import INFERENCE
from tftutor.exercises.clinic.on_masks import MASKS
from tftutor.exercises.clinic.on_positions import POSITIONS
from tftutor.exercises.clinic.questions import BREAK_IMPORTANCE, PREDICT_CACHE
from tftutor.exercises.clinic.repair import REPAIR

EXERCISES = (
    PREDICT_CACHE,
    BREAK_IMPORTANCE,
    ATTENTION,
    MASKS,
    POSITIONS,
    BUILDING,
    INFERENCE,
    REPAIR,
    CAPSTONE,
)
