"""Fewer key/value heads: what they cost in quality, on a small character model. Takes about five minutes of one core.

    OMP_NUM_THREADS=1 python benchmarks/kv_heads.py

Writes tftutor/results/kv_heads.json, which the chapter on the KV cache plots.
"""

from __future__ import annotations

import time

import torch

from tftutor.models import GPT
from tftutor.results import write_results
from tftutor.training.small import dev_windows, next_character_loss, small_config, train_small

SEEDS = (0, 1, 2)
STEPS = 300
N_HEADS = 8
# name -> fields of the block; the last one spends what MQA saves on a wider feed-forward layer
VARIANTS = {
    "MHA": {"n_kv_heads": 8},
    "GQA, 4 heads": {"n_kv_heads": 4},
    "GQA, 2 heads": {"n_kv_heads": 2},
    "MQA": {"n_kv_heads": 1},
    "MQA, wider FFN": {"n_kv_heads": 1, "d_ff": 312},
}


def measure(seed: int, fields: dict[str, int]) -> dict[str, float]:
    """Train one model; its loss on the dev play, in nats per character."""
    torch.manual_seed(seed)
    model = GPT(small_config(positions="rope", n_heads=N_HEADS, **fields))
    train_small(model, steps=STEPS, seed=seed)
    with torch.no_grad():
        loss = float(next_character_loss(model, dev_windows(1000)))
    block = model.cfg.block
    return {
        "n_kv_heads": block.kv_heads,
        "parameters": sum(p.numel() for p in model.parameters()),
        "cache_bytes_per_token": 2 * model.cfg.n_layers * block.kv_heads * block.head_width * 4,
        "seed": seed,
        "loss": round(loss, 4),
    }


def main() -> None:
    """Train every variant from every seed; what is there is kept after each seed."""
    torch.set_num_threads(1)
    start, rows = time.process_time(), []
    for n, seed in enumerate(SEEDS, start=1):
        for name, fields in VARIANTS.items():
            rows.append({"variant": name} | measure(seed, fields))
            print(rows[-1], flush=True)
        settings = {"steps": STEPS, "n_heads": N_HEADS, "positions": "rope", "window": 64, "dev_windows": 1000,
                    "seeds": list(SEEDS[:n])}  # fmt: skip
        write_results("kv_heads", rows, script="benchmarks/kv_heads.py", settings=settings,
                      minutes=(time.process_time() - start) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
