"""From a recipe and its task to a checkpoint on disk, with a card that says how it was made and how good it is."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tftutor.machine import processor_name
from tftutor.serialization import build_model, load_model, read_card, save_model, write_json
from tftutor.training.distributed import Processes, processes
from tftutor.training.loop import Fitted, Task, fit
from tftutor.training.runtime import autocast_dtype


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training made; `checkpoint` is None when a signal stopped it (resume it then)."""

    checkpoint: Path | None
    card: dict[str, Any] | None
    steps: int
    total_steps: int
    stopped: bool
    is_main: bool = True  # of several processes, the one that wrote the files and should report


def follow(
    recipe: Any,
    task: Task,
    *,
    out: Path,
    data: dict[str, Any],
    vocabularies: dict[str, Any],
    measure: Callable[[nn.Module], dict[str, Any]],
    resume: bool = False,
    max_steps: int | None = None,
    progress: bool = True,
    device: str | None = None,
    save_every: int | None = None,
) -> TrainResult:
    """Train a recipe's model, then write `<out>/<name>.safetensors` and its card.

    Args:
        recipe: `Settings` with a `name`, a `summary` and the `config` of the model.
        task: what is learned.
        out: folder for the checkpoint, the training state and the log.
        data: where the examples come from, for the card.
        vocabularies: for the card.
        measure: the card's metrics of the averaged weights as they were rounded and written.
        resume: go on from the state in `out`, if there is one.
        max_steps: stop after this many updates in all.
        progress: show a bar on stderr, unless TFTUTOR_QUIET=1.
        device: "cpu", "cuda", ...; None: a GPU if there is one.
        save_every: save the state also every so many steps.
    """
    path = Path(out) / recipe.name
    with processes(device) as procs:
        torch.manual_seed(recipe.seed)
        model = build_model(recipe.config).to(procs.device)
        fitted = fit(model, task, recipe, out=Path(out), procs=procs, resume=resume, max_steps=max_steps,
                     progress=progress, save_every=save_every)  # fmt: skip
        card: dict[str, Any] | None = None
        if procs.is_main and not fitted.stopped:
            save_model(path, fitted.average, card=_describe(recipe, fitted, procs, data, vocabularies))
            rounded, _ = load_model(path)
            card = read_card(path) | {"metrics": measure(rounded.to(procs.device))}
            write_json(path.with_name(path.name + ".json"), card)
        card = procs.from_main(card)
    return TrainResult(
        checkpoint=None if fitted.stopped else path.with_name(path.name + ".safetensors"),
        card=card,
        steps=fitted.position.step,
        total_steps=fitted.total_steps,
        stopped=fitted.stopped,
        is_main=procs.is_main,
    )


def _describe(
    recipe: Any, fitted: Fitted, procs: Processes, data: dict[str, Any], vocabularies: dict[str, Any]
) -> dict[str, Any]:
    """What a card says of how a checkpoint was made; its metrics come later."""
    position = fitted.position
    return {
        "name": recipe.name,
        "recipe": {k: v for k, v in asdict(recipe).items() if k not in ("name", "summary", "config")},
        "vocabularies": vocabularies,
        "seed": recipe.seed,
        "data": data,
        "parameters": sum(p.numel() for p in fitted.average.parameters()),
        "steps": position.step,
        "total_steps": fitted.total_steps,
        "wall_time_s": round(position.wall_s, 1),
        "cpu_time_s": round(position.cpu_s, 1),
        "processor": processor_name(procs.device),
        "processes": procs.world_size,
        "threads": recipe.threads,
        "precision": str(autocast_dtype(recipe.precision, procs.device) or torch.float32).removeprefix("torch."),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "metrics": {},
    }
