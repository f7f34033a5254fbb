"""Spelling and pronunciation as one sequence, and codes learned from examples: data, losses, decoding, scores."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from tftutor.data import BOS, EOS, LETTERS, PHONEMES, Entry, pairs_of
from tftutor.data.one_sequence import PHONEME_SHIFT, SEPARATOR, SPOKEN, one_sequence, prompts
from tftutor.data.synthetic import FIRST_ID
from tftutor.heads import repeat_patterns
from tftutor.models import GPT
from tftutor.serialization import build_model
from tftutor.tasks import begin, pronounce
from tftutor.training.cipher import (
    CIPHER_RECIPES,
    CipherPairTask,
    CipherTask,
    accuracy_of,
    asked_after,
    cipher_config,
    cipher_loss,
    cipher_pair_config,
    cipher_right,
    dev_episodes,
    train_cipher,
)
from tftutor.training.decoder_only import (
    ONE_STACK_RECIPES,
    SHAPES,
    OneSequenceTask,
    WholeSequenceTask,
    comparison_recipe,
    one_sequence_loss,
    one_stack,
    train_one_stack,
)
from tftutor.training.evaluation import evaluate

WORDS = [Entry("ab", (("EH", "B"),)), Entry("bba", (("B", "IY"),)), Entry("b", (("B",),)), Entry("aab", (("AA", "B"),))]


def tiny(prompt_mask: str = "causal", seed: int = 0) -> GPT:
    torch.manual_seed(seed)
    return GPT(one_stack(2, 24, prompt_mask, d_model=16, n_heads=2)).eval()


def test_both_languages_share_a_vocabulary():
    assert len(SPOKEN) == len(LETTERS) + 1 + len(PHONEMES) - 3
    assert SPOKEN.encode("az.") == LETTERS.encode("az.")
    assert SPOKEN.encode([">"]) == [SEPARATOR]
    assert SPOKEN.encode(["AA", "ZH"]) == [i + PHONEME_SHIFT for i in PHONEMES.encode(["AA", "ZH"])]


def test_a_sequence_asks_for_what_follows():
    batch = one_sequence(pairs_of(WORDS))
    assert torch.equal(batch.inputs[:, 1:][batch.valid[:, 1:]], batch.answers[:, :-1][batch.valid[:, 1:]])
    for row, entry in enumerate(WORDS):
        spelled, sounds = SPOKEN.encode(entry.word), SPOKEN.encode(entry.pronunciations[0])
        n = int(batch.valid[row].sum())
        assert batch.inputs[row, :n].tolist() == [BOS, *spelled, SEPARATOR, *sounds]
        assert batch.answers[row][batch.target[row]].tolist() == [*sounds, EOS]
        assert int(batch.prefix[row]) == len(spelled) + 1
        assert batch.inputs[row, int(batch.prefix[row])] == SEPARATOR
    read = prompts([entry.word for entry in WORDS])
    assert torch.equal(read.lengths, batch.prefix)
    with pytest.raises(ValueError, match="pairs"):
        one_sequence([])


def test_the_loss_counts_what_is_scored():
    model, batch = tiny(), one_sequence(pairs_of(WORDS))
    n_target = sum(len(entry.pronunciations[0]) + 1 for entry in WORDS)
    n_all = n_target + sum(len(entry.word) + 1 for entry in WORDS)
    (target, n), (everything, m) = (one_sequence_loss(model, batch, scored=scored) for scored in ("target", "all"))
    assert (int(n), int(m)) == (n_target, n_all)
    assert float(target.detach()) < float(everything.detach())
    other = batch._replace(answers=torch.where(batch.target, batch.answers, 5))
    assert torch.equal(target, one_sequence_loss(model, other)[0])  # letters are no questions
    assert not torch.equal(everything, one_sequence_loss(model, other, scored="all")[0])
    with pytest.raises(ValueError, match="what is seen is no question"):
        one_sequence_loss(model, batch, scored="all", prompt_mask="prefix")


def test_the_mask_of_the_config_is_obeyed():
    words, batch = WORDS, one_sequence(pairs_of(WORDS))
    for mask in ("causal", "prefix"):
        recipe = comparison_recipe("causal")
        task, model = OneSequenceTask(words, words, batch_size=2, seed=0), tiny(mask)
        total, _ = task.loss(model, batch, label_smoothing=0.0)
        losses = {m: one_sequence_loss(model, batch, prompt_mask=m)[0] for m in ("causal", "prefix")}
        assert torch.equal(total, losses[mask])
        assert not torch.equal(losses["causal"], losses["prefix"])
        assert recipe.name == "g2p-causal"
    whole = WholeSequenceTask(words, words, batch_size=2, seed=0)
    assert whole.loss(tiny(), batch, label_smoothing=0.0)[1] > task.loss(tiny(), batch, label_smoothing=0.0)[1]


@pytest.mark.parametrize("mask", ["causal", "prefix"])
@pytest.mark.parametrize("n_beams", [1, 3])
def test_words_are_pronounced_as_alone(mask, n_beams):
    model = tiny(mask).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)
    words = ["ab", "abcab", "b", "zzz"]
    together = pronounce(model, words, n_beams=n_beams)
    for word, found in zip(words, together, strict=True):
        (alone,) = pronounce(model, [word], n_beams=n_beams)
        assert found[0].phonemes == alone[0].phonemes
        assert found[0].probability == pytest.approx(alone[0].probability)


def test_reading_then_writing_is_one_pass_under_the_models_own_mask():
    words, ids = ["abba", "b"], torch.tensor([[SEPARATOR, 40, 50], [SEPARATOR, 41, 60]])
    for mask, other in itertools.permutations(("causal", "prefix")):
        model = tiny(mask).double()
        state, first, room = begin(model, words)
        assert (first, room) == (SEPARATOR, model.cfg.max_len - 5)
        with torch.no_grad():
            stepped = model.step(ids, state)
        for row, word in enumerate(words):
            sequence = torch.tensor([[BOS, *SPOKEN.encode(word), *ids[row].tolist()]])
            passes = {}
            for name in (mask, other):
                prefix = torch.tensor([len(word) + 1]) if name == "prefix" else None
                with torch.no_grad():
                    passes[name] = model(sequence, prefix=prefix)[0, -3:]
            assert (stepped[row] - passes[mask]).abs().max() < 1e-12
            assert (stepped[row] - passes[other]).abs().max() > 1e-6


def test_other_language_models_do_not_pronounce():
    with pytest.raises(ValueError, match="model: expected a GPT over letters and phonemes"):
        pronounce(GPT(cipher_config()), ["ab"])


@pytest.mark.parametrize("mask", ["causal", "prefix"])
def test_a_recipe_learns_a_dictionary(tmp_path, mask):
    listed = tmp_path / "words.txt"
    listed.write_text("".join(f"{entry.word}  {' '.join(entry.pronunciations[0])}\n" for entry in WORDS))
    recipe = dataclasses.replace(ONE_STACK_RECIPES[f"g2p-{mask}"], config=tiny(mask).cfg, epochs=150, batch_size=4,
                                 learning_rate=1e-2, ema_decay=0.5, precision="float32", name="x")  # fmt: skip
    result = train_one_stack(recipe, train=listed, dev=listed, test=listed, out=tmp_path / "run", progress=False)
    assert result.card["metrics"]["test"]["greedy"]["wer"] == 0.0
    assert result.card["config"]["prompt_mask"] == mask
    assert list(result.card["vocabularies"]) == ["spoken"]


def test_shapes_are_what_they_are_compared_by():
    from tftutor.budget import forward_flops, model_parameters

    size = {name: sum(model_parameters(cfg).values()) for name, cfg in SHAPES.items()}
    letters, phonemes = 8, 7
    flops = {name: sum(forward_flops(cfg, letters + phonemes + 2).values())
             for name, cfg in SHAPES.items() if name != "encdec"}  # fmt: skip
    flops["encdec"] = sum(forward_flops(SHAPES["encdec"], phonemes + 1, letters + 1).values())
    assert size["causal"] == size["prefix"] == pytest.approx(size["encdec"], rel=0.02)
    assert flops["causal-half"] == flops["prefix-half"] == pytest.approx(flops["encdec"], rel=0.04)
    assert flops["causal"] == pytest.approx(2 * flops["encdec"], rel=0.05)
    with pytest.raises(ValueError, match="shape"):
        comparison_recipe("both")


# Codes


def perfect(tokens: torch.Tensor) -> torch.Tensor:
    """Logits (B, T, V) of a reader who looks every plain symbol up in what stands before it, else says symbol 0."""
    rows, length = tokens.shape
    logits = torch.zeros(rows, length, FIRST_ID + 16)
    for b, t in itertools.product(range(rows), range(0, length, 2)):
        seen = [s for s in range(0, t, 2) if tokens[b, s] == tokens[b, t]]
        logits[b, t, int(tokens[b, seen[0] + 1]) if seen else FIRST_ID + 8] = 1.0
    return logits


class Perfect(torch.nn.Linear):
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return perfect(tokens)


def test_a_perfect_reader_knows_what_was_shown_and_guesses_the_rest():
    episodes = dev_episodes(CIPHER_RECIPES["cipher"], count=60)
    scores = accuracy_of(Perfect(1, 1), episodes)
    assert scores["shown"] == 1.0
    assert 0.02 < scores["new"] < 0.3
    right = cipher_right(Perfect(1, 1), episodes.tokens)
    assert torch.equal(right[:, 9], asked_after(Perfect(1, 1), episodes.tokens, 9))


def test_no_episode_comes_twice():
    task = CipherTask(CIPHER_RECIPES["cipher"])
    first, second = (list(itertools.chain(*task.plan(epoch))) for epoch in (0, 1))
    assert len(set(first) | set(second)) == len(first) + len(second) == 2 * task.recipe.episodes
    one, again, other = (task.batch(rows, torch.device("cpu")) for rows in ([0, 1, 2], [0, 1, 2], [64, 65, 66]))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("family", ["one stack", "two stacks"])
def test_both_families_take_the_episodes(family):
    recipe = CIPHER_RECIPES["cipher"]
    torch.manual_seed(0)
    one = family == "one stack"
    model = build_model(cipher_config(1) if one else cipher_pair_config(1))
    task = (CipherTask if one else CipherPairTask)(recipe)
    batch = task.batch([0, 1, 2], torch.device("cpu"))
    torch.manual_seed(1)
    total, n = task.loss(model, batch, label_smoothing=0.0)
    assert total.isfinite()
    assert 3 <= int(n) <= 3 * 16
    assert asked_after(model.eval(), batch, 4).shape == (3,)
    assert set(task.validate(model)) <= {"shown", "new"}


def test_only_answers_are_asked():
    torch.manual_seed(0)
    model, (tokens, _) = GPT(cipher_config()).eval(), dev_episodes(CIPHER_RECIPES["cipher"], count=5)
    total, n = cipher_loss(model, tokens)
    by_hand = model(tokens[:, :-1]).log_softmax(dim=-1).gather(2, tokens[:, 1:, None])[:, ::2].sum()
    assert float(total.detach()) == pytest.approx(-float(by_hand.detach()), rel=1e-5)
    assert int(n) == 5 * 16


def test_a_recipe_is_followed(tmp_path):
    recipe = dataclasses.replace(CIPHER_RECIPES["cipher"], config=cipher_config(1, d_model=16, n_heads=2),
                                 episodes=128, epochs=2, name="tiny")  # fmt: skip
    result = train_cipher(recipe, out=tmp_path)
    assert result.steps == 4
    assert set(result.card["metrics"]["test"]) == {"shown", "new"}


# Signs of induction


def test_an_ideal_induction_head_scores_one():
    tokens = torch.tensor([[3, 7, 4, 8, 3, 7, 4, 8], [5, 9, 6, 8, 6, 8, 5, 9]])
    b, t = tokens.shape
    weights = torch.zeros(b, 3, t, t)  # induction, looking at the same token, looking at the one before
    for row, query in itertools.product(range(b), range(t)):
        earlier = [s for s in range(query) if tokens[row, s] == tokens[row, query]]
        weights[row, 0, query, earlier[0] + 1 if earlier else 0] = 1
        weights[row, 1, query, earlier[0] if earlier else 0] = 1
        weights[row, 2, query, max(query - 1, 0)] = 1
    found = repeat_patterns(weights, tokens)
    assert found["after"].tolist()[:2] == [1.0, 0.0]
    assert found["same"].tolist()[:2] == [0.0, 1.0]
    assert found["previous"][2] == 1.0
    plain = (torch.arange(t) % 2 == 0).expand(b, t)
    assert repeat_patterns(weights, tokens, plain)["after"][0] == 1.0
    with pytest.raises(ValueError, match="tokens: expected one that occurred before"):
        repeat_patterns(weights, torch.arange(b * t).view(b, t))
    with pytest.raises(ValueError, match="tokens: expected shape"):
        repeat_patterns(weights, tokens[:, 1:])


def test_entries_are_scored_like_every_other_speller():
    result = evaluate(tiny(), WORDS)
    assert result.n_words == len(WORDS)
    assert 0 <= result.wer <= 1
