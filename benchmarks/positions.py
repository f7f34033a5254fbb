"""Position schemes compared: one small character model, trained with each of them, three seeds.

Everything but the scheme is the same, the order of the training windows included. Writes
`tftutor/results/positions.json` after every training and continues there when it is started again.

    python benchmarks/positions.py
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor, nn

from tftutor.models import GPT
from tftutor.observe import record_states
from tftutor.positions import PositionScheme, sinusoids
from tftutor.results import load_results, write_results
from tftutor.training.small import dev_windows, next_character_loss, small_config, train_small

SCHEMES = ("none", "sinusoidal", "sinusoidal-small", "learned", "t5", "alibi", "rope", "rope_pairs")
SEEDS = (0, 1, 2)
TRAINED, LONGEST, CHARACTERS = 64, 256, 65_536
AMPLITUDE = 0.02 * 2**0.5  # of sines as large as fresh embeddings, whose standard deviation is 0.02


class SmallSinusoids(PositionScheme):
    """Sines and cosines no larger than the embeddings that they are added to."""

    def embed(self, x: Tensor, query_pos: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return x + AMPLITUDE * sinusoids(query_pos, x.shape[-1]).to(x.dtype)


def fresh_model(scheme: str, seed: int) -> GPT:
    """An untrained model; tables of learned positions have rows for the longest text, trained only up to `TRAINED`."""
    torch.manual_seed(seed)
    model = GPT(small_config(positions=scheme.removesuffix("-small"), max_len=LONGEST))
    if scheme == "sinusoidal-small":
        model.positions = SmallSinusoids()
    return model.eval()


def mean_loss(model: nn.Module, length: int) -> float:
    """Nats per character of the dev play in windows of `length`; the same characters whatever the length."""
    windows = dev_windows(CHARACTERS // length, window=length)
    with torch.no_grad():
        return float(torch.stack([next_character_loss(model, part) for part in windows.split(64)]).mean())


def loss_by_position(model: nn.Module) -> list[float]:
    """Nats of the characters at each place of the longest windows."""
    windows = dev_windows(CHARACTERS // LONGEST, window=LONGEST)
    with torch.no_grad():
        logits = torch.cat([model(part[:, :-1]) for part in windows.split(64)])
    nats = nn.functional.cross_entropy(logits.mT, windows[:, 1:], reduction="none")
    return [round(float(value), 3) for value in nats.mean(dim=0)]


def probe_errors(model: GPT) -> list[float]:
    """How far a linear read-out of the position misses, in characters, before the first block and after each block.

    Ridge regression from the states of 128 windows, tested on 128 others; a constant guess misses by 16.
    """
    with torch.no_grad(), record_states(model.blocks) as states:
        model(dev_windows(256, window=TRAINED)[:, :-1])
    place = torch.arange(TRAINED, dtype=torch.float64) - (TRAINED - 1) / 2
    errors = []
    for state in states:
        x = torch.nn.functional.layer_norm(state.double(), state.shape[-1:])  # as the next layer reads it
        x = torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)
        fit, test = x[:128].flatten(0, 1), x[128:]
        gram = fit.T @ fit + 1e-3 * torch.eye(x.shape[-1], dtype=torch.float64)
        weights = torch.linalg.solve(gram, fit.T @ place.repeat(128))
        errors.append(round(float((test @ weights - place).abs().mean()), 3))
    return errors


def measure(scheme: str, seed: int, steps: int) -> dict[str, object]:
    """One row: train and evaluate."""
    model = fresh_model(scheme, seed)
    before = probe_errors(model)
    losses = torch.tensor(train_small(model, steps=steps, seed=seed, window=TRAINED))
    return {
        "scheme": scheme, "seed": seed, "parameters": sum(p.numel() for p in model.positions.parameters()),
        "nats": {str(n): round(mean_loss(model, n), 4) for n in (TRAINED, 2 * TRAINED, LONGEST)},
        "training": [round(float(part.mean()), 3) for part in losses.split(50)],
        "probe": {"fresh": before, "trained": probe_errors(model)},
        "by_position": loss_by_position(model),
    }  # fmt: skip


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--name", default="positions", help="of the file of results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"schemes": list(SCHEMES), "seeds": list(SEEDS), "steps": arguments.steps, "batch_size": 32,
                "trained_length": TRAINED, "longest": LONGEST, "model": "GPT, 2 layers, width 64, 4 heads",
                "text": "Romeo and Juliet (dev), the first 65,536 characters"}  # fmt: skip
    rows, minutes = [], 0.0
    try:
        stored = load_results(arguments.name)
        if stored["settings"] == settings:
            rows, minutes = stored["rows"], stored["minutes"]
    except ValueError:
        pass
    done = {(row["scheme"], row["seed"]) for row in rows}
    runs = [(scheme, seed) for seed in SEEDS for scheme in SCHEMES]
    for scheme, seed in sorted(runs, key=lambda run: run[0] == "rope_pairs"):  # RoPE once more, in another layout: last
        if (scheme, seed) in done:
            continue
        start = time.process_time()
        rows.append(measure(scheme, seed, arguments.steps))
        minutes += (time.process_time() - start) / 60
        write_results(arguments.name, rows, script="benchmarks/positions.py", settings=settings, minutes=minutes)
        print(scheme, seed, rows[-1]["nats"], rows[-1]["probe"], flush=True)


if __name__ == "__main__":
    main()
