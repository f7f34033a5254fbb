"""What a text-to-text model is for: answering a question whose first words name the task."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tftutor.data.text_to_text import LONGEST, TEXT, text_rows, to_text
from tftutor.data.vocabulary import BOS, EOS
from tftutor.decoding import greedy, inference
from tftutor.models import EncoderDecoder


def answers(model: EncoderDecoder, questions: Sequence[str], *, batch_size: int = 512) -> list[str]:
    """What a text-to-text model writes, greedily, for each of `questions`, such as "pronounce: school".

    Raises:
        TextError: when a question holds a symbol that `tftutor.data.text_to_text.TEXT` lacks.
    """
    if model.cfg.src_vocab_size != len(TEXT) or model.cfg.tgt_vocab_size != len(TEXT):
        raise ValueError(f"model: expected one that reads and writes the {len(TEXT)} symbols of TEXT, got "
                         f"{model.cfg.src_vocab_size} and {model.cfg.tgt_vocab_size}; load words-t5")  # fmt: skip
    device = next(model.parameters()).device
    found = [""] * len(questions)
    order = sorted(range(len(questions)), key=lambda i: len(questions[i]))
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        src, src_valid = (rows.to(device) for rows in text_rows([questions[i] for i in part]))
        with inference(model):
            state = model.start(src, src_valid)
        prompt = torch.full((len(part), 1), BOS, device=device)
        limit = min(LONGEST, model.cfg.max_len)
        tokens = greedy(model, prompt, state, max_new_tokens=limit, eos_id=EOS).tokens
        for i, ids in zip(part, tokens.tolist(), strict=True):
            found[i] = to_text(TEXT.decode(ids))
    return found


def answer(model: EncoderDecoder, question: str) -> str:
    """What a text-to-text model writes for one question."""
    return answers(model, [question])[0]
