"""Character models trained with and without the causal mask, and what each is worth when the future is not there.

Every model is trained by `train_small` on the same windows. It is then measured in one pass over whole windows, as in
training, and *prefix by prefix*: each character from a pass over the characters before it and nothing else, as in use.

Writes `tftutor/results/masks.json` after every training and continues there when it is started again; about 3 minutes
of one core.

    python benchmarks/masks.py
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
from tftutor.results import load_results, write_results
from tftutor.training.small import dev_windows, next_character_loss, small_config, train_small

SHORT = {"positions": "rope", "steps": 400, "window": 32, "batch_size": 16}
LONG = {"positions": "learned", "steps": 600, "window": 64, "batch_size": 32}
RUNS = [  # mask in training, layers, settings, seeds
    ("causal", 1, SHORT, 5),
    ("causal", 2, SHORT, 5),
    ("causal", 3, SHORT, 5),
    ("none", 2, SHORT, 5),
    ("causal", 2, LONG, 1),
]
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


def write_on(model: GPT, prompt: Tensor, window: int) -> str:
    """The likeliest character, again and again, each from a pass over what there is."""
    text = prompt
    for _ in range(WRITTEN):
        text = torch.cat([text, model(text[:, -window:])[:, -1:].argmax(dim=-1)], dim=1)
    return decode_text(text[0, prompt.shape[1] :])


def measure(mask: str, n_layers: int, seed: int, *, positions: str, steps: int, window: int, batch_size: int
            ) -> dict[str, Any]:  # fmt: skip
    """Train one model and measure it under both masks."""
    torch.manual_seed(seed)
    model = GPT(small_config(positions=positions, n_layers=n_layers, max_len=window))
    with masked(mask):
        losses = train_small(model, steps=steps, window=window, batch_size=batch_size, seed=seed)
    windows, other = dev_windows(N_WINDOWS, window=window), "none" if mask == "causal" else "causal"
    with torch.no_grad():
        with masked(mask):
            one_pass = float(next_character_loss(model, windows))
            mine = by_prefix(model, windows)
            sample = write_on(model, windows[:1, :PROMPT], window)
        with masked(other):
            theirs = by_prefix(model, windows)
    return {
        "mask": mask,
        "n_layers": n_layers,
        "positions": positions,
        "seed": seed,
        "train": round(sum(losses[-50:]) / 50, 3),
        "dev_one_pass": round(one_pass, 3),
        "dev_prefix": round(nats(mine, windows), 3),
        "dev_prefix_other_mask": round(nats(theirs, windows), 3),
        "logit_change": float(f"{(mine - theirs).abs().max():.3g}"),
        "same_guess": round(float((mine.argmax(-1) == theirs.argmax(-1)).float().mean()), 3),
        "sample": sample,
        "curve": [round(sum(losses[i : i + 20]) / 20, 3) for i in range(0, steps, 20)],
    }


def main() -> None:
    """Measure what is missing; print and keep every row."""
    torch.set_num_threads(1)
    rows, minutes = [], 0.0
    with contextlib.suppress(ValueError):  # none yet
        before = load_results("masks")
        rows, minutes = before["rows"], before["minutes"]
    done = {(row["mask"], row["n_layers"], row["positions"], row["seed"]) for row in rows}
    settings = {"short": SHORT, "long": LONG, "dev_windows": N_WINDOWS, "curve": "means of 20 steps"}
    for mask, n_layers, how, n_seeds in RUNS:
        for seed in range(n_seeds):
            if (mask, n_layers, how["positions"], seed) in done:
                continue
            began = time.process_time()
            rows.append(measure(mask, n_layers, seed, **how))
            minutes += (time.process_time() - began) / 60
            print({key: value for key, value in rows[-1].items() if key != "curve"}, flush=True)
            write_results("masks", rows, script="benchmarks/masks.py", settings=settings, minutes=minutes)


if __name__ == "__main__":
    main()
