"""Exercises of the chapter on the KV cache."""

from __future__ import annotations

from tftutor.exercises.kv_cache.cached_attention import CACHED_ATTENTION
from tftutor.exercises.kv_cache.grouped_attention import GROUPED_ATTENTION
from tftutor.exercises.kv_cache.memory import BLOCKS_NEEDED, CACHE_BYTES
from tftutor.exercises.kv_cache.questions import BREAK_STATIC, GROWTH, PREDICT_ENCODER
from tftutor.exercises.kv_cache.rows import REORDER

EXERCISES = (
    PREDICT_ENCODER,
    CACHED_ATTENTION,
    REORDER,
    GROWTH,
    CACHE_BYTES,
    GROUPED_ATTENTION,
    BLOCKS_NEEDED,
    BREAK_STATIC,
)
