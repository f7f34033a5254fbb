"""Does it help a decoder to train on its own mistakes? Small models with and without, measured in several ways.

Three ways to train the same model for one pass over the training words: *teacher forcing*; *scheduled sampling*, where
a growing share of the inputs is the model's own guess (`tftutor.training.scheduled_sampling`); and *random symbols* in
the same share, the control that tells practice with mistakes from practice with noise. Of each trained model:
teacher-forced accuracy, greedy error rates, what follows a planted wrong symbol, and what follows its own mistake.

Writes `tftutor/results/exposure.json` after every training and continues there when it is started again; about 9
minutes of one core.

    python benchmarks/exposure.py
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tftutor.config import BlockConfig, EncoderDecoderConfig
from tftutor.data import LETTERS, PHONEMES, Batch, Entry, collate, load_cmudict, pairs_of, spellable, split
from tftutor.metrics import edit_counts
from tftutor.models import EncoderDecoder
from tftutor.results import load_results, write_results
from tftutor.training.distributed import Processes
from tftutor.training.evaluation import evaluate
from tftutor.training.exposure import first_mistakes, forced_logits, replace_input, write_on, wrong_symbols
from tftutor.training.loop import Settings, fit
from tftutor.training.losses import sequence_loss
from tftutor.training.recipes import SpellingTask
from tftutor.training.scheduled_sampling import linear_share, mix_guesses, scheduled_sampling_loss

WAYS, SEEDS = ("teacher forcing", "scheduled sampling", "random symbols"), (0, 1, 2)
WIDTH, LAYERS, HEADS = 64, 2, 4
BATCH_SIZE, RATE, SMOOTHING = 64, 3e-3, 0.1
SHARE, BEGIN, END = 0.5, 300, 1200  # of the inputs replaced, from which step, from when at most
WORDS, LONG = 1000, 8  # dev words that are scored; phonemes of a word in which a symbol is replaced
WHERE, AFTER = 3, 5  # the third phoneme is replaced; predictions looked at after the first that reads it


class Task(SpellingTask):
    """Spelling to pronunciation, with decoder inputs that are not always the right ones."""

    def __init__(self, train: list[Entry], way: str, *, seed: int) -> None:
        super().__init__(train, [], batch_size=BATCH_SIZE, seed=seed)
        self.way, self.step = way, 0
        self.fingerprint += way
        self.draw = torch.Generator().manual_seed(seed)

    def loss(self, model: EncoderDecoder, batch: Batch, *, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """Called once for each update."""
        self.step += 1
        share = 0.0 if self.way == "teacher forcing" else linear_share(self.step, begin=BEGIN, end=END, share=SHARE)
        if self.way == "scheduled sampling":
            return scheduled_sampling_loss(model, batch, share, label_smoothing=label_smoothing, generator=self.draw)
        even = torch.zeros(*batch.tgt_in.shape, len(PHONEMES))
        inputs = mix_guesses(batch.tgt_in, even, share, generator=self.draw)
        logits = model(batch.src, inputs, src_valid=batch.src_valid, tgt_valid=batch.tgt_valid)
        return sequence_loss(logits, batch.tgt_out, batch.tgt_valid, label_smoothing=label_smoothing)

    def validate(self, model: EncoderDecoder) -> dict[str, float]:
        """Nothing: the model is measured at its end."""
        return {}


def train(way: str, seed: int, words: list[Entry]) -> EncoderDecoder:
    """One pass over the words; the averaged model."""
    config = EncoderDecoderConfig(
        block=BlockConfig(d_model=WIDTH, n_heads=HEADS, d_ff=4 * WIDTH, dropout=0.1), src_vocab_size=len(LETTERS),
        tgt_vocab_size=len(PHONEMES), n_encoder_layers=LAYERS, n_decoder_layers=LAYERS, max_len=72, tie="target",
    )  # fmt: skip
    settings = Settings(
        epochs=1, batch_size=BATCH_SIZE, learning_rate=RATE, warmup_steps=150, label_smoothing=SMOOTHING,
        ema_decay=0.99, precision="float32", seed=seed, threads=1, eval_every=10**6, save_minutes=60.0,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = EncoderDecoder(config)
    with tempfile.TemporaryDirectory() as folder:
        task = Task(words, way, seed=seed)
        return fit(model, task, settings, out=Path(folder), procs=Processes(), progress=False).average


def measure(model: EncoderDecoder, words: list[Entry], long: list[Entry]) -> dict[str, Any]:
    """Everything about one model. `words` and `long` have one listed pronunciation each."""
    batch, result = collate(pairs_of(words)), evaluate(model, words)
    logits = forced_logits(model, batch)
    right = (logits.argmax(dim=-1) == batch.tgt_out)[batch.tgt_valid]
    nats, tokens = sequence_loss(logits, batch.tgt_out, batch.tgt_valid)
    row = {
        "forced_accuracy": round(float(right.float().mean()), 4),
        "forced_nats": round(float(nats / tokens), 4),
        "wer": round(result.wer, 4),
        "per": round(result.per, 4),
    }
    many = collate(pairs_of(long))
    clean = forced_logits(model, many)
    planted = {
        "clean": many.tgt_in,
        "random": replace_input(many, WHERE, wrong_symbols(clean, many, WHERE, generator=torch.Generator())),
        "likely": replace_input(many, WHERE, wrong_symbols(clean, many, WHERE)),
    }
    for name, inputs in planted.items():
        hits = forced_logits(model, many, inputs).argmax(dim=-1) == many.tgt_out
        row[f"accuracy_{name}"] = [round(float(x), 4) for x in hits[:, WHERE : WHERE + AFTER].float().mean(dim=0)]
    mine = first_mistakes(logits, batch)
    some = Batch(*(getattr(batch, name)[mine.rows] for name in batch.__dataclass_fields__))
    for name, begun in (("own", mine.begun_wrong), ("corrected", mine.begun_right)):
        edits, _ = edit_counts(write_on(model, some, begun), [[answer] for answer in mine.answers])
        row[f"further_edits_{name}"] = round(float(edits.mean()) - (name == "own"), 4)
    return row | {"words_with_mistakes": len(mine.rows)}


def main() -> None:
    """Train and measure what is missing; print and keep every row."""
    torch.set_num_threads(1)
    parts = split(load_cmudict())
    train_words = spellable(parts.train).entries
    single = [entry for entry in parts.dev if len(entry.pronunciations) == 1]
    words = single[:: len(single) // WORDS][:WORDS]
    long = [entry for entry in single if len(entry.pronunciations[0]) >= LONG][:WORDS]
    rows, minutes = [], 0.0
    with contextlib.suppress(ValueError):  # none yet
        before = load_results("exposure")
        rows, minutes = before["rows"], before["minutes"]
    settings = {
        "width": WIDTH, "layers": LAYERS, "heads": HEADS, "batch_size": BATCH_SIZE, "learning_rate": RATE,
        "label_smoothing": SMOOTHING, "epochs": 1, "share": SHARE, "begin": BEGIN, "end": END, "words": len(words),
        "long_words": len(long), "where": WHERE, "after": AFTER,
    }  # fmt: skip
    done = {(row["way"], row["seed"]) for row in rows}
    for seed in SEEDS:
        for way in WAYS:
            if (way, seed) in done:
                continue
            began = time.process_time()
            model = train(way, seed, train_words)
            rows.append({"way": way, "seed": seed, **measure(model, words, long)})
            minutes += (time.process_time() - began) / 60
            print(round(minutes, 1), rows[-1], flush=True)
            write_results("exposure", rows, script="benchmarks/exposure.py", settings=settings, minutes=minutes)


if __name__ == "__main__":
    main()
