"""What each process does in test_distributed.py: `torchrun ... distributed_worker.py FOLDER`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from unittest.mock import patch

import tiny_training
import torch

from tftutor.serialization import CheckpointError
from tftutor.training.distributed import Processes, processes
from tftutor.training.loop import STATE_FILE, Fitted
from tftutor.training.recipes import SpellingTask

SETTINGS = {
    "config": tiny_training.config(dropout=0.0), "batch_size": 3, "epochs": 3, "warmup_steps": 2, "eval_every": 9,
}  # fmt: skip
STEPS = 25  # 21 batches an epoch; the last has one word, so that one of two processes has none


class Slow(SpellingTask):
    """Leaves time for a signal."""

    def batch(self, rows, device):
        time.sleep(0.01)
        return super().batch(rows, device)


def run(folder: Path, **options: object) -> Fitted:
    return tiny_training.run(folder, **{"max_steps": STEPS} | SETTINGS | options)


def mean_of_means(self: Processes, n_tokens: float, all_tokens: float) -> float:
    """The mistake: each process takes the mean over its own tokens."""
    return 1.0 / n_tokens if n_tokens else 0.0


def without_world_size(self: Processes, n_tokens: float, all_tokens: float) -> float:
    """Another mistake: forget that the gradients will be averaged."""
    return 1.0 / all_tokens


def interrupted(folder: Path, procs: Processes) -> Fitted:
    """Training of which only the last process is told to stop."""
    if procs.rank == procs.world_size - 1:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    return run(folder, epochs=500, max_steps=None, task_class=Slow)


def main(folder: Path) -> None:
    torch.set_default_dtype(torch.float64)
    report = {}
    with processes("cpu") as procs:
        run(folder / "right")
        for name, weight in (("mean-of-means", mean_of_means), ("without-world-size", without_world_size)):
            with patch.object(Processes, "loss_weight", weight):
                run(folder / name)
        run(folder / "resumed", max_steps=11)
        run(folder / "resumed", resume=True)
        with_dropout = {"config": tiny_training.config(dropout=0.2)}
        run(folder / "dropout", **with_dropout)
        run(folder / "dropout-resumed", max_steps=11, **with_dropout)
        run(folder / "dropout-resumed", resume=True, **with_dropout)
        stopped = interrupted(folder / "stopped", procs)
        report["stopped"] = [stopped.stopped, stopped.position.step]
        if procs.is_main:
            damaged = folder / "damaged" / STATE_FILE
            damaged.parent.mkdir()
            damaged.write_bytes((folder / "right" / STATE_FILE).read_bytes()[:-9])
        for name in ("damaged", "right"):
            try:
                run(folder / name, resume=name == "damaged")
            except CheckpointError as error:
                report[name] = str(error)
        report["sum"] = procs.total(1.0, 10.0 * procs.rank)
        (folder / f"report{procs.rank}.json").write_text(json.dumps(report), encoding="utf-8")
        torch.set_default_dtype(torch.float32)
        run(folder / "float32")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
