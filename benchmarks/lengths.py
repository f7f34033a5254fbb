"""Six position schemes beyond the length of training: losses, scalings of RoPE, windows with sinks, needles, a stream.

Trains what is missing by the recipes `length-*` (seeds other than 0 as variants of them), about 12 minutes of one core,
then measures, about 8 minutes more. Writes `tftutor/results/lengths.json` after every measurement and continues there
when it is started again.

    python benchmarks/lengths.py [--measure]
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tftutor.data.shakespeare import encode_text, load_shakespeare
from tftutor.lengths import masked, needle_recall, place_losses, sliding, stream_losses, teach_needles
from tftutor.masks import sink_mask, window_mask
from tftutor.models import GPT
from tftutor.positions import PositionScheme, RotaryPositions
from tftutor.results import load_results, write_results
from tftutor.rope_scaling import ScaledRotaryPositions
from tftutor.serialization import load_model
from tftutor.training.small import dev_windows, train_small
from tftutor.training.text import LENGTH_SCHEMES, TEXT_RECIPES, train_text

SCHEMES, SEEDS = LENGTH_SCHEMES, (0, 1, 2)
TRAINED, LONGEST, CHARACTERS, BIN = 64, 512, 65_536, 16
METHODS = ("none", "linear", "ntk", "dynamic", "yarn", "base")  # "base": 1,000,000 instead of 10,000
TUNING = {"steps": 100, "learning_rate": 1e-3, "warmup_steps": 10, "characters": 1024}  # in each update
NEEDLES = {"steps": 400, "learning_rate": 1e-3, "windows": 128}
DISTANCES = (4, 16, 32, 60, 80, 120, 240, 480)
STREAM = {"characters": 100_000, "every": 5_000, "window": 60, "sinks": 4}
RUNS = Path(__file__).parent.parent / "runs" / "lengths"
Row = dict[str, Any]


def train(scheme: str, seed: int) -> None:
    """Make a checkpoint, or go on with one, unless it is there."""
    recipe = dataclasses.replace(TEXT_RECIPES[f"length-{scheme}"], seed=seed)
    out = RUNS / f"{scheme}-{seed}"
    if not (out / f"{recipe.name}.json").exists():
        train_text(recipe, out=out, resume=True)


def trained(scheme: str, seed: int) -> GPT:
    """The model of a training, rounded as it is shipped."""
    return load_model(RUNS / f"{scheme}-{seed}" / f"length-{scheme}")[0].eval()


def windows(length: int, characters: int = CHARACTERS) -> Tensor:
    """The beginning of the dev play in windows of `length`; the same characters whatever the length."""
    return dev_windows(characters // length, window=length)


def mean(losses: Tensor) -> float:
    """Rounded to what 65,536 characters can tell."""
    return round(float(losses.mean()), 4)


def by_length(scheme: str, seed: int) -> Row:
    """Mean loss in windows of 64 to 512 characters, the end of the windows of 256, and the loss by place."""
    model = trained(scheme, seed)
    losses = {n: place_losses(model, windows(n)) for n in (64, 128, 256, 512)}
    places = place_losses(model, dev_windows(10_000, window=LONGEST))  # all of the play
    return {
        "nats": {str(n): mean(x) for n, x in losses.items()},
        "last": {str(n): mean(x[-32:]) for n, x in losses.items()},
        "by_place": [mean(part) for part in places.split(BIN)],
    }


def positions_for(method: str, factor: int, d_head: int) -> PositionScheme:
    """RoPE for texts `factor` times as long."""
    if method == "none":
        return RotaryPositions(d_head)
    if method == "base":
        return RotaryPositions(d_head, base=1e6)
    scale = 1 if method == "dynamic" else factor  # the dynamic one takes its factor from the length of the text
    return ScaledRotaryPositions(d_head, method=method, factor=scale, trained=TRAINED)


def scaling(method: str, factor: int, tuned: bool, seed: int) -> Row:
    """RoPE changed after training, with or without a little more training on longer windows."""
    model = trained("rope", seed)
    model.positions = positions_for(method, factor, model.cfg.block.head_width)
    length = TRAINED * factor
    if tuned:
        train_small(model, steps=TUNING["steps"], window=length, batch_size=TUNING["characters"] // length,
                    learning_rate=TUNING["learning_rate"], warmup_steps=TUNING["warmup_steps"], seed=seed)  # fmt: skip
    long = place_losses(model, windows(length))
    return {"nats": mean(long), "last": mean(long[-32:]), "short": mean(place_losses(model, windows(TRAINED)))}


READINGS: dict[str, Callable[[GPT], Callable[[Tensor], Tensor]]] = {
    "all": lambda model: model,
    "64": lambda model: masked(model, functools.partial(window_mask, window=64)),  # as a sliding cache, but faster
    "1 + 63": lambda model: sliding(model, window=63, sinks=1),
    "4 + 60": lambda model: sliding(model, window=60, sinks=4),
    "4 + 60, not renumbered": lambda model: masked(model, functools.partial(sink_mask, window=60, n_sinks=4)),
} | {f"mask {n}": lambda model, n=n: masked(model, functools.partial(window_mask, window=n)) for n in (4, 8, 16, 32)}


def window(scheme: str, reading: str, seed: int) -> Row:
    """The loss beyond the length of training of a model that sees only a part of its text."""
    losses = place_losses(READINGS[reading](trained(scheme, seed)), windows(LONGEST, 32_768))
    return {"beyond": {str(n): mean(losses[n // 2 : n]) for n in (128, 256, 512)}}


def needle(scheme: str, seed: int) -> Row:
    """Does a model that has learned to recall a letter recall it from far away, and at what loss?"""
    model = trained(scheme, seed)
    teach_needles(model, steps=NEEDLES["steps"], learning_rate=NEEDLES["learning_rate"], window=TRAINED, seed=seed)
    ways: dict[str, Callable[[Tensor], Tensor]] = {"all": model, "64": READINGS["64"](model)}
    if scheme == "rope":
        ways["all, ntk"] = scaled = copy.deepcopy(model)
        scaled.positions = positions_for("ntk", LONGEST // TRAINED, model.cfg.block.head_width)
    near = [d for d in DISTANCES if d < TRAINED]
    out: Row = {"short": dict(zip(map(str, near), needle_recall(model, windows(64)[: NEEDLES["windows"], :64], near),
                                  strict=True))}  # fmt: skip
    for name, read in ways.items():
        found = needle_recall(read, dev_windows(NEEDLES["windows"], window=LONGEST)[:, :LONGEST], DISTANCES, seed=seed)
        losses = place_losses(read, windows(LONGEST, 32_768))
        out[name] = {"recall": dict(zip(map(str, DISTANCES), found, strict=True)), "short": mean(losses[:64]),
                     "beyond": mean(losses[64:])}  # fmt: skip
    return out


def stream(seed: int) -> Row:
    """One long text, a cache of constant size."""
    text = encode_text(load_shakespeare().dev)[: STREAM["characters"] + 1]
    model = trained("rope", seed)
    state = model.new_state(1, window=STREAM["window"], sinks=STREAM["sinks"])
    report = stream_losses(model, text, state, every=STREAM["every"])
    return {"pieces": [[part.read, round(part.nats, 4), part.nbytes] for part in report]}


def measurements(seed: int) -> Iterator[tuple[Row, Callable[[], Row]]]:
    """What identifies a row, and how to measure it."""
    for scheme in SCHEMES:
        yield {"kind": "length", "scheme": scheme, "seed": seed}, functools.partial(by_length, scheme, seed)
    for tuned in (False, True):
        for factor in (4, 2):
            for method in METHODS:
                key = {"kind": "scaling", "method": method, "factor": factor, "tuned": tuned, "seed": seed}
                yield key, functools.partial(scaling, method, factor, tuned, seed)
    for scheme in ("rope", "alibi"):
        yield {"kind": "needle", "scheme": scheme, "seed": seed}, functools.partial(needle, scheme, seed)
    for scheme in ("rope", "alibi"):
        for reading in READINGS:
            if scheme == "rope" or reading.startswith(("all", "64", "mask")):
                key = {"kind": "window", "scheme": scheme, "reading": reading, "seed": seed}
                yield key, functools.partial(window, scheme, reading, seed)
    if seed == 0:
        yield {"kind": "stream", "seed": seed}, functools.partial(stream, seed)


def main() -> None:
    """Train and measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="only the models that are already trained")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"schemes": list(SCHEMES), "seeds": list(SEEDS), "trained_length": TRAINED, "longest": LONGEST,
                "bin": BIN, "tuning": TUNING, "needles": NEEDLES, "stream": STREAM,
                "text": "Romeo and Juliet (dev), the first 65,536 characters; by place all of it; windows and needles "
                "the first 32,768"}  # fmt: skip
    rows, minutes = [], 0.0
    try:
        stored = load_results("lengths")
        if stored["settings"] == settings:
            rows, minutes = stored["rows"], stored["minutes"]
    except ValueError:
        pass
    for seed in SEEDS:
        if not arguments.measure:
            for scheme in SCHEMES:
                train(scheme, seed)
        for key, measure in measurements(seed):
            scheme = key.get("scheme", "rope")
            if any(key.items() <= row.items() for row in rows):
                continue
            if not (RUNS / f"{scheme}-{seed}" / f"length-{scheme}.json").exists():
                continue
            start = time.process_time()
            rows.append(key | measure())
            minutes += (time.process_time() - start) / 60
            write_results("lengths", rows, script="benchmarks/lengths.py", settings=settings, minutes=minutes)
            print({name: x for name, x in rows[-1].items() if name not in ("by_place", "pieces")}, flush=True)


if __name__ == "__main__":
    main()
