"""Filling hidden letters and counting syllables: tables of counts, and two models pre-trained on the same spellings.

Hidden letters: each letter of each test word alone, by tables of neighbours, by `letters-gpt` from the left, by
`letters-gpt` trying all 29 whole words, by `letters-bert` from both sides. Doubt: two BERTs are trained for one pass
over the words, one with 80/10/10 and one with the mask alone, and asked about letters that they can see. Syllables:
both models and one that starts from random weights are fine-tuned on the same 100 to 100,000 labelled words and scored
on the same test words, at two learning rates, with two choices of labelled words (100,000: one).

Writes `tftutor/results/letters.json` after every measurement and continues there when it is started again with the same
checkpoints; about 22 minutes of one core.

    python benchmarks/letters.py
"""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tftutor.data import Entry, load_cmudict, split
from tftutor.data.cloze import syllables
from tftutor.data.ngrams import GapCounts
from tftutor.models.classifier import SequenceClassifier
from tftutor.results import load_results, write_results
from tftutor.serialization import build_model, load
from tftutor.spelling import beliefs, fill_accuracy, fill_accuracy_by_trying
from tftutor.training.distributed import processes
from tftutor.training.finetune import finetune, predict_labels
from tftutor.training.letters import LETTER_RECIPES, LetterTask, hidden_letters, letters_config
from tftutor.training.loop import fit
from tftutor.training.recipes import sample

NEIGHBOURS = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (1, 1), (2, 2), (3, 3), (4, 4)]
TEST_WORDS, TRIED_WORDS, SCORED_WORDS = 2000, 250, 2000
LABELS = {100: (60, 32), 1000: (150, 32), 10_000: (300, 64), 100_000: (782, 128)}  # labels: steps, batch size
STARTS = ("letters-bert", "letters-gpt", "random")
RATES = (3e-3, 1e-3)  # peaks of the learning rate
SEEDS = {100: 2, 1000: 2, 10_000: 2, 100_000: 1}  # choices of labelled words
SHARES = {"80/10/10": (0.8, 0.1, 0.1), "always masked": (1.0, 0.0, 0.0)}
MOST = 7  # syllables; words of more count as 7


def fill(kind: str, train: list[str], test: list[str]) -> float:
    """Share of hidden letters found by one method."""
    if kind.startswith("table"):
        left, right = map(int, kind.split()[1].split("+"))
        return GapCounts(train, left=left, right=right).accuracy(test)
    if kind == "letters-gpt, every letter tried":
        return fill_accuracy_by_trying(load("letters-gpt")[0], test[:TRIED_WORDS])
    if kind == "letters-bert, the same words":
        return fill_accuracy(load("letters-bert")[0], test[:TRIED_WORDS])
    return fill_accuracy(load(kind)[0], test)


def doubt(shares: tuple[float, float, float], words: list[str], test: list[str]) -> dict[str, float]:
    """One pass over the words with these shares; then how likely visible letters are, right and replaced ones."""
    recipe = dataclasses.replace(LETTER_RECIPES["letters-bert"], epochs=1, warmup_steps=100, ema_decay=0.99)
    task = LetterTask(words, test[:100], recipe)
    task.ask = functools.partial(hidden_letters, shares=shares)
    torch.manual_seed(0)
    with processes(None) as procs, tempfile.TemporaryDirectory() as folder:
        fitted = fit(build_model(recipe.config), task, recipe, out=Path(folder), procs=procs, progress=False)
    right, replaced = beliefs(fitted.average, test)
    return {"right": right, "replaced": replaced, "accuracy": fill_accuracy(fitted.average, test)}


def start(name: str, seed: int) -> torch.nn.Module:
    """A pretrained model, or one with random weights and the mask of BERT."""
    torch.manual_seed(seed)
    return build_model(letters_config("masked")) if name == "random" else load(name)[0]


def count_syllables(name: str, labels: int, seed: int, rate: float, train: list[Entry], test: list[Entry]) -> float:
    """Share of test words with the right number of syllables after fine-tuning on `labels` words."""
    entries = shuffled(train, seed)[:labels]
    steps, batch_size = LABELS[labels]
    torch.manual_seed(seed)
    model = SequenceClassifier(start(name, seed), MOST + 1)
    finetune(model, [entry.word for entry in entries], [label(entry) for entry in entries], steps=steps,
             batch_size=batch_size, learning_rate=rate, seed=seed)  # fmt: skip
    found = predict_labels(model, [entry.word for entry in test])
    return float((found == torch.tensor([label(entry) for entry in test])).double().mean())


def label(entry: Entry) -> int:
    """The class of a word."""
    return min(syllables(entry), MOST)


def shuffled(entries: list[Entry], seed: int) -> list[Entry]:
    """All entries, in an order that depends on the seed."""
    order = torch.randperm(len(entries), generator=torch.Generator().manual_seed(seed))
    return [entries[i] for i in order.tolist()]


def plan() -> list[dict[str, Any]]:
    """What is measured, as the rows say it."""
    kinds = [f"table {left}+{right}" for left, right in NEIGHBOURS]
    kinds += ["letters-gpt", "letters-bert", "letters-gpt, every letter tried", "letters-bert, the same words"]
    rows: list[dict[str, Any]] = [{"task": "fill", "by": kind} for kind in kinds]
    rows += [{"task": "doubt", "by": name} for name in SHARES]
    rows += [{"task": "syllables", "by": name, "labels": labels, "seed": seed, "rate": rate}
             for labels in LABELS for rate in RATES for seed in range(SEEDS[labels]) for name in STARTS]  # fmt: skip
    return rows


def main() -> None:
    """Measure what is missing."""
    torch.set_num_threads(1)
    parts = split(load_cmudict())
    test = sample(parts.test, TEST_WORDS)
    order = shuffled(test, 0)
    train, asked = [entry.word for entry in parts.train], [entry.word for entry in order]
    checkpoints = {name: load(name)[1]["sha256"] for name in STARTS if name != "random"}
    settings = {"neighbours": NEIGHBOURS, "test_words": TEST_WORDS, "tried_words": TRIED_WORDS, "labels": LABELS,
                "scored_words": SCORED_WORDS, "seeds": SEEDS, "rates": RATES, "most": MOST, "shares": SHARES,
                "checkpoints": checkpoints}  # fmt: skip
    rows, minutes = earlier(settings)
    done = [{key: row.get(key) for key in ("task", "by", "labels", "seed", "rate") if key in row} for row in rows]
    for row in plan():
        if row in done:
            continue
        began = time.process_time()
        if row["task"] == "fill":
            found = {"accuracy": fill(row["by"], train, asked)}
        elif row["task"] == "doubt":
            found = doubt(SHARES[row["by"]], train, asked)
        else:
            found = {"accuracy": count_syllables(row["by"], row["labels"], row["seed"], row["rate"], parts.train,
                                                 order[:SCORED_WORDS])}  # fmt: skip
        rows.append(row | {name: round(value, 4) for name, value in found.items()})
        minutes += (time.process_time() - began) / 60
        write_results("letters", rows, script="benchmarks/letters.py", settings=settings, minutes=minutes)


def earlier(settings: dict[str, Any]) -> tuple[list[dict[str, Any]], float]:
    """Rows and minutes of a run that was interrupted; none if it had other settings or other checkpoints."""
    try:
        before = load_results("letters")
    except ValueError:
        return [], 0.0
    same = before["settings"] == json.loads(json.dumps(settings))
    return (before["rows"], before["minutes"]) if same else ([], 0.0)


if __name__ == "__main__":
    main()
