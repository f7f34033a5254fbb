"""What each head of the pronunciation model is worth: take out one at a time, then more and more.

    OMP_NUM_THREADS=1 python benchmarks/head_ablation.py

A head is gated to zero in the finished model; nothing is trained again. Heads are ranked on one third of the dev words,
and the growing removals are scored on another third. Intervals are of the difference to the whole model on the same
words. The rows are kept in tftutor/results/head_ablation.json.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from tftutor.attention import MultiHeadAttention
from tftutor.data import Entry, load_cmudict
from tftutor.data.cmudict import split
from tftutor.heads import gate_heads
from tftutor.metrics import edit_counts
from tftutor.models import EncoderDecoder
from tftutor.results import write_results
from tftutor.serialization import load
from tftutor.training.evaluation import transcribe

CHECKPOINT = "g2p-small"
N_RESAMPLES = 2000

Head = tuple[str, int]  # module name, number


def count_errors(model: EncoderDecoder, entries: list[Entry], removed: list[Head]) -> np.ndarray:
    """Of each word: is it wrong, edits, reference phonemes; (3, n)."""
    gates = {name: torch.ones(model.cfg.block.n_heads) for name, _ in removed}
    for name, head in removed:
        gates[name][head] = 0
    with gate_heads(model, gates):
        said = transcribe(model, [entry.word for entry in entries])
    edits, lengths = edit_counts(said, [entry.pronunciations for entry in entries])
    return np.stack([edits > 0, edits, lengths]).astype(float)


def compare(whole: np.ndarray, cut: np.ndarray) -> dict[str, float]:
    """Error rates of a cut model in percent, and how they differ from the whole one, with 95 % bootstrap intervals."""
    n = whole.shape[1]
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), N_RESAMPLES)  # how often each word is drawn
    wer = draws @ (cut - whole)[0] / n
    per = draws @ (cut - whole)[1] / (draws @ whole[2])
    row = {"wer": cut[0].mean(), "per": cut[1].sum() / cut[2].sum(),
           "wer_change": (cut - whole)[0].mean(), "per_change": (cut - whole)[1].sum() / whole[2].sum()}  # fmt: skip
    for name, sample in (("wer", wer), ("per", per)):
        row[f"{name}_low"], row[f"{name}_high"] = np.quantile(sample, [0.025, 0.975])
    return {name: round(100 * float(value), 2) for name, value in row.items()}


def main() -> None:
    """Remove each head by itself, then heads in the order of what they cost, and keep the rows."""
    torch.set_num_threads(1)
    began, rows = time.process_time(), []
    model = load(CHECKPOINT)[0]
    dev = split(load_cmudict()).dev
    ranking, scoring = dev[::3], dev[1::3]
    layers = [name for name, module in model.named_modules() if isinstance(module, MultiHeadAttention)]
    heads = [(name, head) for name in layers for head in range(model.cfg.block.n_heads)]

    def measure(kind: str, entries: list[Entry], whole: np.ndarray, removed: list[Head]) -> None:
        name, head = removed[-1] if removed else ("", -1)
        row = {"kind": kind, "layer": name, "head": head, "removed": len(removed)}
        rows.append(row | compare(whole, count_errors(model, entries, removed)))
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()

    whole = count_errors(model, ranking, [])
    measure("one", ranking, whole, [])
    for head in heads:
        measure("one", ranking, whole, [head])
    cost = {(row["layer"], row["head"]): row["per_change"] for row in rows}
    order = sorted(heads, key=cost.__getitem__)
    whole = count_errors(model, scoring, [])
    for n in range(len(order) + 1):
        measure("growing", scoring, whole, order[:n])
    settings = {
        "checkpoint": CHECKPOINT,
        "decoding": "greedy",
        "words": {"one": len(ranking), "growing": len(scoring)},
        "order": "rising change of PER when removed alone, on other words than those scored",
        "interval": f"95 %, paired bootstrap over words, {N_RESAMPLES} resamples",
    }
    write_results("head_ablation", rows, script="benchmarks/head_ablation.py", settings=settings,
                  minutes=(time.process_time() - began) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
