"""Exercise: the forward pass of an embedding layer that fails loudly, spares the padding row, and follows its input."""

from __future__ import annotations

import torch
from torch import Tensor

from tftutor.exercises.exercise import Exercise, Mismatch, Property, Trial, compare, has_shape
from tftutor.exercises.symbols.accelerator import Accelerator
from tftutor.exercises.symbols.embedding_layer import cases, embed
from tftutor.exercises.symbols.embedding_mistakes import MISTAKES
from tftutor.exercises.values import Trouble


def _right_at_words(trial: Trial) -> Mismatch | None:
    layer, tokens = trial.args
    words = tokens != layer.pad_id
    with torch.no_grad():
        right = layer.tokens(tokens) + layer.positions(torch.arange(tokens.shape[1]))
    if trial.output.shape != right.shape:
        return Mismatch(f"shape {tuple(right.shape)}", f"shape {tuple(trial.output.shape)}")
    return compare(right[words], trial.output[words])


def _too_long(trial: Trial) -> tuple[Tensor, int, int]:
    layer, _ = trial.args
    max_len = layer.positions.num_embeddings
    return torch.ones(2, max_len + 9, dtype=torch.int64), max_len + 9, max_len


def _refuses_in_words(trial: Trial) -> Mismatch | None:
    tokens, length, max_len = _too_long(trial)
    wanted = f"a ValueError that names {length} and {max_len}"
    try:
        result = trial.call(trial.args[0], tokens)
    except Trouble as trouble:
        text = trouble.got
        if text.startswith("ValueError") and str(length) in text and str(max_len) in text:
            return None
        return Mismatch(wanted, text)
    return Mismatch(wanted, f"a result of shape {tuple(result.shape)}")


def _spares_padding(trial: Trial) -> Mismatch | None:
    layer, tokens = trial.args
    result = trial.raw
    if not isinstance(result, Tensor) or not result.requires_grad:
        return Mismatch("a result that the tables get gradients from", "a result cut off from them")
    grads = torch.autograd.grad(result.sum(), [layer.tokens.weight], retain_graph=True, allow_unused=True)
    if grads[0] is None or not grads[0][tokens[tokens != layer.pad_id]].any():
        return Mismatch("gradients for the rows of words", "none")
    return compare(torch.zeros_like(grads[0][layer.pad_id]), grads[0][layer.pad_id])


def _stays_on_its_device(trial: Trial) -> Mismatch | None:
    with Accelerator() as pretended:
        trial.call(*trial.args)
    return Mismatch("all tensors on the device of the tokens", "one made on the CPU") if pretended.mixed else None


EMBED = Exercise(
    id="symbols/embed",
    title="An embedding layer that fails loudly",
    answer="embed",
    solution=embed,
    cases=cases,
    properties=(
        has_shape("there is one vector per token", lambda layer, tokens: (*tokens.shape, layer.tokens.embedding_dim)),
        Property(
            sentence="at every word it is the word's vector plus the vector of its position",
            test=_right_at_words,
            hint="work out one entry by hand: which row of which table?",
        ),
        Property(
            sentence="an input longer than max_len is refused with a ValueError that names both numbers",
            test=_refuses_in_words,
            hint="compare the length with the number of rows of the positions before anything is looked up",
        ),
        Property(
            sentence="the row of padding gets no gradient, and the rows of words do",
            test=_spares_padding,
            hint="torch's embedding function can be told which row is padding",
        ),
        Property(
            sentence="everything happens on the device of the tokens",
            test=_stays_on_its_device,
            hint="tensors that you make yourself land on the CPU unless you say where they belong",
        ),
    ),
    wrong=MISTAKES,
    notice="Three failures that no small test on a CPU shows: a long input, a trained padding row, a second device.",
)
