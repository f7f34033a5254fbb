"""The command line: `tftutor pronounce`, `generate`, `train`, `evaluate`, `data`, `exercises`, `claims`.

Heavy imports happen inside the commands, so that `--help` answers at once. Bad input ends in one line on standard
error and exit code 2, never in a traceback.
"""

from __future__ import annotations

import typer

from tftutor.cli.course import exercises_app, recheck_claims, show_data
from tftutor.cli.train import evaluate, train
from tftutor.cli.use import generate, pronounce_words

app = typer.Typer(
    help="A Transformer course you can run: use, train and check the models behind the book.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("pronounce")(pronounce_words)
app.command()(generate)
app.command()(train)
app.command()(evaluate)
app.command("data")(show_data)
app.add_typer(exercises_app, name="exercises")
app.command("claims")(recheck_claims)
