"""Exercises: what a state can hold, and what hybrids replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, Wrong, is_option
from tftutor.exercises.values import Trouble, read_choice, show

# A memory of D x D numbers holds N pairs of random unit vectors. With D = 32 about half of 120 pairs can be recalled.
# D is doubled. How many pairs will be recalled about half of the time?  (a) 120: the pairs are what counts  (b) about
# 240: twice  (c) about 400: nearly four times  (d) 2 ** 64: so many patterns of signs there are.
PREDICT_CAPACITY = Exercise(
    id="beyond/predict-capacity",
    title="Predict: twice the width",
    answer="prediction",
    solution="c",
    takes="value",
    read=read_choice,
    properties=(is_option("c", "abcd"),),
    wrong=(
        Wrong(name="a: the same", answer="a",
              hint="each other pair disturbs the answer by its overlap with the key: what becomes of that overlap in a "
                   "wider space?"),
        Wrong(name="b: twice", answer="b",
              hint="the memory is a square: how many numbers has it when its side is twice as long?"),
        Wrong(name="d: exponentially many", answer="d",
              hint="many nearly orthogonal directions exist; but all pairs are added up in one matrix, and each adds "
                   "noise"),
    ),
    notice="What a state recalls grows with its numbers. A cache has no such limit, and grows with the text instead.",
)  # fmt: skip

MODELS = ("Jamba", "MoE-Mamba", "Kimi Linear", "Mamba")
RIGHT = {"Jamba": "attention", "MoE-Mamba": "attention", "Kimi Linear": "attention", "Mamba": "both"}
CHOICES = ("attention", "ffn", "both", "neither")


def _read_layers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or set(value) != set(MODELS):
        raise Trouble("is no dictionary of the four models", "keep the four names and replace the dots behind them",
                      expected=", ".join(MODELS), got=show(value))  # fmt: skip
    answers = {name: str(value[name]).strip().lower() for name in MODELS}
    for name, answer in answers.items():
        if answer not in CHOICES:
            raise Trouble("is not an option", f"choose one of {', '.join(CHOICES)}", expected=", ".join(CHOICES),
                          got=f"{answer[:30]!r} for {name}")  # fmt: skip
    return answers


def _all_right(trial: Trial) -> Mismatch | None:
    wrong = [name for name in MODELS if trial.output[name] != RIGHT[name]]
    return Mismatch("the parts of four models", f"{len(wrong)} of 4 differ") if wrong else None


def _says(name: str, *answers: str) -> Callable[[Any], bool]:
    return lambda answer: _read_layers(answer)[name] in answers


def _but(**changes: str) -> dict[str, str]:
    return RIGHT | {name.replace("_", " "): what for name, what in changes.items()}


HYBRIDS = Exercise(
    id="beyond/hybrids",
    title="Which part was replaced?",
    answer="replaced",
    solution=RIGHT,
    takes="value",
    read=_read_layers,
    properties=(
        Property(sentence="each model is described by the part that its new mixer replaced", test=_all_right,
                 hint="ask of each: what moves information between tokens there, and is there still a feed-forward "
                      "layer?"),
    ),
    wrong=(
        Wrong(name="all ffn", answer=dict.fromkeys(MODELS, "ffn"),
              recognise=lambda answer: set(_read_layers(answer).values()) == {"ffn"},
              hint="that is the popular error: a recurrence carries information from token to token, a feed-forward "
                   "layer never does"),
        Wrong(name="all attention", answer=dict.fromkeys(MODELS, "attention"),
              recognise=lambda answer: set(_read_layers(answer).values()) == {"attention"},
              hint="three are right. In the pure model, look for the feed-forward layer after the mixer"),
        Wrong(name="Mamba: ffn", answer=_but(Mamba="ffn"), recognise=_says("Mamba", "ffn"),
              hint="if Mamba had replaced the feed-forward layer only, the pure model would still attend"),
        Wrong(name="Mamba: neither", answer=_but(Mamba="neither"), recognise=_says("Mamba", "neither"),
              hint="the pure model has one kind of block, repeated: what of the Transformer's two is in it?"),
        Wrong(name="Jamba: ffn", answer=_but(Jamba="ffn"), recognise=_says("Jamba", "ffn"),
              hint="Jamba's layers keep a feed-forward part, every other one a mixture of experts"),
        Wrong(name="Jamba: both", answer=_but(Jamba="both"), recognise=_says("Jamba", "both"),
              hint="seven of eight mixers of Jamba are new; and what stands behind each mixer?"),
        Wrong(name="MoE-Mamba: ffn", answer=_but(**{"MoE-Mamba": "ffn"}), recognise=_says("MoE-Mamba", "ffn", "both"),
              hint="in MoE-Mamba, layers of experts alternate with Mamba layers, and experts are feed-forward layers"),
        Wrong(name="Kimi: both", answer=_but(Kimi_Linear="both"), recognise=_says("Kimi Linear", "both", "ffn"),
              hint="Kimi Linear keeps a feed-forward part, mostly of experts, behind each of its mixers"),
        Wrong(name="a hybrid that replaces nothing", answer=_but(Jamba="neither"),
              recognise=lambda answer: "neither" in [_read_layers(answer)[name] for name in MODELS[:3]],
              hint="one of the hybrids replaces nothing in your list: then where is its recurrence?"),
    ),
    notice="Recurrences mix tokens, as attention does; experts are feed-forward layers. Hybrids exchange like for "
    "like.",
)  # fmt: skip
