"""How errors grow with the length of a word: an LSTM with one vector, an LSTM with attention, and a Transformer.

Each of three shipped models, all of 0.9 M parameters and trained alike, transcribes every test word greedily; rates are
those of all words in a range of lengths, with 95 % intervals.

    python benchmarks/recurrent.py        about 2 minutes of one core; writes tftutor/results/recurrent.json
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from tftutor.data import load_cmudict, split
from tftutor.metrics import bootstrap_interval, edit_counts, wilson_interval
from tftutor.results import write_results
from tftutor.serialization import load, read_card
from tftutor.training.evaluation import transcribe

MODELS = ("g2p-lstm", "g2p-lstm-attention", "g2p-small")
LENGTHS = ((1, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 99))  # letters, both ends included
RUNAWAY = 10  # an answer with this many more phonemes than letters has not found its end


def bootstrap_difference(edits: np.ndarray, lengths: np.ndarray, *, n_resamples: int = 1000) -> tuple[float, float]:
    """95 % interval of the difference of two error rates on the same words; edits and lengths (2, n)."""
    rng = np.random.default_rng(0)
    n = edits.shape[1]
    found = []
    for _ in range(n_resamples):
        rows = rng.integers(n, size=n)
        rates = edits[:, rows].sum(axis=1) / lengths[:, rows].sum(axis=1)
        found.append(rates[0] - rates[1])
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def measure() -> list[dict[str, object]]:
    """One row for each model and range of lengths, and one for the gap between the two LSTMs."""
    entries = split(load_cmudict()).test
    letters = np.array([len(entry.word) for entry in entries])
    references = [entry.pronunciations for entry in entries]
    counts, right, runaway = {}, {}, {}
    for name in MODELS:
        predictions = transcribe(load(name)[0], [entry.word for entry in entries])
        counts[name] = np.stack(edit_counts(predictions, references))
        runaway[name] = np.array([len(p) > len(e.word) + RUNAWAY for e, p in zip(entries, predictions, strict=True)])
        right[name] = np.array([p in r for p, r in zip(predictions, references, strict=True)])
        sys.stderr.write(f"{name}: PER {counts[name][0].sum() / counts[name][1].sum():.4f}\n")
    rows: list[dict[str, object]] = []
    for low, high in (*LENGTHS, (1, 99)):
        here = (letters >= low) & (letters <= high)
        about = {"letters_from": low, "letters_to": high, "words": int(here.sum())}
        for name in MODELS:
            edits, lengths = counts[name][:, here]
            wrong = int((~right[name][here]).sum())
            rows.append({
                "model": name, **about, "edits": int(edits.sum()), "phonemes": int(lengths.sum()),
                "per": round(float(edits.sum() / lengths.sum()), 5),
                "per_95": [round(x, 5) for x in bootstrap_interval(edits, lengths)],
                "wrong_words": wrong, "wer": round(wrong / int(here.sum()), 5),
                "wer_95": [round(x, 5) for x in wilson_interval(wrong, int(here.sum()))],
                "runaways": int(runaway[name][here].sum()),
            })  # fmt: skip
        pair = np.stack([counts[name][:, here] for name in MODELS[:2]])  # (model, edits or lengths, words)
        rates = pair[:, 0].sum(axis=1) / pair[:, 1].sum(axis=1)
        gap = bootstrap_difference(pair[:, 0], pair[:, 1])
        rows.append({"model": "gap", **about, "per": round(float(rates[0] - rates[1]), 5),
                     "per_95": [round(x, 5) for x in gap]})  # fmt: skip
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    began = time.process_time()
    rows = measure()
    cards = {name: read_card(Path("tftutor/checkpoints") / name) for name in MODELS}
    settings = {
        "words": "test words of the CMU dictionary", "decoding": "greedy",
        "models": {name: {"sha256": card["sha256"], "parameters": card["parameters"], "seed": card["seed"],
                          "epochs": card["recipe"]["epochs"]} for name, card in cards.items()},
    }  # fmt: skip
    write_results("recurrent", rows, script="benchmarks/recurrent.py", settings=settings,
                  minutes=(time.process_time() - began) / 60)  # fmt: skip
