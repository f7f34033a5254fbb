"""Training a character language model: what a window asks, what the order depends on, and that it learns."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from tftutor.config import BlockConfig, GPTConfig
from tftutor.data.shakespeare import CHARACTERS, TextSplits
from tftutor.models import GPT
from tftutor.serialization import load_model
from tftutor.tasks import continue_text
from tftutor.training import text
from tftutor.training.text import TEXT_RECIPES, TextRecipe, TextTask, nats_per_character, train_text

ALTERNATING = "ab" * 700
RECIPE = TextRecipe(
    name="tiny",
    config=GPTConfig(
        block=BlockConfig(d_model=16, n_heads=2, d_ff=32),
        vocab_size=len(CHARACTERS),
        n_layers=1,
        max_len=16,
        positions="rope",
        tie=False,
    ),
    window=7,
    epochs=8,
    batch_size=5,
    learning_rate=1e-2,
    warmup_steps=5,
    ema_decay=0.9,
    threads=1,
    precision="float32",
)


def tiny_task() -> TextTask:
    return TextTask(TextSplits(ALTERNATING, ALTERNATING[:100], ALTERNATING[:100]), RECIPE)


def test_the_answer_is_the_next_character():
    batch = tiny_task().batch([0, 3], torch.device("cpu"))
    assert batch.inputs.shape == batch.answers.shape == (2, 7)
    assert torch.equal(batch.inputs[:, 1:], batch.answers[:, :-1])
    assert not torch.equal(batch.inputs, batch.answers)  # the leak that a missing shift would be


def test_the_order_depends_on_the_epoch_alone():
    task = tiny_task()
    assert task.plan(0) == task.plan(0)
    assert task.plan(0) != task.plan(1)
    rows = [row for batch in task.plan(0) for row in batch]
    assert len(rows) == len(set(rows))
    assert all(len(batch) == 5 for batch in task.plan(0))


def test_an_epoch_may_be_a_part_of_the_windows():
    texts = TextSplits(ALTERNATING, ALTERNATING[:100], ALTERNATING[:100])
    part = TextTask(texts, dataclasses.replace(RECIPE, windows=23))
    assert [len(batch) for batch in part.plan(0)] == [5] * 4
    assert part.plan(0) == tiny_task().plan(0)[:4]
    assert part.plan(1) != part.plan(0)


def test_an_untrained_model_knows_nothing():
    torch.manual_seed(0)
    nats = nats_per_character(GPT(RECIPE.config), tiny_task().dev)
    assert nats == pytest.approx(math.log(len(CHARACTERS)), rel=0.05)


def test_it_learns_and_writes_a_checkpoint_that_continues_text(tmp_path, monkeypatch):
    splits = TextSplits(ALTERNATING, ALTERNATING[:100], ALTERNATING[:100])
    monkeypatch.setattr(text, "load_shakespeare", lambda: splits)
    result = train_text(RECIPE, out=tmp_path)
    assert result.steps == result.total_steps == 8 * (len(tiny_task().windows) // 5)
    model, card = load_model(result.checkpoint)
    assert card["metrics"]["test"]["nats_per_character"] < 0.1
    assert continue_text(model, "a", length=40, temperature=0) == ("ba" * 20)


def test_the_random_text_depends_on_the_seed():
    torch.manual_seed(0)
    model = GPT(RECIPE.config)
    first, again, other = (continue_text(model, "a", length=30, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == 30


def test_dials_change_the_text_and_a_penalty_works_at_temperature_0_too():
    torch.manual_seed(0)
    model = GPT(RECIPE.config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4)  # untrained logits lie so close together that no dial tells them apart
    dials = {"top_k": 3, "top_p": 0.2, "min_p": 0.9, "repetition_penalty": 4.0}
    plain = continue_text(model, "a", length=30)
    assert all(continue_text(model, "a", length=30, **{name: amount}) != plain for name, amount in dials.items())
    cold, nearly = (continue_text(model, "a", length=9, **named) for named in ({"temperature": 0}, {"min_p": 1.0}))
    assert cold == nearly  # nothing but the likeliest is at least as likely as the likeliest
    penalised = continue_text(model, "a", length=9, temperature=0, repetition_penalty=50.0)
    assert len(set(penalised)) > len(set(cold))
    with pytest.raises(ValueError, match="p: expected a share"):
        continue_text(model, "a", length=3, min_p=2.0)


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="prompt"):
        continue_text(GPT(RECIPE.config), "", length=3)


def test_recipes_are_complete():
    for name, recipe in TEXT_RECIPES.items():
        assert recipe.name == name
        assert recipe.summary
        assert recipe.window < recipe.config.max_len
        assert dataclasses.replace(recipe, seed=1).seed == 1
