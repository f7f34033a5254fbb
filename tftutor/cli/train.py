"""Commands that make and measure a model: `train` and `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tftutor.cli.common import load_speller, plain_errors


@plain_errors
def train(
    recipe: Annotated[str, typer.Argument(help="Which model to train; `list` names them all.")],
    train_file: Annotated[
        Path | None, typer.Option("--train", help="Your dictionary instead of CMUdict, used whole.")
    ] = None,
    dev_file: Annotated[
        Path | None, typer.Option("--dev", help="Watch this one; else 5 % of the --train words.")
    ] = None,
    test_file: Annotated[Path | None, typer.Option("--test", help="Score this one at the end.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for checkpoint, state and log; default runs/RECIPE.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the state in the folder.")] = False,
) -> None:
    """Train a model by a named RECIPE. Stop it at any time; --resume goes on to the same weights.

    A dictionary has one word a line, a tab or spaces, then its phonemes, like CMUdict. Several processes:
    torchrun --standalone --nproc-per-node 2 --no-python tftutor train RECIPE
    """
    from tftutor.training.catalogue import all_recipes
    from tftutor.training.recipes import Recipe

    known = all_recipes()
    if recipe == "list":
        for name, (each, _) in known.items():
            typer.echo(f"{name:18} {each.summary}")
        return
    if recipe not in known:
        raise ValueError(f"RECIPE: expected one of {', '.join(known)}, got {recipe!r}")
    chosen, follow = known[recipe]
    files = {"train": train_file, "dev": dev_file, "test": test_file}
    given = {part: path for part, path in files.items() if path is not None}
    if given and not isinstance(chosen, Recipe):
        takers = ", ".join(name for name, (each, _) in known.items() if isinstance(each, Recipe))
        raise ValueError(f"--{next(iter(given))}: expected no dictionary for {recipe!r}; {takers} learn from one")
    folder = out or Path("runs") / recipe
    result = follow(chosen, out=folder, resume=resume, **given)
    if not result.is_main:
        return
    if result.stopped:
        typer.echo(
            f"stopped at step {result.steps} of {result.total_steps}; go on with --resume --out {folder}", err=True
        )
        raise typer.Exit(130)
    typer.echo(str(result.checkpoint))
    for part, scores in result.card["metrics"].items():
        typer.echo(f"{part}: " + ", ".join(f"{name} {_score(value)}" for name, value in scores.items()))


@plain_errors
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A shipped checkpoint's name, or a path to one.")] = "g2p",
    data: Annotated[
        Path | None, typer.Option("--data", help="Score this dictionary, whole; default: CMUdict's test words.")
    ] = None,
    beam: Annotated[int, typer.Option(min=1, help="Continuations kept while searching; 1 is greedy decoding.")] = 1,
    worst: Annotated[int, typer.Option(min=0, help="Show this many of the words with most edits.")] = 10,
) -> None:
    """Measure a checkpoint: word and phoneme error rate with 95 % intervals, and its worst words.

    A word is right when it equals any listed pronunciation. A word that cannot be spelled counts as an error.
    """
    from tftutor.data import load_cmudict, read_dictionary, split
    from tftutor.training.evaluation import evaluate as score

    network, _ = load_speller(checkpoint)
    entries = split(load_cmudict()).test if data is None else read_dictionary(data)
    result = score(network, entries, beam=beam)
    typer.echo(f"words {result.n_words}")
    for name, value, (low, high) in (
        ("WER", result.wer, result.wer_interval),
        ("PER", result.per, result.per_interval),
    ):
        typer.echo(f"{name} {100 * value:.2f} %  (95 % interval {100 * low:.2f} to {100 * high:.2f})")
    for mistake in sorted(result.errors, key=lambda m: (-m.edits, m.word))[:worst]:
        said = "cannot be spelled" if mistake.predicted is None else " ".join(mistake.predicted) or "(nothing)"
        typer.echo(f"{mistake.word}\t{mistake.edits} edits\t{said}\tlisted: {' '.join(mistake.references[0])}")


def _score(value: object) -> str:
    """A plain number, the rates of one way of decoding, or the share of right answers, for people."""
    if isinstance(value, dict) and "right" in value:
        return f"{100 * value['right']:.2f} % right"
    if isinstance(value, dict):
        return f"WER {100 * value['wer']:.2f} % PER {100 * value['per']:.2f} %"
    return str(value)
