"""The task of several looks: its answers are right, and one look is too few for it."""

from __future__ import annotations

import torch

from tftutor.training.gather import N_BACK, Gather, gather_batch, train_gather


def test_answers_are_the_tokens_before() -> None:
    tokens, answers = gather_batch(3, generator=torch.Generator().manual_seed(0))
    for t in range(N_BACK, tokens.shape[1]):
        assert torch.equal(answers[:, t], tokens[:, t - N_BACK : t].flip(1))
    assert torch.equal(answers[:, 0, 0], tokens[:, -1])  # a ring


def test_nothing_but_attention_carries_tokens() -> None:
    torch.manual_seed(0)
    model = Gather(n_heads=4)
    tokens, _ = gather_batch(2, generator=torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(model.attn.v_proj.weight)
    assert torch.equal(model(tokens), model(tokens.flip(0)))


def test_training_learns_and_repeats_itself() -> None:
    one, four = (train_gather(n, steps=150)[1] for n in (1, 4))
    assert 0.2 < one < 0.6
    assert four > one + 0.2
    assert train_gather(4, steps=150)[1] == four
