"""Learning a secret code from examples in the prompt: how deep a model has to be, and whether it has to be one stack.

Stacks of two layers and of one, narrow and wide, and an encoder-decoder of one layer each that is asked the same
questions (the narrow ones saw half as many episodes); each is scored by the number of examples it was shown, apart for
symbols among them and for new ones. The stacks also with each head taken out.

Writes `tftutor/results/cipher.json` after every measurement and continues there when it is started again; about 10
minutes of one core.

    python benchmarks/cipher.py
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tftutor.heads import gate_heads, repeat_patterns
from tftutor.models import EncoderDecoder
from tftutor.observe import record_attention
from tftutor.results import load_results, write_results
from tftutor.serialization import build_model, load
from tftutor.training.cipher import (
    CIPHER_RECIPES,
    WIDE,
    CipherPairTask,
    CipherTask,
    asked_after,
    cipher_config,
    cipher_pair_config,
    dev_episodes,
)
from tftutor.training.distributed import processes
from tftutor.training.loop import fit

RECIPE = CIPHER_RECIPES["cipher"]
EXAMPLES = (0, 1, 2, 4, 8, 12, 15)
EPISODES = 4000
SHAPES = {
    "two layers": cipher_config(),
    "one layer": cipher_config(1),
    "two wide layers": cipher_config(**WIDE),
    "one wide layer": cipher_config(1, **WIDE),
    "encoder and decoder": cipher_pair_config(1, **WIDE),
}
SHIPPED = {"two layers": "cipher", "two wide layers": "cipher-wide"}
PLAN = [
    ("two layers", 0), ("one layer", 0), ("two wide layers", 0), ("encoder and decoder", 0), ("two layers", 1),
    ("one wide layer", 0), ("two layers", 2), ("two wide layers", 1),
]  # fmt: skip


def train(kind: str, seed: int) -> tuple[torch.nn.Module, float]:
    """A trained model of this kind, and the processor time in seconds."""
    pairs = kind == "encoder and decoder"
    base = RECIPE if kind in ("two layers", "one layer") else CIPHER_RECIPES["cipher-wide"]
    recipe = dataclasses.replace(base, config=SHAPES[kind], seed=seed, eval_every=10**6)
    task = (CipherPairTask if pairs else CipherTask)(recipe)
    with tempfile.TemporaryDirectory() as folder, processes("cpu") as procs:
        torch.manual_seed(seed)
        fitted = fit(build_model(SHAPES[kind]), task, recipe, out=Path(folder), procs=procs, progress=False)
    if fitted.stopped:
        raise SystemExit("stopped by a signal")
    return fitted.average.eval(), fitted.position.cpu_s


def by_examples(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Accuracy after so many examples: of all questions, of those about a shown symbol, of those about a new one."""
    tokens, known = dev_episodes(RECIPE, count=EPISODES, seed=2)
    found = []
    for given in EXAMPLES[1:] if isinstance(model, EncoderDecoder) else EXAMPLES:
        right, shown = asked_after(model, tokens, given).double(), known[:, given]
        row: dict[str, Any] = {"examples": given, "all": round(float(right.mean()), 4)}
        for name, part in (("shown", shown), ("new", ~shown)):
            row[name] = round(float(right[part].mean()), 4) if int(part.sum()) >= 50 else None
        found.append(row)
    return found


def heads(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Each head: where it looks when a plain symbol asks, and the accuracy on shown symbols without it."""
    tokens, known = dev_episodes(RECIPE, count=1000, seed=2)
    inputs, answers = tokens[:, :-1], tokens[:, 1::2]
    plain = (torch.arange(inputs.shape[1]) % 2 == 0).expand(len(inputs), -1)
    with record_attention(model) as maps, torch.no_grad():
        model(inputs)
    found = []
    for name, weights in maps.items():
        signs, told = repeat_patterns(weights, inputs, plain), repeat_patterns(weights, inputs, ~plain)
        for head in range(weights.shape[1]):
            gate = torch.ones(weights.shape[1])
            gate[head] = 0
            with gate_heads(model, {name: gate}), torch.no_grad():
                right = model(inputs)[:, ::2].argmax(dim=-1) == answers
            without = float(right[known].double().mean())
            found.append({
                "layer": int(name.split(".")[1]), "head": head, "without": round(without, 4),
                "after": round(float(signs["after"][head]), 4), "same": round(float(signs["same"][head]), 4),
                "previous": round(float(told["previous"][head]), 4),
            })  # fmt: skip
    return found


def main() -> None:
    """Measure what is missing."""
    torch.set_num_threads(1)
    settings = {"batch_size": RECIPE.batch_size,
                "n_symbols": RECIPE.n_symbols, "n_pairs": RECIPE.n_pairs, "test_episodes": EPISODES}  # fmt: skip
    try:
        before = load_results("cipher")
        rows, minutes = before["rows"], before["minutes"]
    except ValueError:
        rows, minutes = [], 0.0
    known = {(row["model"], row["seed"]) for row in rows}
    for kind, seed in PLAN:
        if (kind, seed) in known:
            continue
        began = time.process_time()
        if seed == 0 and kind in SHIPPED:
            model, card = load(SHIPPED[kind])
            seconds = card["cpu_time_s"]
        else:
            model, seconds = train(kind, seed)
        rows.append({
            "model": kind, "seed": seed, "parameters": sum(p.numel() for p in model.parameters()),
            "cpu_s": round(seconds, 1), "accuracy": by_examples(model),
            "heads": [] if isinstance(model, EncoderDecoder) else heads(model),
        })  # fmt: skip
        minutes += (time.process_time() - began) / 60
        write_results("cipher", rows, script="benchmarks/cipher.py", settings=settings, minutes=minutes)


if __name__ == "__main__":
    main()
