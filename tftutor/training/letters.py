"""Two ways to pre-train on the same words: go on with the spelling, or fill its gaps; the task, recipes and scores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from tftutor.checks import expect_choice
from tftutor.config import BertConfig, BlockConfig, GPTConfig
from tftutor.data.batching import length_buckets
from tftutor.data.cloze import CLOZE, Words, corrupt_words, word_rows
from tftutor.models import GPT
from tftutor.spelling import fill_accuracy
from tftutor.training.checkpoint import TrainResult, follow
from tftutor.training.loop import Settings
from tftutor.training.losses import sequence_loss
from tftutor.training.recipes import dictionary_words

Objective = Literal["causal", "masked"]
_SCORED = 2000  # words of dev and of test that a card is about


@dataclass(frozen=True, kw_only=True)
class LetterRecipe(Settings):
    """A named training on the spellings of the dictionary; the class of `config` decides the objective."""

    name: str
    summary: str = ""  # for people
    config: GPTConfig | BertConfig

    @property
    def objective(self) -> Objective:
        """What the model is asked: every next letter, or the hidden ones."""
        return "masked" if isinstance(self.config, BertConfig) else "causal"


def letters_config(objective: Objective, **block: Any) -> GPTConfig | BertConfig:
    """A pre-norm stack over letters; both objectives have blocks of the same shapes, and the same positions."""
    expect_choice("objective", objective, get_args(Objective))
    fields: dict[str, Any] = {"d_model": 128, "n_heads": 4, "d_ff": 512, "activation": "gelu"} | block
    shape: dict[str, Any] = {"block": BlockConfig(**fields), "vocab_size": len(CLOZE), "n_layers": 3, "max_len": 72,
                             "positions": "rope"}  # fmt: skip
    if objective == "causal":
        return GPTConfig(**shape)
    return BertConfig(**shape, n_segments=0, norm_embed=False)


def _recipe(name: str, what: str, objective: Objective, minutes: int) -> LetterRecipe:
    return LetterRecipe(
        name=name, summary=f"{what}, 0.6 M parameters, about {minutes} minutes of one core",
        config=letters_config(objective),
        epochs=20, batch_size=128, learning_rate=3e-3, warmup_steps=500, ema_decay=0.999, precision="bfloat16",
        threads=1,
    )  # fmt: skip


LETTER_RECIPES = {
    recipe.name: recipe
    for recipe in (
        _recipe("letters-gpt", "spellings, each letter from those before it", "causal", 15),
        _recipe("letters-bert", "spellings, hidden letters from those around them", "masked", 17),
    )
}


class Question(NamedTuple):
    """What a model reads, what it has to answer, and where the answer counts; each (B, T)."""

    inputs: Tensor
    valid: Tensor
    answers: Tensor
    counts: Tensor


def next_letters(words: Words) -> Question:
    """Each letter, and the end, from what is before it."""
    answers = words.tokens[:, 1:]
    valid = words.valid[:, 1:]  # the place before a real token is real
    return Question(words.tokens[:, :-1], valid, answers, valid)


def hidden_letters(words: Words, *, generator: torch.Generator | None = None, **settings: Any) -> Question:
    """The chosen letters, from all the others; which are chosen is drawn anew in each call.

    `settings` (rate, shares) go to `tftutor.data.cloze.corrupt`.
    """
    inputs, chosen = corrupt_words(words, generator=generator, **settings)
    return Question(inputs, words.valid, words.tokens, chosen)


def question_loss(model: nn.Module, question: Question, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Summed nats of the answers that count, and their number."""
    logits = model(question.inputs, valid=question.valid)
    return sequence_loss(logits, question.answers, question.counts, label_smoothing=label_smoothing)


class LetterTask:
    """Either objective for the training loop (`tftutor.training.loop.Task`)."""

    def __init__(self, train: Sequence[str], dev: Sequence[str], recipe: LetterRecipe) -> None:
        self.words = list(train)
        self.dev = word_rows(dev)
        self.lengths = [(tuple(word), ()) for word in self.words]
        self.recipe = recipe
        self.ask = next_letters if recipe.objective == "causal" else hidden_letters
        self.fingerprint = hashlib.sha256("\n".join(self.words).encode()).hexdigest()

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of words of like length, in an order that depends on seed and epoch."""
        return length_buckets(self.lengths, self.recipe.batch_size, seed=self.recipe.seed, epoch=epoch)

    def batch(self, rows: list[int], device: torch.device) -> Question:
        """The question about these words; the loop seeds the random numbers of each step."""
        question = self.ask(word_rows([self.words[i] for i in rows]))
        return Question(*(part.to(device) for part in question))

    def loss(self, model: nn.Module, batch: Question, *, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """The loss of the answers that count."""
        return question_loss(model, batch, label_smoothing=label_smoothing)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Nats per answer on dev."""
        return {"dev_nats": round(nats_per_answer(model, self.dev), 5)}


def nats_per_answer(model: nn.Module, words: Words, *, seed: int = 0, batch_size: int = 500) -> float:
    """Mean loss of a model's own objective; which letters are hidden depends on `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    nats = count = 0.0
    with torch.no_grad():
        for part in zip(*(half.split(batch_size) for half in words), strict=True):
            rows = Words(*part)
            asked = next_letters(rows) if isinstance(model, GPT) else hidden_letters(rows, generator=generator)
            total, n = question_loss(model, Question(*(tensor.to(device) for tensor in asked)))
            nats, count = nats + float(total), count + float(n)
    return nats / count


def train_letters(
    recipe: LetterRecipe, *, out: Path, resume: bool = False, max_steps: int | None = None
) -> TrainResult:
    """Follow a recipe: train on the spellings, then write `<out>/<name>.safetensors` and its card.

    Args:
        recipe: what to train and how.
        out: folder for the checkpoint, the training state and the log.
        resume: go on from the state in `out`, if there is one.
        max_steps: stop after this many updates in all.
    """
    words, scored, source = dictionary_words("spellings", scored=_SCORED)

    def measure(model: nn.Module) -> dict[str, dict[str, float]]:
        model.cpu()
        return {part: {"nats_per_answer": round(nats_per_answer(model, word_rows(listed)), 5),
                       "letters_found": round(fill_accuracy(model, listed), 5)}
                for part, listed in scored.items()}  # fmt: skip

    return follow(recipe, LetterTask(words["train"], scored["dev"], recipe), out=out, data=source, measure=measure,
                  vocabularies={"letters": CLOZE.to_dict()}, resume=resume, max_steps=max_steps)  # fmt: skip
