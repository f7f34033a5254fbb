"""Every recipe by its name, with the function that follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tftutor.training.checkpoint import TrainResult
from tftutor.training.cipher import CIPHER_RECIPES, train_cipher
from tftutor.training.decoder_only import ONE_STACK_RECIPES, TWO_STACK_RECIPES, train_one_stack
from tftutor.training.letters import LETTER_RECIPES, train_letters
from tftutor.training.recipes import RECIPES, train
from tftutor.training.text import TEXT_RECIPES, train_text
from tftutor.training.text_to_text import WORDS_T5_RECIPES, train_text_to_text


def all_recipes() -> dict[str, tuple[Any, Callable[..., TrainResult]]]:
    """Recipe and function by name; a function takes its recipe, `out` and `resume`."""
    families = (
        (RECIPES, train),
        (TWO_STACK_RECIPES, train),
        (ONE_STACK_RECIPES, train_one_stack),
        (TEXT_RECIPES, train_text),
        (LETTER_RECIPES, train_letters),
        (CIPHER_RECIPES, train_cipher),
        (WORDS_T5_RECIPES, train_text_to_text),
    )
    return {name: (recipe, follow) for recipes, follow in families for name, recipe in recipes.items()}
