"""Commands around the course: `data`, `exercises` and `claims`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tftutor.cli.common import plain_errors

exercises_app = typer.Typer(help="The exercises of the course and your progress.", invoke_without_command=True)


@plain_errors
def show_data() -> None:
    """Say which data packages are installed and sound, and how to get the rest."""
    from tftutor.data.report import data_report
    from tftutor.packages import INSTALL_COMMAND

    report = data_report()
    for line in report:
        typer.echo(
            f"{'ok' if line.ok else 'MISSING':8} {line.name} ({line.package} {line.found or line.wanted}): {line.use}"
        )
        if line.problem:
            typer.echo(f"         {line.problem}")
    if not all(line.ok for line in report):
        typer.echo(f"get it with: {INSTALL_COMMAND}", err=True)
        raise typer.Exit(2)


@exercises_app.callback()
def exercises_command(context: typer.Context) -> None:
    """List all exercises with your progress."""
    if context.invoked_subcommand is None:
        _list_exercises()


@plain_errors
def _list_exercises() -> None:
    from tftutor.exercises import exercise_table

    marks = {"solved": "✓", "tried": "~", "open": " "}
    rows = exercise_table()
    for row in rows:
        typer.echo(f"[{marks[row.status]}] {row.id:44} {row.title}")
    typer.echo(f"{sum(row.status == 'solved' for row in rows)} of {len(rows)} solved")


@exercises_app.command("reset")
@plain_errors
def reset_exercises(
    chapter: Annotated[str | None, typer.Argument(help="Only this chapter's, such as qkv; default: all.")] = None,
) -> None:
    """Forget your progress and start over."""
    from tftutor.exercises import reset_progress

    typer.echo(f"forgot the progress of {reset_progress(chapter)} exercises")


@plain_errors
def recheck_claims(
    notebooks: Annotated[
        list[Path] | None, typer.Argument(help="Notebooks to check; default: all in --chapters.")
    ] = None,
    chapters: Annotated[Path, typer.Option(help="Folder of the course's notebooks.")] = Path("chapters"),
) -> None:
    """Measure the course's claims again on this machine: committed value, your value, holds or not."""
    from tftutor.claims import recheck

    paths = notebooks or sorted(chapters.glob("*.ipynb"))
    if not paths:
        raise ValueError(
            f"--chapters: expected a folder with notebooks, got {chapters}; run this in the course's folder"
        )
    failed = 0
    for path in paths:
        if not path.is_file():
            raise ValueError(f"notebooks: expected a notebook, got {path}, where no file is")
        for line in recheck(path):
            before = "not committed" if line.committed is None else _value(line.committed.value)
            mine = "not measured" if line.yours is None else _value(line.yours.value)
            verdict = "holds" if line.holds else "FAILS"
            failed += not line.holds
            typer.echo(f"{verdict}  {path.stem}  {line.id}: committed {before}, yours {mine}")
    if failed:
        raise typer.Exit(1)


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
