"""Associative recall learned by one layer of attention, linear attention, retention or Mamba. Three minutes of a core.

    OMP_NUM_THREADS=1 python benchmarks/recall.py

Writes tftutor/results/recall.json, which the chapter on what lies beyond attention plots.
"""

from __future__ import annotations

import time

import torch

from tftutor.results import write_results
from tftutor.training.recall import MIXERS, PAIRS, Recaller, recall_share, train_recall

SEEDS = (0, 1, 2)
STEPS = 2000


def measure(mixer: str, seed: int) -> list[dict[str, float | str]]:
    """Train one layer; what it recalls of texts of each size."""
    torch.manual_seed(seed)
    model = Recaller(mixer)
    train_recall(model, steps=STEPS, seed=seed)
    return [{"mixer": mixer, "seed": seed, "pairs": n, "recalled": round(recall_share(model, n), 3)} for n in PAIRS]


def main() -> None:
    """Train every layer from every seed; what is there is kept after each seed."""
    torch.set_num_threads(1)
    start, rows = time.process_time(), []
    for n, seed in enumerate(SEEDS, start=1):
        for mixer in MIXERS:
            rows += measure(mixer, seed)
            print(mixer, seed, [row["recalled"] for row in rows[-len(PAIRS) :]], flush=True)
        settings = {"steps": STEPS, "width": 16, "keys": 64, "values": 16, "learning_rate": 1e-2, "layers": 1,
                    "seeds": list(SEEDS[:n])}  # fmt: skip
        write_results("recall", rows, script="benchmarks/recall.py", settings=settings,
                      minutes=(time.process_time() - start) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
