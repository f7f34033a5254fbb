"""Commands that use a model: `pronounce` and `generate`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from tftutor.cli.common import ModelOption, load_checkpoint, load_speller, plain_errors


@plain_errors
def pronounce_words(
    words: Annotated[list[str] | None, typer.Argument(help="Words to pronounce; none: read standard input.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read words from this file, one or more a line.")
    ] = None,
    model: ModelOption = "g2p",
    beam: Annotated[int, typer.Option(min=1, help="Continuations kept while searching; 1 is greedy decoding.")] = 5,
    n_best: Annotated[
        int, typer.Option("--n-best", "-n", min=1, help="Show this many pronunciations, with probabilities.")
    ] = 1,
) -> None:
    """Write how WORDS are pronounced, in the 39 phonemes of the CMU dictionary.

    One line a word: the word, a tab, its phonemes. With --n-best there is one line a pronunciation, with its
    probability between. A word the model cannot spell is reported on standard error, the rest still come out; the exit
    code is 2 then.

        tftutor pronounce school photograph

        tftutor pronounce --n-best 3 read

        cat words.txt | tftutor pronounce
    """
    from tftutor.data import WordError, check_word
    from tftutor.tasks import pronounce

    if n_best > beam:
        raise ValueError(f"--n-best: expected at most the beam width {beam}, got {n_best}; raise --beam")
    network, _ = load_speller(model)
    refused = False
    for batch in _batches(_read_words(words, file), 256):
        spelled = []
        for word in batch:
            try:
                spelled.append(check_word(word))
            except WordError as error:
                refused = True
                typer.echo(f"tftutor: {error}", err=True)
        for word, found in zip(spelled, pronounce(network, spelled, n_beams=beam, n_best=n_best), strict=True):
            for candidate in found:
                phonemes = " ".join(candidate.phonemes)
                middle = f"\t{candidate.probability:.3f}" if n_best > 1 else ""
                typer.echo(f"{word}{middle}\t{phonemes}")
    if refused:
        raise typer.Exit(2)


def _read_words(words: list[str] | None, file: Path | None) -> Iterator[str]:
    """Words of the arguments, then of the file; of standard input when there are neither."""
    if words:
        yield from words
    if file is not None:
        yield from _split_lines(file.read_bytes(), str(file))
    elif not words:
        if sys.stdin.isatty():
            raise ValueError("words: expected words to pronounce, got none; try: tftutor pronounce school")
        yield from _split_lines(sys.stdin.buffer.read(), "standard input")


def _split_lines(content: bytes, source: str) -> list[str]:
    try:
        return content.decode("utf-8").split()
    except UnicodeDecodeError:
        raise ValueError(f"{source}: expected UTF-8 text, got other bytes; convert the file to UTF-8") from None


def _batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@plain_errors
def generate(
    prompt: Annotated[str, typer.Argument(help="Text to continue.")] = "\n",
    model: ModelOption = "shakespeare",
    length: Annotated[int, typer.Option(min=1, help="Characters to add.")] = 300,
    temperature: Annotated[float, typer.Option(help="Below 1 safer, above 1 wilder; 0 takes the likeliest.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from the k likeliest characters only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the likeliest characters that hold this probability.")
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Draw from the characters at least this share as likely as the likeliest.")
    ] = None,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1, characters that were written become less likely.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
) -> None:
    """Continue PROMPT with a small language model trained on Shakespeare's plays, character by character."""
    from tftutor.tasks import continue_text

    network, _ = load_checkpoint(model, "GPT")
    text = continue_text(network, prompt, length=length, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
                         repetition_penalty=repetition_penalty, seed=seed)  # fmt: skip
    typer.echo(prompt + text)
