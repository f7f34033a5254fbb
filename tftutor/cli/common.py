"""What the commands share: errors for people, and checkpoints by name or path."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

Command = TypeVar("Command", bound=Callable[..., None])

ModelOption = Annotated[str, typer.Option("--model", "-m", help="A shipped checkpoint's name, or a path to one.")]


def plain_errors(command: Command) -> Command:
    """Turn the package's one-line errors into one line on standard error and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> None:
        try:
            command(*args, **kwargs)
        except typer.Exit:  # a RuntimeError by birth
            raise
        except (ValueError, OSError, RuntimeError) as error:
            _fail(str(error))
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None

    return wrapped


def _fail(message: str) -> None:
    typer.echo(f"tftutor: {' '.join(message.split())}", err=True)
    raise typer.Exit(2)


SPELLERS = ("EncoderDecoder", "RecurrentSeq2Seq")  # models from letters to phonemes


def load_checkpoint(name: str, *kinds: str) -> tuple[Any, dict[str, Any]]:
    """A checkpoint by its shipped name, or by a path; of one of the model classes `kinds`."""
    from tftutor.serialization import load, load_model, shipped

    is_path = name not in shipped() and (Path(name).parent != Path() or Path(name).suffix)
    model, card = load_model(name) if is_path else load(name)
    if type(model).__name__ not in kinds:
        listed = " or ".join(kinds)
        raise ValueError(f"model: expected a checkpoint of {listed}, got {name!r}, one of {type(model).__name__}")
    return model, card


def load_speller(name: str) -> tuple[Any, dict[str, Any]]:
    """A checkpoint that pronounces: of two vocabularies, or of letters and phonemes in one sequence."""
    model, card = load_checkpoint(name, *SPELLERS, "GPT")
    known = card.get("vocabularies", {})
    if "text" in known or (type(model).__name__ == "GPT" and "spoken" not in known):
        raise ValueError(f"model: expected a checkpoint that pronounces words, got {name!r}, a language model of "
                         f"{', '.join(known)}")  # fmt: skip
    return model, card
