"""How many heads does a task of four looks want? One layer with 1 to 32 heads at the same width, three seeds each.

    OMP_NUM_THREADS=1 python benchmarks/heads_gather.py

The rows are kept in tftutor/results/heads_gather.json.
"""

from __future__ import annotations

import sys
import time

import torch

from tftutor.results import write_results
from tftutor.training.gather import train_gather

SEEDS = (0, 1, 2)
HEADS = (1, 2, 4, 8, 16, 32)
D_MODEL = 32


def main() -> None:
    """Train every number of heads with every seed and keep the accuracies."""
    torch.set_num_threads(1)
    began, rows = time.process_time(), []
    for n_heads in HEADS:
        for seed in SEEDS:
            model, accuracy = train_gather(n_heads, seed=seed, d_model=D_MODEL)
            parameters = sum(p.numel() for p in model.parameters())
            rows.append({"heads": n_heads, "d_head": D_MODEL // n_heads, "seed": seed, "accuracy": round(accuracy, 4),
                         "parameters": parameters})  # fmt: skip
            sys.stdout.write(f"{rows[-1]}\n")
            sys.stdout.flush()
    settings = {"task": "the four tokens before each of 12, out of 8 symbols", "d_model": D_MODEL, "steps": 600,
                "seeds": list(SEEDS)}  # fmt: skip
    write_results("heads_gather", rows, script="benchmarks/heads_gather.py", settings=settings,
                  minutes=(time.process_time() - began) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
