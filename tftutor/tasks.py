"""What the shipped models are for: pronouncing words, and continuing text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tftutor.data import BOS, EOS, LETTERS, PHONEMES
from tftutor.data.one_sequence import SEPARATOR, SPOKEN, prompts
from tftutor.data.shakespeare import decode_text, encode_text
from tftutor.data.vocabulary import SPECIAL_SYMBOLS
from tftutor.decoding import beam_search, greedy, inference, sample
from tftutor.decoding.loop import State
from tftutor.models import GPT, EncoderDecoder, RecurrentSeq2Seq

PRONUNCIATION_LIMIT = 64  # phonemes; the longest entry of the CMU dictionary has 28


class Pronunciation(NamedTuple):
    """One way to say a word."""

    phonemes: tuple[str, ...]
    probability: float  # what the model gives this whole sequence


def spell(words: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Words as the encoder reads them: letters, then EOS. Ids (B, S) and which of them are real (B, S)."""
    rows = [torch.tensor([*LETTERS.encode(word), EOS]) for word in words]
    src = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return src, src != 0


def pronounce(
    model: EncoderDecoder | RecurrentSeq2Seq | GPT,
    words: Sequence[str],
    *,
    n_beams: int = 1,
    n_best: int = 1,
    batch_size: int = 256,
) -> list[list[Pronunciation]]:
    """The `n_best` pronunciations of each word, best first, in the order of `words`.

    Words of like length are decoded together. Words must be spelled with `LETTERS`; `check_word` sees to that.

    Args:
        model: from letters to phonemes, or a GPT over `SPOKEN` that continues a spelling; its `prompt_mask` is obeyed.
        n_beams: continuations kept while searching; 1 is greedy decoding.
    """
    if not 1 <= n_best <= n_beams:
        raise ValueError(f"n_best: expected 1..{n_beams}, the number of beams, got {n_best}")
    if isinstance(model, GPT) and model.cfg.vocab_size != len(SPOKEN):
        raise ValueError(f"model: expected a GPT over letters and phonemes, {len(SPOKEN)} symbols, got one over "
                         f"{model.cfg.vocab_size}")  # fmt: skip
    found: list[list[Pronunciation]] = [[] for _ in words]
    order = sorted(range(len(words)), key=lambda i: len(words[i]))
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        for i, candidates in zip(part, _pronounce_batch(model, [words[i] for i in part], n_beams), strict=True):
            found[i] = candidates[:n_best]
    return found


def _pronounce_batch(
    model: EncoderDecoder | RecurrentSeq2Seq | GPT, words: list[str], n_beams: int
) -> list[list[Pronunciation]]:
    state, first, room = begin(model, words)
    prompt = torch.full((len(words), 1), first, device=next(model.parameters()).device)
    limit, sounds = min(PRONUNCIATION_LIMIT, room), SPOKEN if isinstance(model, GPT) else PHONEMES
    if n_beams == 1:
        best = greedy(model, prompt, state, max_new_tokens=limit, eos_id=EOS)
        tokens, log_probs = best.tokens[:, None], best.log_probs[:, None]
    else:
        beams = beam_search(model, prompt, state, n_beams=n_beams, max_new_tokens=limit, eos_id=EOS)
        tokens, log_probs = beams.tokens, beams.log_probs
    return [
        [
            Pronunciation(tuple(sounds.decode(ids)), math.exp(log_prob))
            for ids, log_prob in zip(row, row_log_probs, strict=True)
        ]
        for row, row_log_probs in zip(tokens.tolist(), log_probs.tolist(), strict=True)
    ]


class Begun(NamedTuple):
    """A model that has read words and not yet said anything."""

    state: State
    first: int  # the token to feed first: BOS, or the separator
    room: int  # tokens that may still come


def begin(model: EncoderDecoder | RecurrentSeq2Seq | GPT, words: Sequence[str]) -> Begun:
    """Let a model of any family read `words`; what follows is the same for all of them."""
    device = next(model.parameters()).device
    with inference(model):
        if not isinstance(model, GPT):
            src, valid = spell(words)
            return Begun(model.start(src.to(device), valid.to(device)), BOS, model.cfg.max_len)
        tokens, valid = (part.to(device) for part in prompts(words))
        prefix = valid.sum(dim=1) if model.cfg.prompt_mask == "prefix" else None
        state = model.new_state(len(words))
        model.step(tokens, state, valid=valid, prefix=prefix)
        return Begun(state, SEPARATOR, model.cfg.max_len - tokens.shape[1])


def continue_text(
    model: GPT,
    prompt: str,
    *,
    length: int,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    seed: int = 0,
) -> str:
    """`length` characters that follow `prompt`, drawn from a character language model; temperature 0: the likeliest.

    The model sees at most its `max_len` positions: when they are used up, it goes on from the last half of them, and a
    repetition penalty, which counts what has been written, begins anew.

    Args:
        temperature, top_k, top_p, min_p, repetition_penalty: see `decoding.sample`; at temperature 0 the filters have
            nothing to choose from, and only the penalty counts.
    """
    if not prompt:
        raise ValueError("prompt: expected at least one character to continue, got an empty text")
    text = encode_text(prompt)
    generator = torch.Generator().manual_seed(seed)
    limit = model.cfg.max_len
    written = len(text)
    while len(text) < written + length:
        context = text[-(limit // 2) :][None]
        n_new = min(limit - context.shape[1] + 1, written + length - len(text))
        state = model.new_state(1)
        if temperature == 0 and repetition_penalty == 1:
            new = greedy(model, context, state, max_new_tokens=n_new)
        elif temperature == 0:
            new = sample(model, context, state, max_new_tokens=n_new, top_k=1, repetition_penalty=repetition_penalty,
                         generator=generator)  # fmt: skip
        else:
            new = sample(
                model, context, state, max_new_tokens=n_new, temperature=temperature, top_k=top_k, top_p=top_p,
                min_p=min_p, repetition_penalty=repetition_penalty, generator=generator,
            )  # fmt: skip
        characters = new.tokens[0][new.tokens[0] >= len(SPECIAL_SYMBOLS)]  # marks are none
        if not len(characters):
            raise RuntimeError("model: expected characters, got none; is it a language model of characters?")
        text = torch.cat([text, characters])
    return decode_text(text[written:])
