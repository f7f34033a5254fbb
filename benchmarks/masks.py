"""Character models trained with and without the causal mask, and what each is worth when the future is not there.

Every model is trained by `train_small` on the same windows. It is then measured in one pass over whole windows, as in
training, and *prefix by prefix*: each character from a pass over the characters before it and nothing else, as in use.

    python benchmarks/masks.py        about 2 minutes of one core; writes tftutor/results/masks.json
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.data.shakespeare import decode_text
from tftutor.faults import planted
from tftutor.models import GPT
from tftutor.results import write_results
from tftutor.training.small import dev_windows, next_character_loss, small_config, train_small

RUNS = [("causal", 1), ("causal", 2), ("causal", 3), ("none", 2)]  # mask in training, layers
SEEDS = (0, 1, 2, 3, 4)
STEPS, WINDOW, BATCH = 400, 32, 16
N_WINDOWS = 128  # of the dev play
PROMPT, WRITTEN = 24, 48  # characters


@contextlib.contextmanager
def masked(mask: str) -> Iterator[None]:
    """Models attend under the causal mask, or under none."""
    with planted("causal-forgotten") if mask == "none" else contextlib.nullcontext():
        yield


def by_prefix(model: GPT, windows: Tensor) -> Tensor:
    """Logits (B, T, V), those of position t from a pass over positions 0 to t alone."""
    return torch.stack([model(windows[:, : t + 1])[:, -1] for t in range(windows.shape[1] - 1)], dim=1)


def nats(logits: Tensor, windows: Tensor) -> float:
    """Mean loss of logits (B, T, V) on windows (B, T + 1)."""
    return float(F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()))


def write_on(model: GPT, prompt: Tensor) -> str:
    """The likeliest character, again and again, each from a pass over what there is."""
    text = prompt
    for _ in range(WRITTEN):
        text = torch.cat([text, model(text[:, -WINDOW:])[:, -1:].argmax(dim=-1)], dim=1)
    return decode_text(text[0, prompt.shape[1] :])


def measure(mask: str, n_layers: int, seed: int) -> dict[str, Any]:
    """Train one model and measure it under both masks."""
    torch.manual_seed(seed)
    model = GPT(small_config(positions="rope", n_layers=n_layers, max_len=WINDOW))
    with masked(mask):
        losses = train_small(model, steps=STEPS, window=WINDOW, batch_size=BATCH, seed=seed)
    windows, other = dev_windows(N_WINDOWS, window=WINDOW), "none" if mask == "causal" else "causal"
    with torch.no_grad():
        with masked(mask):
            one_pass = float(next_character_loss(model, windows))
            mine = by_prefix(model, windows)
            sample = write_on(model, windows[:1, :PROMPT])
        with masked(other):
            theirs = by_prefix(model, windows)
    return {
        "mask": mask,
        "n_layers": n_layers,
        "seed": seed,
        "train": round(sum(losses[-50:]) / 50, 3),
        "dev_one_pass": round(one_pass, 3),
        "dev_prefix": round(nats(mine, windows), 3),
        "dev_prefix_other_mask": round(nats(theirs, windows), 3),
        "logit_change": float(f"{(mine - theirs).abs().max():.3g}"),
        "same_guess": round(float((mine.argmax(-1) == theirs.argmax(-1)).float().mean()), 3),
        "sample": sample,
        "curve": [round(sum(losses[i : i + 20]) / 20, 3) for i in range(0, STEPS, 20)],
    }


def main() -> None:
    """Measure, print, keep."""
    torch.set_num_threads(1)
    began, rows = time.process_time(), []
    for mask, n_layers in RUNS:
        for seed in SEEDS:
            rows.append(measure(mask, n_layers, seed))
            print({k: v for k, v in rows[-1].items() if k != "curve"}, flush=True)
    settings = {"steps": STEPS, "window": WINDOW, "batch_size": BATCH, "dev_windows": N_WINDOWS, "seeds": list(SEEDS),
                "config": 'small_config(positions="rope", n_layers=...)', "curve": "means of 20 steps"}  # fmt: skip
    minutes = (time.process_time() - began) / 60
    write_results("masks", rows, script="benchmarks/masks.py", settings=settings, minutes=minutes)


if __name__ == "__main__":
    main()
