"""A training small enough for a test: a made-up spelling task, a recipe of some hundred updates a second.

Run as a program it trains in a process of its own, which a test can kill: `python tiny_training.py FOLDER [STEPS]`.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from pathlib import Path

import torch

from tftutor.config import BlockConfig, EncoderDecoderConfig
from tftutor.data import LETTERS, PHONEMES, Entry
from tftutor.models import EncoderDecoder
from tftutor.training.distributed import processes
from tftutor.training.loop import Fitted, fit
from tftutor.training.recipes import Recipe, SpellingTask

SOUNDS = {"k": "K", "s": "S", "m": "M", "t": "T", "a": "AE", "o": "OW", "i": "IH", "u": "AH"}


def entries(count: int = 61) -> list[Entry]:
    """Words of 2 to 6 letters that sound as they are spelled."""
    syllables = ["".join(pair) for pair in itertools.product("ksmt", "aoiu")]
    words = [first + rest for rest in ("", "s", "ma", "tok", "kusi") for first in syllables]
    return [Entry(word, (tuple(SOUNDS[letter] for letter in word),)) for word in words[:count]]


def dictionary(path: Path, words: list[Entry]) -> Path:
    """Write words as a dictionary file."""
    lines = [f"{entry.word}\t{' '.join(phonemes)}" for entry in words for phonemes in entry.pronunciations]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def config(**block: object) -> EncoderDecoderConfig:
    settings = {"d_model": 16, "n_heads": 2, "d_ff": 24, "dropout": 0.1} | block
    return EncoderDecoderConfig(
        block=BlockConfig(**settings), src_vocab_size=len(LETTERS), tgt_vocab_size=len(PHONEMES), n_encoder_layers=1,
        n_decoder_layers=1, max_len=72, tie="target",
    )  # fmt: skip


def recipe(**changes: object) -> Recipe:
    base = Recipe(
        name="tiny", config=config(), epochs=5, batch_size=7, learning_rate=5e-3, warmup_steps=3, label_smoothing=0.1,
        ema_decay=0.9, precision="float32", threads=1, eval_every=20, log_every=4, dev_words=5,
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def run(
    folder: Path, *, words: list[Entry] | None = None, task_class: type = SpellingTask, **options: object
) -> Fitted:
    """Train the tiny recipe, in as many processes as torchrun started; `options` go to recipe and `fit`."""
    fields = {field.name for field in dataclasses.fields(Recipe)}
    made = recipe(**{key: value for key, value in options.items() if key in fields})
    rest = {key: value for key, value in options.items() if key not in fields}
    words = entries() if words is None else words
    with processes("cpu") as procs:
        task = task_class(words, words[:5], batch_size=made.batch_size, seed=made.seed)
        torch.manual_seed(made.seed)
        model = EncoderDecoder(made.config)
        return fit(model, task, made, out=folder, procs=procs, progress=False, **rest)


if __name__ == "__main__":
    limit = int(sys.argv[2]) if len(sys.argv) > 2 else None
    fitted = run(Path(sys.argv[1]), epochs=40, resume=True, save_every=3, max_steps=limit)
    sys.exit(9 if fitted.stopped else 0)
