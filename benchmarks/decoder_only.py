"""Spelling to pronunciation by one stack or two: five models, the same words, the same updates, several seeds.

An encoder-decoder, decoder-only models with a causal and with a prefix mask that have as many parameters, and two that
need as many operations for a word. One more row: the causal model with a loss on the letters as well. Each is trained
from scratch and scored on the test words; the models of seed 0 that are shipped are not trained again.

Writes `tftutor/results/decoder_only.json` after every measurement and continues there when it is started again; about 9
minutes of one core for each seed.

    python benchmarks/decoder_only.py
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tftutor.budget import forward_flops, model_parameters
from tftutor.config import GPTConfig
from tftutor.data import Entry, load_cmudict, pairs_of, spellable, split
from tftutor.results import load_results, write_results
from tftutor.serialization import build_model, load, shipped
from tftutor.training.decoder_only import SHAPES, OneSequenceTask, WholeSequenceTask, comparison_recipe
from tftutor.training.distributed import processes
from tftutor.training.evaluation import evaluate
from tftutor.training.loop import fit
from tftutor.training.recipes import SpellingTask

SEEDS = 3
LETTERS_TOO = "causal, letters too"
PLAN = [(name, seed) for seed in range(SEEDS) for name in SHAPES]
PLAN.insert(len(SHAPES), (LETTERS_TOO, 0))


def operations(shape: str, entries: list[Entry]) -> float:
    """Mean floating-point operations of a forward pass over one word and its pronunciation."""
    cfg, pairs = SHAPES[shape], pairs_of(spellable(entries).entries)
    sizes = [(len(src), len(tgt)) for src, tgt in pairs]
    counts = Counter(sizes)
    total = 0
    for (letters, phonemes), n in counts.items():
        if isinstance(cfg, GPTConfig):
            flops = forward_flops(cfg, letters + phonemes + 2)  # with BOS and the separator
        else:
            flops = forward_flops(cfg, phonemes + 1, letters + 1)  # BOS here, EOS there
        total += n * sum(flops.values())
    return total / len(pairs)


def train(model: str, seed: int, train_words: list[Entry], dev: list[Entry]) -> tuple[torch.nn.Module, float]:
    """A trained model, and the processor time in seconds."""
    shape = "causal" if model == LETTERS_TOO else model
    recipe = comparison_recipe(shape, seed=seed)
    make = SpellingTask if shape == "encdec" else WholeSequenceTask if model == LETTERS_TOO else OneSequenceTask
    task = make(train_words, dev[:100], batch_size=recipe.batch_size, seed=seed)
    with tempfile.TemporaryDirectory() as folder, processes("cpu") as procs:
        torch.manual_seed(seed)
        fitted = fit(build_model(recipe.config), task, recipe, out=Path(folder), procs=procs, progress=False)
    if fitted.stopped:
        raise SystemExit("stopped by a signal")
    return fitted.average.eval(), fitted.position.cpu_s


def main() -> None:
    """Measure what is missing."""
    torch.set_num_threads(1)
    parts = split(load_cmudict())
    words = spellable(parts.train).entries
    recipe = comparison_recipe("causal")
    settings = {"steps": -(-len(pairs_of(words)) // recipe.batch_size), "test_words": len(parts.test),
                "batch_size": recipe.batch_size, "learning_rate": recipe.learning_rate}  # fmt: skip
    try:
        before = load_results("decoder_only")
        rows, minutes = before["rows"], before["minutes"]
    except ValueError:
        rows, minutes = [], 0.0
    known = {(row["model"], row["seed"]) for row in rows}
    for name, seed in PLAN:
        if (name, seed) not in known:
            began = time.process_time()
            if seed == 0 and f"g2p-{name}" in shipped():
                model, card = load(f"g2p-{name}")
                seconds = card["cpu_time_s"]
            else:
                model, seconds = train(name, seed, words, parts.dev)
            result = evaluate(model, parts.test)
            shape = "causal" if name == LETTERS_TOO else name
            row: dict[str, Any] = {
                "model": name, "seed": seed, "parameters": sum(model_parameters(SHAPES[shape]).values()),
                "operations": round(operations(shape, parts.test)), "wer": round(result.wer, 5),
                "wer_95": [round(x, 5) for x in result.wer_interval], "per": round(result.per, 5),
                "per_95": [round(x, 5) for x in result.per_interval], "cpu_s": round(seconds, 1),
            }  # fmt: skip
            rows.append(row)
            minutes += (time.process_time() - began) / 60
            write_results("decoder_only", rows, script="benchmarks/decoder_only.py", settings=settings,
                          minutes=minutes)  # fmt: skip


if __name__ == "__main__":
    main()
