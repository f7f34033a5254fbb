"""Two objectives on spellings: what is asked, how it is scored, how a classifier grows out of it."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from tftutor.data.cloze import CLOZE, MASK, word_rows
from tftutor.data.vocabulary import EOS
from tftutor.models.classifier import SequenceClassifier
from tftutor.serialization import build_model
from tftutor.spelling import (
    LETTER_LIST,
    beliefs,
    fill_accuracy,
    fill_accuracy_by_trying,
    fill_probabilities,
    invent,
    log_likelihoods,
    pseudo_log_likelihood,
    try_every_letter,
)
from tftutor.training.finetune import finetune, predict_labels
from tftutor.training.letters import (
    LETTER_RECIPES,
    LetterRecipe,
    LetterTask,
    hidden_letters,
    letters_config,
    nats_per_answer,
    next_letters,
    question_loss,
)

WORDS = ["abab", "ba", "ababab", "b"]


def tiny(objective: str, seed: int = 0):
    torch.manual_seed(seed)
    cfg = letters_config(objective, d_model=16, n_heads=2, d_ff=24)
    return build_model(dataclasses.replace(cfg, n_layers=2)).eval()


def test_both_stacks_hold_the_same_tensors():
    gpt, bert = tiny("causal"), tiny("masked")
    shapes = [{name: tensor.shape for name, tensor in model.blocks.state_dict().items()} for model in (gpt, bert)]
    assert shapes[0] == shapes[1]
    assert gpt.embed.weight.shape == bert.embed.weight.shape
    with pytest.raises(ValueError, match="objective"):
        letters_config("both")


def test_the_next_letter_is_asked_for_at_every_place():
    asked = next_letters(word_rows(WORDS))
    assert int(asked.counts.sum()) == sum(len(word) + 1 for word in WORDS)
    assert asked.answers[1].tolist()[:3] == [*CLOZE.encode("ba"), EOS]
    assert torch.equal(asked.inputs[:, 1:][asked.valid[:, :-1] & asked.valid[:, 1:]],
                       asked.answers[:, :-1][asked.valid[:, :-1] & asked.valid[:, 1:]])  # fmt: skip


def test_hidden_letters_count_alone():
    asked = hidden_letters(word_rows(WORDS * 50), generator=torch.Generator().manual_seed(0))
    assert not bool((asked.counts & ~word_rows(WORDS * 50).letters).any())
    total, n = question_loss(tiny("masked"), asked)
    assert float(n) == int(asked.counts.sum())
    assert float(total.detach()) / float(n) == pytest.approx(math.log(len(CLOZE)), rel=0.2)


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_task_repeats_itself(objective):
    recipe = LetterRecipe(name="x", config=letters_config(objective), epochs=1, batch_size=3, learning_rate=1e-3,
                          warmup_steps=1)  # fmt: skip
    task = LetterTask(WORDS * 5, WORDS, recipe)
    assert recipe.objective == objective
    assert sorted(itertools.chain(*task.plan(0))) == list(range(20))
    assert task.plan(0) == task.plan(0) != task.plan(1)
    assert task.validate(tiny(objective)) == task.validate(tiny(objective))


def test_recipes_differ_in_the_objective_alone():
    gpt, bert = (dataclasses.asdict(LETTER_RECIPES[name]) for name in ("letters-gpt", "letters-bert"))
    assert {name for name in gpt if gpt[name] != bert[name]} == {"name", "summary", "config"}
    assert LETTER_RECIPES["letters-gpt"].objective != LETTER_RECIPES["letters-bert"].objective


def test_likelihoods_of_all_short_words_are_probabilities():
    model = tiny("causal")
    one = log_likelihoods(model, LETTER_LIST)
    start = model(word_rows(["a"]).tokens[:, :1])[0, -1].log_softmax(dim=-1)
    assert bool((one <= start[3:MASK] + 1e-5).all())  # the word also has to end
    mixed = log_likelihoods(model, ["abc", "a", "bb"])
    assert torch.allclose(mixed[1], log_likelihoods(model, ["a"])[0], atol=1e-5)


def test_trying_every_letter_follows_the_likelihood():
    model = tiny("causal")
    tried = try_every_letter(model, "a?b")
    assert float(tried.sum().detach()) == pytest.approx(1)
    likely = log_likelihoods(model, ["aab", "abb"])
    assert float((tried[1] / tried[0]).log()) == pytest.approx(float(likely[1] - likely[0]), abs=1e-4)


def test_gaps_see_what_their_family_sees():
    gpt, bert = tiny("causal"), tiny("masked")
    assert torch.equal(fill_probabilities(gpt, "a?b"), fill_probabilities(gpt, "a?cc"))
    assert not torch.allclose(fill_probabilities(bert, "a?b"), fill_probabilities(bert, "a?c"))
    assert fill_probabilities(bert, "??b").shape == (2, 29)
    with pytest.raises(ValueError, match="one"):
        fill_probabilities(gpt, "??b")
    with pytest.raises(ValueError, match="one"):
        try_every_letter(gpt, "ab")


def test_pseudo_likelihood_asks_for_each_letter():
    bert = tiny("masked")
    by_hand = sum(float(fill_probabilities(bert, word)[0, LETTER_LIST.index(letter)].log())
                  for word, letter in (("?b", "a"), ("a?", "b")))  # fmt: skip
    assert pseudo_log_likelihood(bert, "ab") == pytest.approx(by_hand, abs=1e-4)


def test_a_trained_bert_finds_what_a_gpt_finds_by_trying():
    words = ["xay", "zbw"] * 40  # the middle letter follows from both sides, and the first from the right alone
    for objective, scores in (("masked", (fill_accuracy,)), ("causal", (fill_accuracy, fill_accuracy_by_trying))):
        model = tiny(objective).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        ask = next_letters if objective == "causal" else hidden_letters
        torch.manual_seed(0)
        for _ in range(150):
            total, n = question_loss(model, ask(word_rows(words)))
            optimizer.zero_grad()
            (total / n).backward()
            optimizer.step()
        model.eval()
        found = [score(model, words[:2]) for score in scores]
        assert found[-1] == 1.0
        if objective == "causal":
            assert found[0] == pytest.approx(5 / 6)  # from the left the first letter is a coin toss
            assert set(invent(model, 20, temperature=0.5)) == {"xay", "zbw"}
    assert nats_per_answer(model, word_rows(words)) < 0.3


@pytest.mark.parametrize("readout", ["mean", "last"])
@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_classifier_learns_and_leaves_its_model_alone(objective, readout):
    model = tiny(objective)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    classifier = SequenceClassifier(model, 3, readout=readout)
    words = ["a", "ab", "abc", "b", "bc", "bca"]
    labels = [len(word) - 1 for word in words]
    losses = finetune(classifier, words, labels, steps=200, batch_size=4, learning_rate=3e-3)
    assert predict_labels(classifier, words).tolist() == labels
    assert losses[-1] < losses[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("readout", ["mean", "last"])
def test_padding_does_not_move_a_label(readout):
    classifier = SequenceClassifier(tiny("masked"), 2, readout=readout).eval()
    alone, padded = word_rows(["ab"]), word_rows(["ab", "abcdefg"])
    with torch.no_grad():
        one = classifier(alone.tokens, valid=alone.valid)[0]
        two = classifier(padded.tokens, valid=padded.valid)[0]
    assert torch.allclose(one, two, atol=1e-5)


def test_beliefs_are_about_the_letter_that_stands_there():
    class Copier(torch.nn.Module):
        """Certain of whatever it reads."""

        def forward(self, tokens, *, valid):
            return 50.0 * torch.nn.functional.one_hot(tokens, len(CLOZE)).float()

    class Stubborn(Copier):
        """Certain that every letter is a b."""

        def forward(self, tokens, *, valid):
            return super().forward(torch.full_like(tokens, CLOZE.encode("b")[0]), valid=valid)

    words = ["b", "bbb", "bbbbbb"] * 40
    assert beliefs(Copier(), words) == pytest.approx((1, 1))
    assert beliefs(Stubborn(), words) == pytest.approx((1, 0), abs=1e-6)  # replaced means another letter, always
    assert beliefs(Stubborn(), ["-"] * 50)[1] < 0.2


def test_settings_reach_the_corruption():
    asked = hidden_letters(word_rows(WORDS * 50), rate=1.0, shares=(1.0, 0.0, 0.0))
    assert bool((asked.inputs[asked.counts] == MASK).all())
    assert torch.equal(asked.counts, word_rows(WORDS * 50).letters)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="readout"):
        SequenceClassifier(tiny("masked"), 2, readout="first")
    with pytest.raises(TypeError, match="model"):
        SequenceClassifier(torch.nn.Linear(2, 2), 2)
    classifier = SequenceClassifier(tiny("masked"), 2)
    for words, labels, steps, complaint in ((["a"], [], 1, "labels: expected one for each"), ([], [], 1, "words"),
                                            (["a"], [2], 1, "labels: expected classes from 0 to 1, got 2 to 2"),
                                            (["a"], [1], 0, "steps")):  # fmt: skip
        with pytest.raises(ValueError, match=complaint):
            finetune(classifier, words, labels, steps=steps)
    with pytest.raises(ValueError, match="at least one"):
        fill_probabilities(tiny("masked"), "ab")
    for word in ("", "a?b"):
        with pytest.raises(ValueError, match="word"):
            pseudo_log_likelihood(tiny("masked"), word)
