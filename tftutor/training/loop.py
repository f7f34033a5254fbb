"""The training loop: one update after the other, with a log, checks on dev, and a state from which it can go on.

The loop knows no model and no data. A `Task` plans the batches of an epoch and computes the summed loss of one.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from tftutor.config import config_to_dict
from tftutor.serialization import CheckpointError, remove_leftovers
from tftutor.training.distributed import Processes
from tftutor.training.ema import EMA
from tftutor.training.journal import Journal
from tftutor.training.runtime import arithmetic, attention_kernels, autocast_dtype, step_seed, stop_signals, threads
from tftutor.training.schedules import cosine_cycles
from tftutor.training.snapshots import Position, load_state, save_state

STATE_FILE, LOG_FILE = "state.safetensors", "log.jsonl"


class Task(Protocol):
    """What the loop asks of a learning problem."""

    fingerprint: str  # identifies the training data

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch as lists of example numbers; depends on nothing but the epoch."""

    def batch(self, rows: list[int], device: torch.device) -> Any:
        """The tensors of some examples."""

    def loss(self, model: nn.Module, batch: Any, *, label_smoothing: float) -> tuple[Tensor, Tensor]:
        """The summed loss of a batch in nats and its number of tokens."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Named measures on dev of a model in evaluation mode."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train."""

    epochs: int
    batch_size: int  # examples per update, over all processes
    learning_rate: float  # at its peak
    warmup_steps: int  # at most a tenth of the run
    restarts: tuple[int, ...] = ()  # epochs after which the learning rate rises to its peak once more
    weight_decay: float = 0.01  # of matrices only
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0  # largest norm of the gradient
    label_smoothing: float = 0.0
    ema_decay: float = 0.999
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of matrix products; weights are float32
    seed: int = 0
    threads: int = 2  # of all processes on a machine together
    eval_every: int = 1000  # steps
    log_every: int = 100  # steps
    save_minutes: float = 3.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "threads", "eval_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")
        for name in ("warmup_steps", "weight_decay", "save_minutes", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected at least 0, got {getattr(self, name)}")
        if list(self.restarts) != sorted({epoch for epoch in self.restarts if 0 < epoch < self.epochs}):
            raise ValueError(f"restarts: expected rising epochs between 0 and {self.epochs}, got {self.restarts}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision: expected 'auto', 'float32' or 'bfloat16', got {self.precision!r}")


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a run of the loop leaves."""

    average: nn.Module  # the model with averaged weights
    position: Position
    total_steps: int
    stopped: bool  # by a signal, before the end


def fit(
    model: nn.Module,
    task: Task,
    settings: Settings,
    *,
    out: Path,
    procs: Processes,
    resume: bool = False,
    max_steps: int | None = None,
    progress: bool = True,
    save_every: int | None = None,
) -> Fitted:
    """Train `model` in place; its averaged twin is in the result.

    Args:
        model: already on the device of `procs`, the same in every process.
        task: batches, loss and validation.
        settings: how to train.
        out: folder for the state and the log.
        procs: this process among those that train together.
        resume: go on from the state in `out`, if there is one.
        max_steps: stop after this many updates in all; the learning rate still falls as if the run went to its end.
        progress: show a bar on stderr, unless TFTUTOR_QUIET=1.
        save_every: save also every so many steps, not only every `save_minutes`.

    Raises:
        CheckpointError: when `out` holds a state and `resume` is False, or one that does not fit this training.
        RuntimeError: when the loss is no longer finite.
    """
    state_path = Path(out) / STATE_FILE
    dtype = autocast_dtype(settings.precision, procs.device)
    average, optimizer = EMA(model, settings.ema_decay), build_optimizer(model, settings)
    identity = {
        "settings": {field.name: getattr(settings, field.name) for field in dataclasses.fields(Settings)},
        "config": config_to_dict(model.cfg),
        "data": task.fingerprint,
        "precision": str(dtype or torch.float32),
    }
    position = Position()
    if procs.from_main(state_path.exists()):
        if not resume:
            raise CheckpointError(
                f"out: expected a folder without a training state, got {state_path}; resume it or choose another folder"
            )
        position = load_state(state_path, model, average.model, optimizer, identity=identity, procs=procs)
    plan = task.plan(position.epoch)
    total_steps = settings.epochs * len(plan)
    warmup_steps = min(settings.warmup_steps, total_steps // 10)
    cycle_ends = [len(plan) * epochs for epochs in (*settings.restarts, settings.epochs)]
    last = total_steps if max_steps is None else min(max_steps, total_steps)
    journal = Journal(Path(out) / LOG_FILE, done=position.step, total=total_steps, write=procs.is_main,
                      show=progress and procs.is_main)  # fmt: skip
    if procs.is_main:
        remove_leftovers(state_path)
    replica = procs.wrap(model).train()
    clock = _Clock(position)

    def save() -> None:
        clock.stamp(position)
        if procs.is_main:
            save_state(state_path, model, average.model, optimizer, position, identity=identity)

    stop = False
    with threads(max(1, settings.threads // procs.local_world_size)), stop_signals() as signalled:
        while position.step < last and not stop:
            if position.index == len(plan):
                position.epoch, position.index = position.epoch + 1, 0
                plan = task.plan(position.epoch)
            rows = plan[position.index]
            position.index += 1
            position.step += 1
            rate = cosine_cycles(
                position.step, peak=settings.learning_rate, warmup_steps=warmup_steps, ends=cycle_ends
            )
            torch.manual_seed(step_seed(settings.seed, position.step, procs.rank))
            nats, tokens, stop = _update(
                replica, task, rows, optimizer, rate, settings, procs, dtype=dtype, stop=signalled.is_set()
            )
            average.update(position.step)
            position.loss_sum += nats
            position.loss_tokens += tokens
            journal.step()
            where = position.step, position.epoch
            if position.step % settings.log_every == 0:
                journal.loss(*where, _mean_loss(position, procs), rate=rate, **clock.speed(position.step))
            if position.step % settings.eval_every == 0 and procs.is_main:
                journal.measures(*where, clock.outside(lambda: task.validate(average.model)))
            if clock.late(settings.save_minutes) or (save_every and position.step % save_every == 0):
                save()
        save()
    journal.close()
    model.eval()
    stopped = stop and position.step < last
    return Fitted(average=average.model, position=position, total_steps=total_steps, stopped=stopped)


def _update(
    replica: nn.Module, task: Task, rows: list[int], optimizer: torch.optim.Optimizer, rate: float, settings: Settings,
    procs: Processes, *, dtype: torch.dtype | None, stop: bool,
) -> tuple[float, float, bool]:  # fmt: skip
    """One update from the examples `rows`; this process's nats and tokens, and whether any process wants to stop."""
    mine = procs.share(rows)
    batch = task.batch(mine or rows[:1], procs.device)  # without a share: take part, with weight zero
    with attention_kernels(procs.device):
        with arithmetic(procs.device, dtype):
            nats, tokens = task.loss(replica, batch, label_smoothing=settings.label_smoothing)
        n_tokens = float(tokens) if mine else 0.0
        all_tokens, stops = procs.total(n_tokens, float(stop))
        (nats * procs.loss_weight(n_tokens, all_tokens)).backward()
    for group in optimizer.param_groups:
        group["lr"] = rate
    nn.utils.clip_grad_norm_(replica.parameters(), settings.clip, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(nats.detach()) if mine else 0.0, n_tokens, stops > 0


def build_optimizer(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW that lets matrices decay but not biases and norms.

    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization".
    """
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def _mean_loss(position: Position, procs: Processes) -> float:
    """Nats per token since the last call, over all processes; starts a new count."""
    nats, tokens = procs.total(position.loss_sum, position.loss_tokens)
    position.loss_sum = position.loss_tokens = 0.0
    loss = nats / tokens
    if not math.isfinite(loss):
        raise RuntimeError(
            f"loss: expected a finite number, got {loss} before step {position.step}; lower the learning rate"
        )
    return loss


class _Clock:
    """Time over all runs of a training, time since the last save, and steps per second."""

    def __init__(self, position: Position) -> None:
        self._began = time.perf_counter() - position.wall_s
        self._cpu_began = time.process_time() - position.cpu_s
        self._saved = self._logged = time.perf_counter()
        self._logged_step = position.step

    def stamp(self, position: Position) -> None:
        """Write the time into the position that is saved now."""
        position.wall_s, position.cpu_s = time.perf_counter() - self._began, time.process_time() - self._cpu_began
        self._saved = time.perf_counter()

    def late(self, minutes: float) -> bool:
        """Whether the last save is more than `minutes` ago."""
        return time.perf_counter() - self._saved > 60 * minutes

    def speed(self, step: int) -> dict[str, float]:
        """Steps per second since the last call, and seconds since the beginning."""
        now = time.perf_counter()
        speed = (step - self._logged_step) / (now - self._logged)
        self._logged, self._logged_step = now, step
        return {"steps_per_s": round(speed, 3), "wall_s": round(now - self._began, 1)}

    def outside(self, work: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Do something that does not count in the speed of steps."""
        began = time.perf_counter()
        result = work()
        self._logged += time.perf_counter() - began
        return result
