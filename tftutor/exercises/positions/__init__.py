"""Exercises of the chapter on positions."""

from __future__ import annotations

from tftutor.exercises.positions.buckets import T5_BUCKET
from tftutor.exercises.positions.order import EQUIVARIANT, PREDICT_CAUSAL
from tftutor.exercises.positions.rotary import ROPE
from tftutor.exercises.positions.rotary_attention import ROPE_ATTENTION
from tftutor.exercises.positions.sines import SINUSOIDS
from tftutor.exercises.positions.wavelength import BREAK_ONE_WAVELENGTH

EXERCISES = (PREDICT_CAUSAL, EQUIVARIANT, SINUSOIDS, BREAK_ONE_WAVELENGTH, T5_BUCKET, ROPE, ROPE_ATTENTION)
