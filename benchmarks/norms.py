"""What norms and residual connections change in training: three small studies, with two or three seeds.

    OMP_NUM_THREADS=1 python benchmarks/norms.py

- "rows": layer norm and batch norm in the small character model, with batches of 16 to 2048 tokens.
- "depth": five wirings of a stack of small blocks, 2, 8 and 24 deep, with torch's initial weights and larger ones.
- "order": six pre-norm or post-norm layers, with and without warm-up, at two learning rates.

Runs of one seed see the same text in the same order. The rows are kept in tftutor/results/norms.json, after every
training; started again, the script continues there.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
import time
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.data.shakespeare import encode_text, load_shakespeare, random_windows
from tftutor.models import GPT
from tftutor.norms import SequenceBatchNorm, swap_norms
from tftutor.results import load_results, write_results
from tftutor.training.depth import CONTEXT, WIRINGS, DeepNet, last_character_loss
from tftutor.training.small import dev_windows, next_character_loss, small_config, train_small

SEEDS = (0, 1, 2)
FEW_SEEDS = (0, 1)  # for what takes longest
SHAPES = ((1, 16), (4, 16), (1, 64), (4, 64), (32, 64))  # windows in a batch, characters in a window
CHARACTERS = 16_384  # of the dev play
RECALIBRATE = 400  # batches


def mean_loss(model: nn.Module, windows: Tensor, batch: int) -> float:
    """Nats per character, `batch` windows at a time; running averages stay as they are."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        return round(float(torch.stack([next_character_loss(model, part) for part in windows.split(batch)]).mean()), 4)


def recalibrated(model: nn.Module, batch: int, window: int) -> nn.Module:
    """A copy with the plain average of the statistics of many training batches in place of the running averages."""
    model = copy.deepcopy(model).train()
    text, draw = encode_text(load_shakespeare().train), torch.Generator().manual_seed(9)
    norms = [module for module in model.modules() if isinstance(module, SequenceBatchNorm)]
    with torch.no_grad():
        for count in range(1, RECALIBRATE + 1):
            for norm in norms:
                norm.momentum = 1 / count
            model(random_windows(text, batch, window, generator=draw))
    return model.eval()


def measure_rows(seed: int, norm: str, windows: int, window: int, learning_rate: float) -> dict[str, float]:
    """Layer norm or batch norm, in batches of `windows` times `window` tokens."""
    torch.manual_seed(seed)
    model = GPT(small_config())
    if norm == "batch":
        swap_norms(model, SequenceBatchNorm)
    train_small(model, steps=600, batch_size=windows, window=window, learning_rate=learning_rate, seed=seed)
    dev = dev_windows(CHARACTERS // window, window=window)
    nats = {"eval_nats": mean_loss(model.eval(), dev, 256)}
    if norm == "batch":
        nats["train_mode_nats"] = mean_loss(model.train(), dev, windows)
        if windows == 1:
            nats["recalibrated_nats"] = mean_loss(recalibrated(model, windows, window), dev, 256)
    return nats


def measure_depth(seed: int, wiring: str, depth: int, he: bool, learning_rate: float) -> dict[str, float]:
    """One wiring of a stack of small blocks."""
    torch.manual_seed(seed)
    net = DeepNet(wiring, depth, he=he)
    losses = train_small(net, steps=300, batch_size=128, window=CONTEXT, learning_rate=learning_rate, seed=seed,
                         loss=last_character_loss)  # fmt: skip
    with torch.no_grad():
        nats = float(last_character_loss(net, dev_windows(4096, window=CONTEXT)))
    return {"train_nats": round(sum(losses[-50:]) / 50, 4), "eval_nats": round(nats, 4)}


def measure_order(seed: int, order: str, learning_rate: float, warmup_steps: int) -> dict[str, float]:
    """Six layers, pre-norm or post-norm."""
    torch.manual_seed(seed)
    cfg = small_config(n_layers=6, norm_order=order)
    model = GPT(dataclasses.replace(cfg, final_norm=order == "pre"))
    losses = train_small(model, steps=250, batch_size=8, window=32, learning_rate=learning_rate,
                         warmup_steps=warmup_steps, seed=seed)  # fmt: skip
    return {"train_nats": round(sum(losses[-50:]) / 50, 4)}


MEASURE = {"rows": measure_rows, "depth": measure_depth, "order": measure_order}


def jobs() -> list[dict[str, Any]]:
    """Everything to be measured: arguments of the functions above, and which."""
    todo: list[dict[str, Any]] = []
    for seed in SEEDS:
        stacks = [(depth, False, 1e-3) for depth in (2, 8, 24)]
        if seed == 0:  # the sides of the question: other initial weights, another learning rate
            stacks += [(24, True, 1e-3), (24, False, 3e-4)]
        todo += [{"study": "depth", "seed": seed, "wiring": wiring, "depth": depth, "he": he, "learning_rate": rate}
                 for depth, he, rate in stacks for wiring in WIRINGS]  # fmt: skip
    todo += _norm_jobs(SHAPES[:-1], SEEDS)
    todo += [{"study": "order", "seed": seed, "order": order, "learning_rate": rate, "warmup_steps": warm}
             for seed in FEW_SEEDS for order in ("pre", "post") for rate in (1e-3, 3e-3)
             for warm in (1, 25)]  # fmt: skip
    return todo + _norm_jobs(SHAPES[-1:], FEW_SEEDS)


def _norm_jobs(shapes: tuple[tuple[int, int], ...], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """Both norms; batches of a single window at two learning rates."""
    return [{"study": "rows", "seed": seed, "norm": norm, "windows": windows, "window": window, "learning_rate": rate}
            for seed in seeds for windows, window in shapes for norm in ("layer", "batch")
            for rate in ((3e-3, 1e-3) if windows == 1 else (3e-3,))]  # fmt: skip


def main() -> None:
    """Measure what is missing and keep the rows."""
    torch.set_num_threads(1)
    settings = {
        "rows": "small_config (width 64, 2 pre-norm layers, learned positions), 600 steps",
        "depth": f"DeepNet of width 64, {CONTEXT} characters of context, 300 steps of 128 windows",
        "order": "small_config with 6 layers, 250 steps of 8 windows of 32 characters",
        "dev_characters": CHARACTERS,
        "seeds": list(SEEDS),
    }
    rows, minutes = [], 0.0
    try:
        stored = load_results("norms")
        if stored["settings"] == settings:
            rows, minutes = stored["rows"], stored["minutes"]
    except ValueError:
        pass
    for job in jobs():
        if any(job.items() <= row.items() for row in rows):
            continue
        began = time.process_time()
        rows.append(job | MEASURE[job["study"]](**{name: value for name, value in job.items() if name != "study"}))
        minutes += (time.process_time() - began) / 60
        write_results("norms", rows, script="benchmarks/norms.py", settings=settings, minutes=minutes)
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
