"""Train the small character model with other scores, other factors and other first weights; keep what came out.

    python benchmarks/score_functions.py    about 8 minutes on one core; writes tftutor/results/score_functions.json

Each row is one training: which score, how many heads of which width, how the query and key projections start
("unit": so that queries and keys have about variance 1; "small": the standard deviation 0.02 of GPT-2), the loss on the
dev play, and how even attention was before and after (entropy over that of equal weights, mean of all queries).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from tftutor import scores
from tftutor.attention import MultiHeadAttention
from tftutor.models import GPT
from tftutor.observe import record_attention
from tftutor.results import write_results
from tftutor.training.small import dev_windows, next_character_loss, small_config, train_small

STEPS, BATCH, WINDOW, SEEDS = 300, 16, 64, (0, 1, 2)

Change = Callable[[MultiHeadAttention], None]


def factor(value: Callable[[MultiHeadAttention], float]) -> Change:
    """Dot products with another factor than 1 / sqrt(Dh)."""
    return lambda attn: setattr(attn, "scale", value(attn))


def score(make: Callable[[MultiHeadAttention], Callable]) -> Change:
    """Another score than the dot product."""
    return lambda attn: setattr(attn, "score", make(attn))


def fold(attn: MultiHeadAttention) -> None:
    """No factor, and queries that start smaller by it: T5."""
    attn.scale = 1.0
    with torch.no_grad():
        attn.q_proj.weight.div_(math.sqrt(attn.d_head))


CHANGES: dict[str, Change] = {
    "scaled dot": lambda attn: None,
    "dot": factor(lambda attn: 1.0),
    "dot, folded": fold,
    "dot / sqrt(d_model)": factor(lambda attn: attn.d_model**-0.5),
    "dot / d_head": factor(lambda attn: 1 / attn.d_head),
    "bilinear": score(lambda attn: scores.Bilinear(attn.n_heads, attn.d_head)),
    "cosine": score(lambda attn: scores.Cosine(attn.n_heads, start=math.log2(WINDOW**2 - WINDOW))),
    "negative distance": score(lambda attn: scores.negative_distance),
    "additive": score(lambda attn: scores.Additive(attn.n_heads, attn.d_head)),
}

RUNS = [  # score, heads, width of a head, first weights
    ("scaled dot", 1, 64, "unit"), ("dot", 1, 64, "unit"), ("scaled dot", 1, 64, "small"), ("dot", 1, 64, "small"),
    ("dot, folded", 1, 64, "unit"), ("cosine", 1, 64, "unit"), ("negative distance", 1, 64, "unit"),
    ("bilinear", 1, 64, "unit"), ("dot", 4, 16, "unit"), ("scaled dot", 4, 16, "unit"),
    ("dot / sqrt(d_model)", 4, 16, "unit"), ("additive", 1, 64, "unit"),
    ("scaled dot", 1, 256, "unit"), ("dot", 1, 256, "unit"), ("dot / d_head", 1, 256, "unit"),
]  # fmt: skip


def build(name: str, n_heads: int, d_head: int, start: str, seed: int) -> GPT:
    """The model of one run, before training; models of one seed start alike as far as their shapes allow."""
    torch.manual_seed(seed)
    model = GPT(small_config(n_heads=n_heads, d_head=d_head))
    for block in model.blocks:
        attn = block.attn
        if start == "unit":
            for proj in (attn.q_proj, attn.k_proj):
                torch.nn.init.normal_(proj.weight, std=attn.d_model**-0.5)
        CHANGES[name](attn)
    return model


def evenness(model: GPT, windows: torch.Tensor) -> float:
    """Entropy of the attention weights over that of equal weights, mean over layers, heads and queries that choose."""
    with torch.no_grad(), record_attention(model) as maps:
        model(windows[:, :-1])
    weights = torch.stack(list(maps.values()))[..., 1:, :]  # the first query sees one key only
    most = torch.arange(2, weights.shape[-1] + 1).log()
    return float((-torch.xlogy(weights, weights).sum(dim=-1) / most).mean())


def run(name: str, n_heads: int, d_head: int, start: str, seed: int) -> dict[str, object]:
    """Train one model; the row of the result."""
    windows = dev_windows(256, window=WINDOW)
    model = build(name, n_heads, d_head, start, seed)
    before = evenness(model, windows[:32])
    train_small(model, steps=STEPS, window=WINDOW, batch_size=BATCH, seed=seed)
    with torch.no_grad():
        nats = float(next_character_loss(model, windows))
    return {"score": name, "n_heads": n_heads, "d_head": d_head, "start": start, "seed": seed, "nats": round(nats, 4),
            "even before": round(before, 3), "even after": round(evenness(model, windows[:32]), 3)}  # fmt: skip


def main() -> None:
    """Run them all; the result is written after every three trainings."""
    torch.set_num_threads(1)
    settings = {"steps": STEPS, "batch_size": BATCH, "window": WINDOW, "seeds": list(SEEDS), "d_model": 64,
                "n_layers": 2}  # fmt: skip
    began, rows = time.process_time(), []
    for one in RUNS:
        for seed in SEEDS:
            rows.append(run(*one, seed))
            print(rows[-1], flush=True)
        write_results("score_functions", rows, script="benchmarks/score_functions.py", settings=settings,
                      minutes=(time.process_time() - began) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
