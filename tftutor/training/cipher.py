"""Learning to learn a secret code: the task of `cipher_batch`, its recipe, and scores by the number of examples."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tftutor.config import BlockConfig, EncoderDecoderConfig, GPTConfig, Positions
from tftutor.data.synthetic import FIRST_ID, cipher_batch
from tftutor.models import EncoderDecoder
from tftutor.training.checkpoint import TrainResult, follow
from tftutor.training.loop import Settings
from tftutor.training.losses import sequence_loss


@dataclass(frozen=True, kw_only=True)
class CipherRecipe(Settings):
    """A named training on episodes with a new code each; `batch_size` counts episodes."""

    name: str
    summary: str = ""  # for people
    config: GPTConfig | EncoderDecoderConfig
    n_symbols: int = 8
    n_pairs: int = 16
    episodes: int = 64_000  # in an epoch


def cipher_config(n_layers: int = 2, *, n_symbols: int = 8, n_pairs: int = 16, positions: Positions = "rope",
                  **block: Any) -> GPTConfig:  # fmt: skip
    """A small pre-norm stack over plain and cipher symbols; its feed-forward layers are too narrow to do much."""
    fields: dict[str, Any] = {"d_model": 64, "n_heads": 2, "d_ff": 16, "activation": "gelu"} | block
    block_config = BlockConfig(**fields)
    return GPTConfig(block=block_config, vocab_size=FIRST_ID + 2 * n_symbols, n_layers=n_layers,
                     max_len=2 * n_pairs, positions=positions, init_std=block_config.d_model**-0.5)  # fmt: skip


def cipher_pair_config(n_layers: int = 1, **fields: Any) -> EncoderDecoderConfig:
    """An encoder and a decoder over the same symbols as `cipher_config`, `n_layers` each."""
    one = cipher_config(n_layers, **fields)
    return EncoderDecoderConfig(
        block=one.block, src_vocab_size=one.vocab_size, tgt_vocab_size=one.vocab_size, n_encoder_layers=n_layers,
        n_decoder_layers=n_layers, max_len=one.max_len, positions=one.positions, tie="all",
    )  # fmt: skip


WIDE: dict[str, Any] = {"n_heads": 4, "d_ff": 128}
"""What a block needs to solve the task without looking twice."""


def _recipe(name: str, epochs: int, what: str, config: GPTConfig) -> CipherRecipe:
    return CipherRecipe(
        name=name, config=config, summary=f"secret codes by examples in the prompt, {what} of one core",
        epochs=epochs, batch_size=64, learning_rate=3e-3, warmup_steps=100, ema_decay=0.99, precision="float32",
        threads=1,
    )  # fmt: skip


CIPHER_RECIPES = {
    recipe.name: recipe
    for recipe in (
        _recipe("cipher", 2, "2 heads, 40,000 parameters, about a minute", cipher_config()),
        _recipe("cipher-wide", 4, "4 heads, 70,000 parameters, about 2 minutes", cipher_config(**WIDE)),
    )
}


class Episodes(NamedTuple):
    """Rows plain cipher plain cipher ..., and which cipher symbols can be known."""

    tokens: Tensor  # (B, 2 * n_pairs) int64
    known: Tensor  # (B, n_pairs) bool


class CipherTask:
    """Every cipher symbol from what stands before it, for the training loop (`tftutor.training.loop.Task`)."""

    def __init__(self, recipe: CipherRecipe) -> None:
        self.recipe = recipe
        self.fingerprint = hashlib.sha256(f"cipher {recipe.n_symbols} {recipe.n_pairs}".encode()).hexdigest()

    def plan(self, epoch: int) -> list[list[int]]:
        """Numbers of episodes, none of them twice."""
        size, n_batches = self.recipe.batch_size, self.recipe.episodes // self.recipe.batch_size
        first = epoch * n_batches * size
        return [list(range(first + i * size, first + (i + 1) * size)) for i in range(n_batches)]

    def batch(self, rows: list[int], device: torch.device) -> Tensor:
        """The episodes of these numbers, (B, 2 * n_pairs); drawn together, by the first number."""
        generator = torch.Generator().manual_seed(1_000_003 * (self.recipe.seed + 1) + rows[0])
        return cipher_batch(len(rows), self.recipe.n_pairs, self.recipe.n_symbols, generator=generator)[0].to(device)

    def loss(self, model: nn.Module, batch: Tensor, *, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """The answers to all plain symbols; plain symbols themselves are drawn at random and not asked."""
        return cipher_loss(model, batch, label_smoothing=label_smoothing)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Accuracy on fresh episodes."""
        return accuracy_of(model, dev_episodes(self.recipe, count=300))


class CipherPairTask(CipherTask):
    """The same for an encoder-decoder: some first pairs are its source, the others are continued by its decoder."""

    def loss(self, model: nn.Module, batch: Tensor, *, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """The answers after a split at random, which the loop seeds for each step."""
        given = int(torch.randint(1, self.recipe.n_pairs, ()))
        logits = model(batch[:, : 2 * given], batch[:, 2 * given : -1])[:, ::2]
        answers = batch[:, 2 * given + 1 :: 2]
        counts = torch.ones_like(answers, dtype=torch.bool)
        return sequence_loss(logits, answers, counts, label_smoothing=label_smoothing)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Accuracy on fresh episodes with half of the pairs as source."""
        tokens, known = dev_episodes(self.recipe, count=300)
        given = self.recipe.n_pairs // 2
        right = asked_after(model, tokens, given)
        return {"shown": round(float(right[known[:, given]].double().mean()), 5)}


def asked_after(model: nn.Module, tokens: Tensor, given: int) -> Tensor:
    """Which rows of `tokens` (B, 2 * n_pairs) get the answer right whose question comes after `given` pairs: (B,) bool.

    A GPT reads pairs and question in one go, an encoder-decoder the pairs by its encoder.
    """
    question, answer = tokens[:, 2 * given : 2 * given + 1], tokens[:, 2 * given + 1]
    pairs = tokens[:, : 2 * given]
    with torch.no_grad():
        if isinstance(model, EncoderDecoder):
            logits = model(pairs, question)
        else:
            logits = model(torch.cat([pairs, question], dim=1))
    return logits[:, -1].argmax(dim=-1) == answer


def cipher_loss(model: nn.Module, tokens: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Summed nats of the cipher symbols of `tokens` (B, 2 * n_pairs), and their number."""
    logits, answers = model(tokens[:, :-1])[:, ::2], tokens[:, 1::2]
    return sequence_loss(logits, answers, torch.ones_like(answers, dtype=torch.bool), label_smoothing=label_smoothing)


def dev_episodes(recipe: CipherRecipe, *, count: int = 1000, seed: int = 1) -> Episodes:
    """Episodes that no training has seen: its seeds begin at a million, take smaller ones here."""
    generator = torch.Generator().manual_seed(seed)
    return Episodes(*cipher_batch(count, recipe.n_pairs, recipe.n_symbols, generator=generator))


def cipher_right(model: nn.Module, tokens: Tensor) -> Tensor:
    """Which cipher symbols of `tokens` (B, 2 * n_pairs) the model finds as the likeliest of all: (B, n_pairs) bool."""
    with torch.no_grad():
        logits = model(tokens[:, :-1].to(next(model.parameters()).device))[:, ::2].cpu()
    return logits.argmax(dim=-1) == tokens[:, 1::2]


def accuracy_of(model: nn.Module, episodes: Episodes) -> dict[str, float]:
    """Share found of the symbols shown before ("shown") and of those that can only be guessed ("new")."""
    right = cipher_right(model, episodes.tokens)
    parts = {"shown": episodes.known, "new": ~episodes.known}
    return {name: round(float(right[part].double().mean()), 5) for name, part in parts.items()}


def train_cipher(recipe: CipherRecipe, *, out: Path, resume: bool = False, max_steps: int | None = None) -> TrainResult:
    """Follow a recipe: train on episodes, then write `<out>/<name>.safetensors` and its card.

    Args:
        recipe: what to train and how.
        out: folder for the checkpoint, the training state and the log.
        resume: go on from the state in `out`, if there is one.
        max_steps: stop after this many updates in all.
    """
    source = {"name": "episodes of secret codes", "n_symbols": recipe.n_symbols, "n_pairs": recipe.n_pairs,
              "episodes": recipe.epochs * recipe.episodes}  # fmt: skip
    symbols = {"plain": [FIRST_ID, recipe.n_symbols], "cipher": [FIRST_ID + recipe.n_symbols, recipe.n_symbols]}
    fresh = {part: dev_episodes(recipe, seed=seed) for part, seed in (("dev", 1), ("test", 2))}
    return follow(
        recipe, CipherTask(recipe), out=out, data=source, vocabularies={"first id, symbols": symbols},
        measure=lambda model: {part: accuracy_of(model, episodes) for part, episodes in fresh.items()},
        resume=resume, max_steps=max_steps,
    )  # fmt: skip
