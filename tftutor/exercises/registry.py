"""Which exercises there are. A chapter's module is imported when one of its exercises is asked for."""

from __future__ import annotations

import difflib
import importlib

from tftutor.exercises.exercise import Exercise

# First part of an id -> module or package here that lists EXERCISES, in the order of the chapters.
CHAPTERS = {
    "recurrent": "recurrent",
    "symbols": "symbols",
    "qkv": "queries_keys_values",
    "scores": "scores",
    "masks": "masks",
    "heads": "heads",
    "positions": "positions",
    "norms": "normalisation",
    "feed-forward": "feed_forward",
    "encoder-decoder": "encoder_decoder",
    "forcing": "teacher_forcing",
    "generation": "generation",
    "kv-cache": "kv_cache",
    "efficient": "efficient",
    "lengths": "lengths",
    "pretraining": "pretraining",
    "t5": "text_to_text",
    "decoder-only": "decoder_only",
    "beyond": "beyond",
    "clinic": "clinic",
}


def chapter_exercises(chapter: str) -> tuple[Exercise, ...]:
    """The exercises of one chapter, in its order."""
    return importlib.import_module(f"tftutor.exercises.{CHAPTERS[chapter]}").EXERCISES


def all_exercises() -> list[Exercise]:
    """Every exercise, in the order of the chapters."""
    return [exercise for chapter in CHAPTERS for exercise in chapter_exercises(chapter)]


def find_exercise(exercise_id: str) -> Exercise:
    """The exercise with this id; a slip of the pen gets the nearest id."""
    if isinstance(exercise_id, str):
        chapter = exercise_id.partition("/")[0]
        if chapter in CHAPTERS:
            for exercise in chapter_exercises(chapter):
                if exercise.id == exercise_id:
                    return exercise
        ids = [exercise.id for exercise in all_exercises()]
        near = difflib.get_close_matches(exercise_id, ids, n=1, cutoff=0.0)
        raise ValueError(f"exercise_id: expected the id of an exercise, got {exercise_id!r}; did you mean {near[0]!r}?")
    raise TypeError(f"exercise_id: expected a string such as 'qkv/attention', got {type(exercise_id).__name__}")
