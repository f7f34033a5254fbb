"""Which activation, which wiring? The small character model with other feed-forward layers, three seeds each.

    OMP_NUM_THREADS=1 python benchmarks/feed_forward.py

The gated layer is narrower, so that all have about the same number of parameters (8/3 of the width instead of 4
times). "linear" has no activation, "none" no feed-forward layer at all: what the others should be compared with.
"parallel" is "gelu" with attention and feed-forward layer side by side. The matrices that end in an activation start
from N(0, 0.02^2), as those of GPT-2 do, or from N(0, 1/D), so that what enters an activation has variance 1 from the
start. The rows are kept in tftutor/results/feed_forward.json.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import Tensor, nn

from tftutor.models import GPT
from tftutor.results import write_results
from tftutor.training.small import dev_windows, next_character_loss, small_config, train_small

SEEDS = (0, 1, 2)
GATED_WIDTH = 171  # 8/3 of 64, rounded
VARIANTS: dict[str, dict[str, object]] = {
    "relu": {"activation": "relu"},
    "gelu": {"activation": "gelu"},
    "swiglu": {"activation": "swiglu", "d_ff": GATED_WIDTH},
    "parallel": {"activation": "gelu", "parallel": True},
    "linear": {"activation": "gelu"},
    "none": {"activation": "gelu"},
}
RUNS = [
    *(("0.02", name) for name in ("relu", "gelu", "swiglu")),
    *(("1/sqrt(D)", name) for name in VARIANTS),
]
N_WINDOWS = 1024  # of the dev play, 64 characters each
STEPS = 600


class Nothing(nn.Module):
    """A feed-forward layer that adds nothing to the stream."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the shape of `x`."""
        return torch.zeros_like(x)


def build(variant: str, start: str, seed: int) -> GPT:
    """The model of one variant; models of one seed differ in nothing but the feed-forward layers."""
    torch.manual_seed(seed)
    model = GPT(small_config(**VARIANTS[variant]))
    for block in model.blocks:
        if start == "1/sqrt(D)":
            with torch.no_grad():
                for name in {"gate_proj", "up_proj"} & dict(block.ffn.named_children()).keys():
                    weight = block.ffn.get_submodule(name).weight
                    weight.mul_(weight.shape[1] ** -0.5 / 0.02)
        if variant == "linear":
            block.ffn.activation = nn.Identity()
        elif variant == "none":
            block.ffn = Nothing()
    return model


def measure(start: str, variant: str, seed: int) -> dict[str, float | int | str]:
    """Train one model and score it."""
    began = time.process_time()
    model = build(variant, start, seed)
    losses = train_small(model, steps=STEPS, seed=seed)
    with torch.no_grad():
        nats = [float(next_character_loss(model, part)) for part in dev_windows(N_WINDOWS).split(256)]
    return {
        "start": start,
        "variant": variant,
        "seed": seed,
        "dev_nats": round(sum(nats) / len(nats), 4),
        "train_nats": round(sum(losses[-100:]) / 100, 4),  # mean of the last 100 updates
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.process_time() - began, 1),
    }


def main() -> None:
    """Measure every variant with every seed and keep the rows."""
    torch.set_num_threads(1)
    rows = []
    for seed in SEEDS:
        for start, variant in RUNS:
            rows.append(measure(start, variant, seed))
            sys.stdout.write(f"{rows[-1]}\n")
            sys.stdout.flush()
    settings = {
        "model": "small_config: width 64, 4 heads, 2 pre-norm layers, learned positions",
        "steps": STEPS,
        "batch": 32,
        "window": 64,
        "dev_characters": 64 * N_WINDOWS,
        "seeds": list(SEEDS),
    }
    rows.sort(key=lambda row: (RUNS.index((row["start"], row["variant"])), row["seed"]))
    write_results("feed_forward", rows, script="benchmarks/feed_forward.py", settings=settings,
                  minutes=sum(row["seconds"] for row in rows) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
