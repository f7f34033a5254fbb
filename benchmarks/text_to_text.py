"""One model for six tasks against six models for one task each, with the same number of batches of every task.

`words-t5` is the shipped checkpoint: N batches of each of six tasks. Each `words-TASK` is the same network with equal
settings, trained on N batches of its one task. `words-pronounce-long` has as many updates as `words-t5`, all on one
task; it is trained only with `--long`. All are scored on the same questions about test words. At the end the model that
only learned to pronounce gets all six prefixes in front of the same words.

Trains what is missing in FOLDER (default runs), each with its own recipe, and writes
`tftutor/results/text_to_text.json` after every model; about 22 minutes of one core, 33 with `--long`.

    python benchmarks/text_to_text.py [--long] [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tftutor.data import load_cmudict, split
from tftutor.data.text_to_text import TASKS, kind_of, prompt
from tftutor.prompting import answers
from tftutor.results import write_results
from tftutor.serialization import CHECKPOINTS, load_model, read_card
from tftutor.training.recipes import sample
from tftutor.training.text_to_text import SCORED, WORDS_T5_RECIPES, train_text_to_text

SWAPPED = 1000  # words


def card_of(name: str, folder: Path) -> dict[str, Any]:
    """The card of a shipped checkpoint or of one in `folder`; trains it when there is none."""
    if (CHECKPOINTS / f"{name}.json").exists():
        return read_card(CHECKPOINTS / name)
    out = folder / name
    if not (out / f"{name}.json").exists() or not read_card(out / name)["metrics"]:
        train_text_to_text(WORDS_T5_RECIPES[name], out=out, resume=True)
    return read_card(out / name)


def rows_of(card: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each task that a model was scored on."""
    recipe = card["recipe"]
    about = {"model": card["name"], "steps": card["steps"], "batches_of_task": card["steps"] // len(recipe["tasks"]),
             "seed": card["seed"]}  # fmt: skip
    return [about | {"task": task} | scores for task, scores in card["metrics"]["test"].items()]


def prefix_rows(folder: Path) -> list[dict[str, Any]]:
    """What the model of one task writes after each of the six prefixes: the share of answers in phonemes."""
    model, _ = load_model(folder / "words-pronounce" / "words-pronounce")
    words = [entry.word for entry in sample(split(load_cmudict()).test, SWAPPED)]
    rows = []
    for task in TASKS:
        kinds = [kind_of(text) for text in answers(model, [prompt(task, word) for word in words])]
        rows.append({"model": "words-pronounce", "prefix": task, "words": len(words),
                     "phonemes": round(kinds.count("phonemes") / len(words), 5)})  # fmt: skip
    return rows


def main() -> None:
    """Train what is missing, and collect the scores."""
    folder = Path(next((each for each in sys.argv[1:] if not each.startswith("-")), "runs"))
    names = ["words-t5", *(f"words-{task}" for task in TASKS), *(["words-pronounce-long"] * ("--long" in sys.argv))]
    rows, minutes = [], 0.0
    recipe = WORDS_T5_RECIPES["words-t5"]
    settings = {"batches": recipe.batches, "batch_size": recipe.batch_size, "learning_rate": recipe.learning_rate,
                "warmup_steps": recipe.warmup_steps, "precision": recipe.precision, "scored_words": SCORED,
                "swapped_words": SWAPPED}  # fmt: skip
    for name in names:
        card = card_of(name, folder)
        rows += rows_of(card)
        minutes += card["cpu_time_s"] / 60
        if name == names[-1]:
            rows += prefix_rows(folder)
        write_results("text_to_text", rows, script="benchmarks/text_to_text.py", settings=settings, minutes=minutes)


if __name__ == "__main__":
    main()
