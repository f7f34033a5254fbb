"""Spelling to pronunciation with a single stack: the task as one sequence, and the recipes of the comparison."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from tftutor.checks import expect_choice
from tftutor.config import BlockConfig, EncoderDecoderConfig, GPTConfig
from tftutor.config.architectures import PromptMask
from tftutor.data.one_sequence import SPOKEN, OneSequence, one_sequence
from tftutor.training.checkpoint import TrainResult
from tftutor.training.losses import sequence_loss
from tftutor.training.recipes import RECIPES, Recipe, SpellingTask, train

Scored = Literal["target", "all"]


def one_stack(n_layers: int, d_ff: int, prompt_mask: PromptMask = "causal", **block: Any) -> GPTConfig:
    """A pre-norm decoder-only stack over letters, separator and phonemes."""
    fields: dict[str, Any] = {"d_model": 128, "n_heads": 4, "d_ff": d_ff} | block
    return GPTConfig(
        block=BlockConfig(**fields), vocab_size=len(SPOKEN), n_layers=n_layers, positions="rope",
        max_len=136,  # 64 letters and their pronunciation, with three marks
        prompt_mask=prompt_mask,
        init_std=128**-0.5,  # as the encoder-decoder starts
    )  # fmt: skip


def two_stacks() -> EncoderDecoderConfig:
    """The shape of g2p-small without its dropout: two encoder and two decoder layers."""
    return RECIPES["g2p-small"].config.with_block(dropout=0.0)


SHAPES: dict[str, EncoderDecoderConfig | GPTConfig] = {
    "encdec": two_stacks(),
    "causal": one_stack(4, 640),  # as many parameters as the encoder-decoder
    "prefix": one_stack(4, 640, "prefix"),
    "causal-half": one_stack(2, 640),  # as many operations for a word
    "prefix-half": one_stack(2, 640, "prefix"),
}
"""The five models of the comparison."""


def comparison_recipe(shape: str, *, seed: int = 0, **changes: Any) -> Recipe:
    """The same training for each of `SHAPES`: every training word once, in batches of 64."""
    expect_choice("shape", shape, list(SHAPES))
    settings: dict[str, Any] = {
        "epochs": 1, "batch_size": 64, "learning_rate": 2e-3, "warmup_steps": 100, "ema_decay": 0.99,
        "precision": "bfloat16", "threads": 1, "eval_every": 100_000, "seed": seed,
    } | changes  # fmt: skip
    whose = "an encoder and a decoder" if shape == "encdec" else f"one stack with a {shape.split('-')[0]} mask"
    size, minutes = ("0.5 M", 2) if shape.endswith("half") else ("0.9 M", 2 if shape == "encdec" else 3)
    summary = f"spelling to pronunciation by {whose}, {size} parameters, about {minutes} minutes of one core"
    return Recipe(name=f"g2p-{shape}", summary=summary, config=SHAPES[shape], **settings)


ONE_STACK_RECIPES = {recipe.name: recipe for recipe in map(comparison_recipe, ("causal", "prefix"))}
TWO_STACK_RECIPES = {recipe.name: recipe for recipe in (comparison_recipe("encdec"),)}
"""What the one-stack models are compared with: trained by the same settings, followed by `recipes.train`."""


def train_one_stack(recipe: Recipe, **how: Any) -> TrainResult:
    """Follow a recipe with a GPTConfig; arguments and result are those of `tftutor.training.recipes.train`."""
    return train(recipe, make_task=OneSequenceTask, **how)


def one_sequence_loss(
    model: nn.Module, batch: OneSequence, *, scored: Scored = "target", prompt_mask: PromptMask = "causal",
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Summed nats of the answers that count, and their number.

    Args:
        model: a GPT, or what wraps one.
        batch: from `one_sequence`.
        scored: "target": phonemes and the end; "all": the letters and the separator too, in equal parts.
        prompt_mask: "prefix": BOS and the letters see each other; the letters cannot be asked then, they are seen.
        label_smoothing: see `sequence_loss`.
    """
    expect_choice("scored", scored, get_args(Scored))
    expect_choice("prompt_mask", prompt_mask, get_args(PromptMask))
    if (scored, prompt_mask) == ("all", "prefix"):
        raise ValueError("scored: expected 'target' with a prefix mask, got 'all'; what is seen is no question")
    prefix = batch.prefix if prompt_mask == "prefix" else None
    logits = model(batch.inputs, valid=batch.valid, prefix=prefix)
    counts = batch.target if scored == "target" else batch.valid
    return sequence_loss(logits, batch.answers, counts, label_smoothing=label_smoothing)


class OneSequenceTask(SpellingTask):
    """A spelling and its pronunciation as one sequence, for the training loop."""

    vocabularies: ClassVar = {"spoken": SPOKEN.to_dict()}
    scored: ClassVar[Scored] = "target"

    def batch(self, rows: list[int], device: torch.device) -> OneSequence:
        """The padded sequences of some pairs."""
        return one_sequence([self.pairs[i] for i in rows]).to(device)

    def loss(self, model: nn.Module, batch: OneSequence, *, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """Teacher forcing, with the mask that the model's config asks for."""
        cfg = getattr(model, "module", model).cfg  # several processes wrap the model
        return one_sequence_loss(model, batch, scored=self.scored, prompt_mask=cfg.prompt_mask,
                                 label_smoothing=label_smoothing)  # fmt: skip


class WholeSequenceTask(OneSequenceTask):
    """The same, but letters count in the loss as well."""

    scored: ClassVar[Scored] = "all"
