"""Transformer, RetNet, Mamba and a hybrid of one size on Shakespeare. Takes about ten minutes of one core.

    OMP_NUM_THREADS=1 python benchmarks/families.py

Writes tftutor/results/families.json, which the chapter on what lies beyond attention plots.
"""

from __future__ import annotations

import time

import torch

from tftutor.models import Hybrid
from tftutor.results import write_results
from tftutor.training.families import FAMILIES, family_config
from tftutor.training.small import dev_windows, next_character_loss, train_small

RUNS = ((200, (0, 1, 2), FAMILIES), (600, (0,), ("transformer", "retnet", "mamba")))  # updates, seeds, who
N_WINDOWS = 500


def measure(family: str, steps: int, seed: int) -> dict[str, float | str]:
    """Train one model; its loss on the dev play, in nats per character."""
    torch.manual_seed(seed)
    model = Hybrid(family_config(family))
    start = time.process_time()
    train_small(model, steps=steps, seed=seed)
    seconds = time.process_time() - start
    with torch.no_grad():
        loss = float(next_character_loss(model, dev_windows(N_WINDOWS)))
    parameters = sum(p.numel() for p in model.parameters())
    return {"family": family, "steps": steps, "seed": seed, "parameters": parameters, "loss": round(loss, 4),
            "seconds": round(seconds, 1)}  # fmt: skip


def main() -> None:
    """Train every family from every seed; what is there is kept after each seed."""
    torch.set_num_threads(1)
    start, rows = time.process_time(), []
    for steps, seed, families in [(steps, seed, families) for steps, seeds, families in RUNS for seed in seeds]:
        for family in families:
            rows.append(measure(family, steps, seed))
            print(rows[-1], flush=True)
        settings = {"window": 64, "batch_size": 32, "learning_rate": 3e-3, "dev_windows": N_WINDOWS}
        write_results("families", rows, script="benchmarks/families.py", settings=settings,
                      minutes=(time.process_time() - start) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
