"""One encoder-decoder for six tasks, told apart by a prefix: the task of the loop, recipes and scores."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.config import EncoderDecoderConfig, t5_small
from tftutor.data.batching import Batch, Pair, collate, length_buckets
from tftutor.data.stress import Lexicon, load_lexicon
from tftutor.data.text_to_text import TEXT, to_symbols
from tftutor.data.word_tasks import TASKS, Question, Questions, filled, is_right, sampled
from tftutor.metrics import wilson_interval
from tftutor.prompting import answers
from tftutor.training.checkpoint import TrainResult, follow
from tftutor.training.loop import Settings
from tftutor.training.losses import sequence_loss
from tftutor.training.recipes import dictionary_words

SCORED = 2000  # words of dev and of test that a card is about
_WATCHED = 500  # questions of each task whose loss is looked at during training


@dataclass(frozen=True, kw_only=True)
class TextToTextRecipe(Settings):
    """A named training on one or more tasks; an epoch is `batches` batches of each of them, in random order."""

    name: str
    summary: str = ""  # for people
    config: EncoderDecoderConfig
    tasks: tuple[str, ...] = TASKS
    batches: int  # of each task in one epoch; a batch holds one task


def words_t5_config(**block: Any) -> EncoderDecoderConfig:
    """T5 small with fewer and narrower layers: 2 + 2, D = 128, 0.9 M parameters; no dropout for so short a training.

    T5 leaves 1 / sqrt(Dh) out of its scores and draws W_Q smaller by it; it draws embeddings from N(0, 1) and divides
    states by sqrt(D) before the logits. We write both the other way round: weights of the usual size and the factors in
    the formula. At the start it is the same function. But Adam's steps are as long for small weights as for large ones
    (T5's Adafactor scales them with the weights), so W_Q of T5's size grows too fast and attention saturates.
    """
    cfg = t5_small(len(TEXT), n_encoder_layers=2, n_decoder_layers=2, max_len=128, embed_scale=True, output_scale=1.0)
    shape: dict[str, Any] = {"d_model": 128, "n_heads": 4, "d_head": 32, "d_ff": 512, "scale": None, "dropout": 0.0,
                             "attn_dropout": 0.0}  # fmt: skip
    return cfg.with_block(**shape | block)


def _recipe(name: str, what: str, tasks: tuple[str, ...], batches: int) -> TextToTextRecipe:
    return TextToTextRecipe(
        name=name, summary=what, config=words_t5_config(), tasks=tasks, batches=batches, epochs=1, batch_size=64,
        learning_rate=1.5e-3, warmup_steps=100, ema_decay=0.997, precision="bfloat16", threads=1,
    )  # fmt: skip


EACH = 2000  # batches of each task
WORDS_T5_RECIPES = {
    recipe.name: recipe
    for recipe in (
        _recipe("words-t5", "six tasks told apart by a prefix, 0.9 M parameters, about 11 minutes of one core", TASKS,
                EACH),
        *(_recipe(f"words-{task}", f"the same model on one task: {task}, {EACH} batches", (task,), EACH)
          for task in TASKS),
        _recipe("words-pronounce-long", f"the same model on one task: pronounce, {len(TASKS) * EACH} batches",
                ("pronounce",), len(TASKS) * EACH),
    )
}  # fmt: skip


def encode(questions: Sequence[Question]) -> list[Pair]:
    """Questions and answers as ids."""
    return [Pair(*(tuple(TEXT.encode(to_symbols(text))) for text in (asked.text, asked.target))) for asked in questions]


class TextToTextTask:
    """Questions of several tasks for the training loop (`tftutor.training.loop.Task`).

    Examples of all tasks are numbered through; those of one task stand together.
    """

    def __init__(self, train: Lexicon, dev: Lexicon, recipe: TextToTextRecipe) -> None:
        self.recipe = recipe
        self.questions = [Questions(task, train) for task in recipe.tasks]
        self.first = [sum(len(before) for before in self.questions[:i]) for i in range(len(self.questions))]
        self.lengths = [[(about.word, about.pronunciations[which]) for about, which in each.asked]
                        for each in self.questions]  # fmt: skip
        words = list(dev.facts)
        self.watched = {task: collate(encode(sampled(Questions(task, dev), words)[:_WATCHED])) for task in recipe.tasks}
        told = repr((recipe.tasks, recipe.batches, list(train.facts)))
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()

    def plan(self, epoch: int) -> list[list[int]]:
        """`batches` batches of each task, words of like length together, tasks in random order."""
        seed, size, wanted = self.recipe.seed, self.recipe.batch_size, self.recipe.batches
        batches: list[list[int]] = []
        for first, lengths in zip(self.first, self.lengths, strict=True):
            per_pass = -(-len(lengths) // size)
            passes = range(epoch * wanted // per_pass, -(-(epoch + 1) * wanted // per_pass))
            line = chain.from_iterable(length_buckets(lengths, size, seed=seed, epoch=each) for each in passes)
            start = epoch * wanted - passes.start * per_pass
            own = list(line)[start : start + wanted]
            batches += [[first + i for i in rows] for rows in own]
        random.Random(f"{seed} {epoch}").shuffle(batches)
        return batches

    def batch(self, rows: list[int], device: torch.device) -> Batch:
        """The questions of these numbers; gaps and rhymes are drawn anew (the loop seeds each step)."""
        rng = random.Random(int(torch.randint(2**62, ())))
        which = max(i for i, first in enumerate(self.first) if first <= rows[0])
        asked = [self.questions[which].ask(row - self.first[which], rng) for row in rows]
        return collate(encode(asked)).to(device)

    def loss(self, model: nn.Module, batch: Batch, *, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """Teacher forcing: every symbol of the answer from those before it."""
        logits = model(batch.src, batch.tgt_in, src_valid=batch.src_valid, tgt_valid=batch.tgt_valid)
        return sequence_loss(logits, batch.tgt_out, batch.tgt_valid, label_smoothing=label_smoothing)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Nats per symbol of the answer on dev, for each task."""
        device = next(model.parameters()).device
        with torch.no_grad():
            found = {task: self.loss(model, batch.to(device), label_smoothing=0.0)
                     for task, batch in self.watched.items()}  # fmt: skip
        return {f"dev_{task}": round(float(total) / float(count), 5) for task, (total, count) in found.items()}


def score_task(model: nn.Module, task: str, words: Sequence[str], lexicon: Lexicon) -> dict[str, Any]:
    """Greedy answers to one question about each word, judged by all that is listed.

    Returns:
        words asked about, the share answered right with its 95 % interval; for "fill" also the share of answers that
        make a listed word.
    """
    questions = sampled(Questions(task, lexicon.only(words), answers=lexicon), words)
    found = answers(model, [asked.text for asked in questions])
    right = sum(is_right(asked, answer, lexicon) for asked, answer in zip(questions, found, strict=True))
    row: dict[str, Any] = {"words": len(questions), "right": round(right / len(questions), 5),
                           "right_95": [round(x, 5) for x in wilson_interval(right, len(questions))]}  # fmt: skip
    if task == "fill":
        made = [filled(asked.text.split(": ", 1)[1], answer) for asked, answer in zip(questions, found, strict=True)]
        row["listed_word"] = round(sum(word in lexicon.facts for word in made) / len(questions), 5)
    return row


def train_text_to_text(
    recipe: TextToTextRecipe, *, out: Path, resume: bool = False, max_steps: int | None = None
) -> TrainResult:
    """Follow a recipe: train on questions about the training words, then write `<out>/<name>.safetensors` and its card.

    Args:
        recipe: what to train and how.
        out: folder for the checkpoint, the training state and the log.
        resume: go on from the state in `out`, if there is one.
        max_steps: stop after this many updates in all.
    """
    lexicon = load_lexicon()
    words, scored, source = dictionary_words("six tasks about its words", scored=SCORED)
    task = TextToTextTask(lexicon.only(words["train"]), lexicon.only(scored["dev"]), recipe)

    def measure(model: nn.Module) -> dict[str, dict[str, Any]]:
        return {part: {each: score_task(model, each, listed, lexicon) for each in recipe.tasks}
                for part, listed in scored.items()}  # fmt: skip

    return follow(recipe, task, out=out, data=source, vocabularies={"text": TEXT.to_dict()}, measure=measure,
                  resume=resume, max_steps=max_steps)  # fmt: skip
