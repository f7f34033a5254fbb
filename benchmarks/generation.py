"""What a wider beam finds and what it is worth, how sure the model may be, and when a text begins to repeat itself.

The shipped pronunciation model `g2p` transcribes the test words with beams of several widths; an exact search tells,
for some of them, how often each beam has missed the most probable pronunciation. Probabilities of the ten best
candidates are compared with how often they are right. The shipped model `shakespeare` writes at several temperatures.

    python benchmarks/generation.py        about 10 minutes of one core; writes tftutor/results/generation.json
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tftutor.data import BOS, EOS, PHONEMES, Entry, load_cmudict, load_shakespeare, split
from tftutor.data.shakespeare import decode_text, encode_text
from tftutor.decoding import beam_search, exact_search, greedy, inference, sample
from tftutor.metrics import reliability, share_repeated, sign_test, wilson_interval
from tftutor.results import write_results
from tftutor.serialization import load, read_card
from tftutor.tasks import pronounce, spell

BEAMS = (1, 2, 5, 10)
EXACT_EVERY = 8  # every 8th test word for the exact search
NORMALISED_EVERY = 4
DEV_EVERY = 6  # every 6th development word decides how probabilities are sharpened
EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of bins of probability
ROWS, LENGTH = 48, 240  # texts of each setting, characters each
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5)
WINDOW = 12  # characters: a stretch as long as two words
FILTERS = ({"top_k": 5}, {"top_p": 0.9}, {"min_p": 0.1})

Found = list[list[tuple[tuple[str, ...], float]]]  # candidates of each word: phonemes, probability


def decode(model: nn.Module, entries: Sequence[Entry], width: int) -> Found:
    """All candidates of a beam for each word."""
    words = [entry.word for entry in entries]
    found = pronounce(model, words, n_beams=width, n_best=width, batch_size=max(1, 512 // width))
    return [[(c.phonemes, c.probability) for c in row] for row in found]


def right(entries: Sequence[Entry], found: Found) -> np.ndarray:
    """Whether each candidate is a listed pronunciation, (words, candidates)."""
    return np.array([[c in e.pronunciations for c, _ in row] for e, row in zip(entries, found, strict=True)])


def compared(entries: Sequence[Entry], found: dict[int, Found]) -> list[dict[str, Any]]:
    """Word errors of each width, and how they differ from greedy's, word by word."""
    good = {width: right(entries, rows)[:, 0] for width, rows in found.items()}
    best = {width: np.log([row[0][1] for row in rows]) for width, rows in found.items()}
    rows = []
    for width in found:
        wrong, n = int((~good[width]).sum()), len(entries)
        mended, broken = (int(x.sum()) for x in (good[width] & ~good[1], good[1] & ~good[width]))
        change = best[width] - best[1]
        rows.append({
            "kind": "beam", "n_beams": width, "words": n, "wrong": wrong, "wer": round(wrong / n, 5),
            "wer_95": [round(x, 5) for x in wilson_interval(wrong, n)], "mended": mended, "broken": broken,
            "p": float(f"{sign_test(mended, broken):.3g}"), "more_probable": int((change > 1e-4).sum()),
            "less_probable": int((change < -1e-4).sum()),
            "other_text": sum(a[0][0] != b[0][0] for a, b in zip(found[width], found[1], strict=True)),
            "anywhere": int(right(entries, found[width]).any(axis=1).sum()),
        })  # fmt: skip
    return rows


def probabilities(found: Found) -> np.ndarray:
    """What the model gives each candidate, (words, candidates)."""
    return np.array([[p for _, p in row] for row in found])


def sharpened(given: np.ndarray, power: float) -> np.ndarray:
    """Probability of the first candidate when all are raised to `power` and made to add up to 1, (words,)."""
    raised = given**power
    return raised[:, 0] / raised.sum(axis=1)


def fitted_power(given: np.ndarray, good: np.ndarray) -> float:
    """The power that makes "the first candidate is right" (words,) most likely, of 0.5, 0.6, ..., 3.0."""

    def log_loss(power: float) -> float:
        p = sharpened(given, power).clip(1e-6, 1 - 1e-6)
        return -float(np.where(good, np.log(p), np.log(1 - p)).mean())

    return min((round(0.1 * k, 1) for k in range(5, 31)), key=log_loss)


def calibrated(entries: Sequence[Entry], found: Found, tuning: tuple[np.ndarray, np.ndarray]) -> list[dict[str, Any]]:
    """Candidates of the widest beam in bins of the probability that the model gives them: how many are right?"""
    good, given = right(entries, found), probabilities(found)
    rows = []
    for which, ranks in (("first", slice(0, 1)), ("second", slice(1, 2)), ("others", slice(2, None))):
        for part in reliability(given[:, ranks].ravel(), good[:, ranks].ravel(), EDGES):
            rows.append({"kind": "calibration", "rank": which, "n": part.n, "probability": round(part.probability, 5),
                         "right": part.right,
                         "right_95": [round(x, 5) for x in wilson_interval(part.right, part.n)]})  # fmt: skip
    power = fitted_power(*tuning)
    for how, sharp in (("as given", given[:, 0]), ("sharpened", sharpened(given, power))):
        bins = reliability(sharp, good[:, 0], EDGES)
        gap = sum(abs(part.right - part.n * part.probability) for part in bins) / len(entries)
        rows.append({"kind": "calibration error", "how": how, "error": round(gap, 5),
                     "power": power if how == "sharpened" else 1.0,
                     "bins": [[part.n, round(part.probability, 5), part.right] for part in bins]})  # fmt: skip
    order = (-given[:, 0]).argsort(kind="stable")
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        n = round(share * len(order))
        rows.append({"kind": "surest", "share": share, "n": n, "wrong": int((~good[order[:n], 0]).sum()),
                     "least": round(float(given[order[n - 1], 0]), 5)})  # fmt: skip
    return rows


def normalised(model: nn.Module, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """A beam of five, ranked by log-probability / length ** penalty, batches of words in the order of the list."""
    rows = []
    for penalty in (0.0, 1.0):
        wrong, lengths = 0, 0
        for start in range(0, len(entries), 100):
            part = entries[start : start + 100]
            src, valid = spell([entry.word for entry in part])
            with inference(model):
                state = model.start(src, valid)
            beams = beam_search(model, torch.full((len(part), 1), BOS), state, n_beams=5, max_new_tokens=64, eos_id=EOS,
                                length_penalty=penalty)  # fmt: skip
            texts = [tuple(PHONEMES.decode(row)) for row in beams.tokens[:, 0].tolist()]
            wrong += sum(text not in entry.pronunciations for text, entry in zip(texts, part, strict=True))
            lengths += sum(map(len, texts))
        rows.append({"kind": "normalised", "length_penalty": penalty, "words": len(entries), "wrong": wrong,
                     "phonemes": lengths})  # fmt: skip
    return rows


def searched(model: nn.Module, entries: Sequence[Entry], found: dict[int, Found]) -> list[dict[str, Any]]:
    """The most probable pronunciation of each word for certain, and who has missed it."""
    missed, wrong, reads = dict.fromkeys(found, 0), 0, []
    for i, entry in enumerate(entries):
        src, valid = spell([entry.word])
        with inference(model):
            mask = valid[:, None, None]
            memory = model.encode(src, mask)

            def next_log_probs(prefix: tuple[int, ...], memory=memory, mask=mask) -> torch.Tensor:
                hidden = model.decode(torch.tensor([[BOS, *prefix]]), memory, src_mask=mask)
                return model.generator(hidden[0, -1]).log_softmax(dim=-1)

            best = exact_search(next_log_probs, max_new_tokens=64, eos_id=EOS)[0]
        text = tuple(PHONEMES.decode(best.tokens))
        wrong += text not in entry.pronunciations
        reads.append(best.n_reads)
        for width, rows in found.items():
            missed[width] += math.log(rows[i][0][1]) < best.log_prob - 1e-3
    one = {"kind": "exact", "words": len(entries), "wrong": wrong, "reads_median": int(np.median(reads)),
           "reads_most": max(reads)}  # fmt: skip
    return [one | {"n_beams": width, "missed": n, "beam_wrong": int((~right(entries, found[width])[:, 0]).sum())}
            for width, n in missed.items()]  # fmt: skip


def about(texts: Sequence[str], bits: float, known: set[str]) -> dict[str, Any]:
    """How much of the texts repeats, which share of their whole words nobody in the plays uses, bits a character."""
    words = [word for text in texts for word in re.findall("[a-z]+", text.lower())[1:-1]]
    repeated = [share_repeated(text, WINDOW) for text in texts]
    return {"texts": len(texts), "characters": len(texts[0]), "repeated": round(float(np.mean(repeated)), 4),
            "repeated_sd": round(float(np.std(repeated)), 4),
            "unknown_words": round(sum(word not in known for word in words) / len(words), 4), "words": len(words),
            "bits": round(bits, 4)}  # fmt: skip


def written(model: nn.Module) -> list[dict[str, Any]]:
    """Texts of the language model at several settings, and what a human wrote after the same prompts."""
    splits = load_shakespeare()
    known = set(re.findall("[a-z]+", splits.train.lower()))
    held_out = encode_text(splits.dev)
    starts = torch.linspace(0, len(held_out) - 16 - LENGTH - 1, ROWS).long()
    prompts = torch.stack([held_out[i : i + 16] for i in starts])
    human = torch.stack([held_out[i : i + 16 + LENGTH] for i in starts])
    with inference(model):
        steps = model(human[:, :-1]).log_softmax(dim=-1).gather(-1, human[:, 1:, None])[:, 15:, 0]
    bits = -float(steps.mean()) / math.log(2)
    rows = [{"kind": "text", "how": "human"} | about([decode_text(row) for row in human[:, 16:]], bits, known)]
    for setting in (*({"temperature": t} for t in TEMPERATURES), *FILTERS):
        state = model.new_state(ROWS)
        if setting.get("temperature") == 0:
            new = greedy(model, prompts, state, max_new_tokens=LENGTH)
        else:
            own = [torch.Generator().manual_seed(seed) for seed in range(ROWS)]
            new = sample(model, prompts, state, max_new_tokens=LENGTH, generator=own, **setting)
        bits = -float(new.log_probs.mean()) / LENGTH / math.log(2)
        rows.append({"kind": "text", "how": ", ".join(f"{k} {v:g}" for k, v in setting.items()), **setting}
                    | about([decode_text(row) for row in new.tokens], bits, known))  # fmt: skip
    return rows


def measure() -> list[dict[str, Any]]:
    """All rows."""
    model, entries = load("g2p")[0], split(load_cmudict()).test
    rows = written(load("shakespeare")[0])
    sys.stderr.write(f"texts done, {time.process_time():.0f} s\n")
    found = {}
    for width in BEAMS:
        found[width] = decode(model, entries, width)
        sys.stderr.write(f"beam {width} done, {time.process_time():.0f} s\n")
    dev = split(load_cmudict()).dev[::DEV_EVERY]
    tuning = decode(model, dev, BEAMS[-1])
    rows += compared(entries, found)
    rows += calibrated(entries, found[BEAMS[-1]], (probabilities(tuning), right(dev, tuning)[:, 0]))
    rows += normalised(model, entries[::NORMALISED_EVERY])
    sys.stderr.write(f"normalised done, {time.process_time():.0f} s\n")
    return rows + searched(model, entries[::EXACT_EVERY], {w: rows[::EXACT_EVERY] for w, rows in found.items()})


if __name__ == "__main__":
    torch.set_num_threads(1)
    began = time.process_time()
    rows = measure()
    cards = {name: read_card(Path("tftutor/checkpoints") / name) for name in ("g2p", "shakespeare")}
    settings = {
        "words": "test words of the CMU dictionary; the exact search: every 8th; normalised: every 4th; sharpening is "
        "fitted to every 6th development word",
        "text": f"{ROWS} prompts of 16 characters from the held-out plays, {LENGTH} characters each, row i drawn with "
        f"seed i; repeated: share of windows of {WINDOW} characters that occurred before in the same text",
        "models": {name: {"sha256": card["sha256"], "parameters": card["parameters"]} for name, card in cards.items()},
    }  # fmt: skip
    write_results("generation", rows, script="benchmarks/generation.py", settings=settings,
                  minutes=(time.process_time() - began) / 60)  # fmt: skip
