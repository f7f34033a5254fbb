"""Exercises: where the norms go, a memory of zeros, and masks that are swapped unnoticed."""

from __future__ import annotations

import operator
from typing import Any

import torch

from tftutor.exercises.encoder_decoder.decode import decode
from tftutor.exercises.encoder_decoder.parts import N_IDS, Parts, lengths_to_valid
from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, is_option, named_case
from tftutor.exercises.values import Trouble, number_text, read_choice, read_number, show
from tftutor.masks import causal_mask, padding_mask


def count_norms(n_encoder_layers: int, n_decoder_layers: int, final_norm: bool) -> int:
    """How many norms does an encoder-decoder hold?

    One stands at each sub-layer ("Add & Norm"); with `final_norm`, each of the
    two stacks also ends in one.
    """
    return 2 * n_encoder_layers + 3 * n_decoder_layers + 2 * final_norm


def _count_cases(_generator: torch.Generator) -> list[Case]:
    sizes = ((1, 1, False), (1, 2, False), (2, 1, True), (6, 6, False), (3, 5, True), (12, 0, True))
    return [named_case(n_encoder_layers=n, n_decoder_layers=m, final_norm=final) for n, m, final in sizes]


def _count_wrong(name: str, encoder: int, decoder: int, final: int, hint: str, always: bool = False) -> Wrong:
    def answer(n: int, m: int, final_norm: bool) -> int:
        return encoder * n + decoder * m + final * (final_norm or always)

    return Wrong(name=name, answer=answer, hint=hint)


COUNT_NORMS = Exercise(
    id="encoder-decoder/count-norms",
    title="Where do the norms go?",
    answer="count_norms",
    solution=count_norms,
    cases=_count_cases,
    read=read_number,
    properties=(equals("the count is right", count_norms, hint="write down the sub-layers of one block of each kind"),),
    wrong=(
        _count_wrong("one per layer", 1, 1, 2, "a norm stands at every sub-layer, not once at the end of a layer"),
        _count_wrong("one per layer, no final", 1, 1, 0,
                     "a norm stands at every sub-layer; and what does final_norm add?"),
        _count_wrong("no cross-attention", 2, 2, 2, "a decoder layer has a sub-layer more than an encoder layer"),
        _count_wrong("cross-attention everywhere", 3, 3, 2,
                     "an encoder layer has nothing to look at but its own input"),
        _count_wrong("no final norms", 2, 3, 0, "with final_norm, something follows the last layer of a stack"),
        _count_wrong("no cross-attention, no final", 2, 2, 0,
                     "a decoder layer has a sub-layer that an encoder layer lacks; and what does final_norm add?"),
        _count_wrong("a norm for the memory too", 2, 4, 2,
                     "the memory arrives normalised: a decoder layer has one norm for each of its sub-layers"),
        Wrong(
            name="final norms in every layer",
            answer=lambda n, m, final_norm: (2 + final_norm) * n + (3 + final_norm) * m,
            hint="with final_norm it is the stack that ends in a norm, not each of its layers",
        ),
        Wrong(
            name="one model's count",
            answer=lambda n, m, final_norm: 17,
            hint="this is the count of one model: other depths have other counts, so use the arguments",
            recognise=lambda answer: (count := answer(1, 1, False)) is not None and count == answer(6, 6, True),
        ),
        _count_wrong("one final norm", 2, 3, 1, "there are two stacks, and the memory is normalised too"),
        _count_wrong("always final norms", 2, 3, 2,
                     "the 2017 paper has no norm after the stacks: look at the third argument",
                     always=True),
        _count_wrong("stacks exchanged", 3, 2, 2, "which of the two kinds of layer has three sub-layers?"),
    ),
    notice="Pre-norm or post-norm, the count is the same: only the place relative to the addition differs.",
)  # fmt: skip

# Two words are decoded with the memory replaced by zeros and the same target prefix. The logits  (a) are NaN: there is
# nothing to attend to; (b) are the same for both words and still differ between phonemes; (c) still differ a little
# between the words; (d) are uniform: all phonemes equally likely.
PREDICT_ZERO_MEMORY = Exercise(
    id="encoder-decoder/predict-zero-memory",
    title="Predict: the memory is replaced by zeros",
    answer="prediction",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(
            name="a: NaN",
            answer="a",
            hint="equal scores are no problem for a softmax: it hands out equal shares. Only a row in which "
            "everything is masked has nothing to share",
        ),
        Wrong(
            name="c: still differ a little",
            answer="c",
            hint="by which way could the spelling reach the decoder, other than through the memory?",
        ),
        Wrong(
            name="d: uniform",
            answer="d",
            hint="self-attention over the target prefix and the generator still work: they know which phonemes follow "
            "which",
        ),
    ),
    notice="Cross-attention is the only bridge: without it the decoder is a language model of pronunciations.",
)


def _read_sizes(value: Any) -> tuple[int, int]:
    try:
        n_src, n_tgt = (operator.index(item) for item in value)
    except Exception:  # anything else
        raise Trouble("is no pair of sizes", "write it as (S, T)", expected="two integers", got=show(value)) from None
    if not (1 <= n_src <= 32 and 1 <= n_tgt <= 32):
        raise Trouble("is out of range", "S and T are lengths", expected="1 to 32", got=show(value))
    return n_src, n_tgt


def _swap_goes_unnoticed(trial: Trial) -> Mismatch | None:
    n_src, n_tgt = trial.output
    generator = torch.Generator().manual_seed(0)
    valid = lengths_to_valid([n_src, max(1, n_src - 1)])
    tgt = torch.randint(N_IDS, (2, n_tgt), generator=generator)
    memory = torch.randn(2, n_src, 8, generator=generator)
    pos, model = torch.arange(n_tgt), Parts()
    src_mask, tgt_mask = padding_mask(valid), causal_mask(pos, pos)
    try:
        swapped = decode(model, tgt, memory, tgt_mask, src_mask)
    except RuntimeError:
        return Mismatch("no error", "an error: a mask does not fit the scores")
    change = float((decode(model, tgt, memory, src_mask, tgt_mask) - swapped).abs().max())
    return None if change > 1e-3 else Mismatch("other states than with the masks in place", number_text(change))


BREAK_SWAPPED_MASKS = Exercise(
    id="encoder-decoder/break-swapped-masks",
    title="Break it: swap the masks so that nobody notices",
    answer="sizes",
    solution=(5, 5),
    takes="value",
    read=_read_sizes,
    properties=(
        Property(
            sentence="the decoder with its masks swapped raises no error and gives other states",
            test=_swap_goes_unnoticed,
            hint="write down the shapes of both masks and of both tables of scores",
        ),
    ),
    wrong=(
        Wrong(
            name="one token",
            answer=(1, 1),
            hint="nothing is hidden in a table with one entry, so nothing changes: what is the next size?",
        ),
        Wrong(
            name="different lengths",
            answer=(5, 3),
            hint="here torch complains, which is lucky: for which S and T do (B, 1, 1, S) and (1, 1, T, T) both fit "
            "in the other's place?",
            recognise=lambda answer: len(set(_read_sizes(answer))) == 2,
        ),
    ),
    notice="No error, no warning, wrong states: this is why every test of the course uses sizes that all differ.",
)
