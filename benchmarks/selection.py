"""Selective copying by Mamba with parts of its selection taken out, by retention and by attention: four minutes.

    OMP_NUM_THREADS=1 python benchmarks/selection.py

Writes tftutor/results/selection.json, which the chapter on what lies beyond attention plots.
"""

from __future__ import annotations

import time

import torch

from tftutor.models import Hybrid
from tftutor.results import write_results
from tftutor.ssm import fix_selection
from tftutor.training.families import copying_config, train_copying

SEEDS = (0, 1, 2)
STEPS = 350
# name -> mixer, parts of the selection that are the same for every token
VARIANTS = {
    "all from the token": ("mamba", ()),
    "fixed dt": ("mamba", ("dt",)),
    "fixed B and C": ("mamba", ("b", "c")),
    "all fixed": ("mamba", ("dt", "b", "c")),
    "retention": ("retention", ()),
    "attention": ("attention", ()),
}


def measure(variant: str, seed: int) -> float:
    """The share of symbols that a model trained from this seed copies rightly."""
    mixer, parts = VARIANTS[variant]
    torch.manual_seed(seed)
    model = Hybrid(copying_config(mixer))
    fix_selection(model, *parts)
    return train_copying(model, steps=STEPS, seed=seed)


def main() -> None:
    """Train every variant from every seed; what is there is kept after each seed."""
    torch.set_num_threads(1)
    start, rows = time.process_time(), []
    for n, seed in enumerate(SEEDS, start=1):
        for variant in VARIANTS:
            rows.append({"variant": variant, "seed": seed, "accuracy": round(measure(variant, seed), 3)})
            print(rows[-1], flush=True)
        settings = {"steps": STEPS, "length": 12, "n_data": 3, "n_symbols": 6, "layers": 2, "d_model": 32,
                    "seeds": list(SEEDS[:n])}  # fmt: skip
        write_results("selection", rows, script="benchmarks/selection.py", settings=settings,
                      minutes=(time.process_time() - start) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
