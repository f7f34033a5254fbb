"""How many heads? The small character model with 1 to 32 heads, three seeds each.

    OMP_NUM_THREADS=1 python benchmarks/heads.py

Heads share the projections, so that models of one seed start from the same weights and see the same text in the same
order; only the way the projections are cut differs. The rows are kept in tftutor/results/heads.json.
"""

from __future__ import annotations

import sys
import time

import torch

from tftutor.models import GPT
from tftutor.results import write_results
from tftutor.training.small import dev_windows, next_character_loss, small_config, train_small

SEEDS = (0, 1, 2)
HEADS = (1, 2, 4, 8, 16, 32)
N_WINDOWS = 1024  # of the dev play, 64 characters each
STEPS = 600


def measure(n_heads: int, seed: int) -> dict[str, float | int]:
    """Train one model and score it."""
    began = time.process_time()
    torch.manual_seed(seed)
    cfg = small_config(n_heads=n_heads)
    model = GPT(cfg)
    losses = train_small(model, steps=STEPS, seed=seed)
    with torch.no_grad():
        nats = [float(next_character_loss(model, part)) for part in dev_windows(N_WINDOWS).split(256)]
    return {
        "heads": n_heads,
        "d_head": cfg.block.head_width,
        "seed": seed,
        "dev_nats": round(sum(nats) / len(nats), 4),
        "train_nats": round(sum(losses[-100:]) / 100, 4),  # mean of the last 100 updates
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.process_time() - began, 1),
    }


def main() -> None:
    """Measure every number of heads with every seed and keep the rows."""
    torch.set_num_threads(1)
    rows = []
    for seed in SEEDS:
        for n_heads in HEADS:
            rows.append(measure(n_heads, seed))
            sys.stdout.write(f"{rows[-1]}\n")
            sys.stdout.flush()
    settings = {
        "model": "small_config: width 64, 2 pre-norm layers, learned positions",
        "steps": STEPS,
        "batch": 32,
        "window": 64,
        "dev_characters": 64 * N_WINDOWS,
        "seeds": list(SEEDS),
    }
    rows.sort(key=lambda row: (row["heads"], row["seed"]))
    write_results("heads", rows, script="benchmarks/heads.py", settings=settings,
                  minutes=sum(row["seconds"] for row in rows) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
