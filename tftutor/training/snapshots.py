"""The whole state of a training on disk: from it the run goes on as if it had never stopped."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.serialization import CheckpointError, copy_tensors, read_tensors, write_tensors
from tftutor.training.distributed import Processes

KIND = "tftutor training state, format 1"
NEUTRAL = ("threads", "eval_every", "log_every", "save_minutes")  # may change between stop and resume


@dataclass
class Position:
    """How far a training has come. Random numbers need no record: each step seeds them anew (`step_seed`)."""

    step: int = 0  # updates made
    epoch: int = 0
    index: int = 0  # batches of this epoch done
    loss_sum: float = 0.0  # nats since the last line of the log, in this process
    loss_tokens: float = 0.0  # the same, tokens
    wall_s: float = 0.0  # seconds, over all runs
    cpu_s: float = 0.0  # processor seconds of the main process, over all runs


def save_state(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, position: Position,
    *, identity: dict[str, Any],
) -> None:  # fmt: skip
    """Write model, average, optimizer and position, atomically; `identity` says which training it is."""
    about = {"kind": KIND, "identity": identity, "position": dataclasses.asdict(position)}
    write_tensors(path, _tensors(model, average, optimizer), about)


def load_state(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, *, identity: dict[str, Any],
    procs: Processes,
) -> Position:  # fmt: skip
    """Continue from a state: fill model, average and optimizer, return the position.

    The main process reads the file and hands it to the others.

    Raises:
        CheckpointError: in every process, when the file is damaged, foreign, or of another training.
    """
    loaded: Any = None
    if procs.is_main:
        try:
            loaded = read_tensors(path)
            _expect_same_training(path, loaded[1], identity)
        except CheckpointError as error:
            loaded = error
    loaded = procs.from_main(loaded)
    if isinstance(loaded, CheckpointError):
        raise loaded
    tensors, about = loaded
    position = _position(path, about)
    if position.step:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                on = parameter.device if group.get("fused") else None
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(position.step), device=on),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
    copy_tensors(tensors, _tensors(model, average, optimizer), source=str(path))
    return position


def read_position(path: Path) -> Position:
    """How far the training of a state file has come.

    Raises:
        CheckpointError: when the file is damaged or foreign.
    """
    return _position(path, _expect_kind(path, read_tensors(path)[1]))


def _position(path: Path, about: dict[str, Any]) -> Position:
    try:
        return Position(**about["position"])
    except (KeyError, TypeError):
        raise CheckpointError(f"{path}: expected a position of this version of tftutor, got another") from None


def _tensors(model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Every tensor of a training under one name; those of tied weights once."""
    tensors = {}
    for part, module in (("model", model), ("average", average)):
        tensors |= {f"{part}/{name}": tensor.detach() for name, tensor in module.named_parameters()}
        tensors |= {f"{part}/{name}": tensor for name, tensor in module.named_buffers()}
    for name, parameter in model.named_parameters():
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in optimizer.state[parameter]:
                tensors[f"{moment}/{name}"] = optimizer.state[parameter][moment]
    return tensors


def _expect_kind(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise CheckpointError(f"{path}: expected a {KIND}, got another file of tftutor")
    return about


def _expect_same_training(path: Path, about: dict[str, Any], identity: dict[str, Any]) -> None:
    """Raise unless the state belongs to the training described by `identity`."""
    saved = _expect_kind(path, about).get("identity", {})
    now = json.loads(json.dumps(identity))  # tuples become lists, as in the file
    for part in sorted(saved.keys() & now.keys()):
        old, new = saved[part], now[part]
        if isinstance(old, dict) and isinstance(new, dict):
            changed = [k for k in sorted(old.keys() & new.keys()) if k not in NEUTRAL and old[k] != new[k]]
            if changed:
                key = changed[0]
                raise CheckpointError(f"{path}: expected {part} {key}={new[key]!r}, got {old[key]!r}; "
                                      "resume with the same recipe or choose another folder")
        elif old != new:
            raise CheckpointError(f"{path}: expected {part} {str(new)[:12]}, got {str(old)[:12]}; "
                                  "resume with the same data and precision or choose another folder")
