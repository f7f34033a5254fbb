"""Filters, greedy, sampling and beam search: against loops, brute force and each other."""

from __future__ import annotations

import itertools
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import BOS, EOS, PAD, encoder_decoder, gpt, ids, normal, right_padded
from torch import Tensor, nn

from tftutor.decoding import Beams, beam_search, greedy, inference, keep_top_k, keep_top_p, sample
from tftutor.properties import end_error, mode_change, score_error, temperature_error, top_k_error, top_p_error

NEVER = 10  # an id used as EOS that a 7-symbol model cannot write


class Chain(nn.Module):
    """A Markov chain: the logits after a token are its row of a table (V, V). Its state remembers nothing."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table
        self.seen: list[tuple[Tensor, Tensor | None]] = []

    def step(self, tokens: Tensor, state: Nothing, *, valid: Tensor | None = None) -> Tensor:
        self.seen.append((tokens, valid))
        return self.table[tokens]


class Nothing:
    """The state of a chain."""

    def reorder(self, rows: Tensor) -> None:
        """No memory, nothing to rearrange."""


def chain(*follows: int, size: int = 7) -> Chain:
    """Token i is followed by follows[i], nearly surely."""
    table = torch.zeros(size, size, dtype=torch.float64)
    for token, following in enumerate(follows):
        table[token, following] = 10.0
    return Chain(table)


# Filters


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 7), rows=st.integers(1, 4))
def test_top_k_keeps_the_k_best_of_every_row(seed, k, rows) -> None:
    assert top_k_error(keep_top_k, normal(rows, 7, seed=seed), k) == 0


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), p=st.floats(0.01, 0.99), rows=st.integers(1, 4), width=st.floats(0.1, 20))
def test_top_p_keeps_the_smallest_sufficient_set_and_never_nothing(seed, p, rows, width) -> None:
    logits = normal(rows, 7, seed=seed) * width
    assert top_p_error(keep_top_p, logits, p) == 0
    assert keep_top_p(logits, p).isfinite().any(dim=-1).all()


def test_filters_with_ties_and_limits() -> None:
    logits = torch.tensor([[2.0, 1.0, 2.0, 0.0]])
    assert keep_top_k(logits, 1).isfinite().tolist() == [[True, False, True, False]]  # ties stay
    assert torch.equal(keep_top_k(logits, 4), logits)
    assert torch.equal(keep_top_p(logits, 1.0), logits)
    assert keep_top_p(logits, 1e-9).isfinite().sum() == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: keep_top_k(x, 0), "k: expected 1..7, the vocabulary size, got 0"),
        (lambda x: keep_top_k(x, 8), "k: expected 1..7, the vocabulary size, got 8"),
        (lambda x: keep_top_p(x, 0.0), "p: expected a probability in (0, 1], got 0.0"),
        (lambda x: keep_top_p(x, 1.1), "p: expected a probability in (0, 1], got 1.1"),
    ],
)
def test_filters_refuse(call, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call(normal(2, 7))


# Greedy


def test_greedy_follows_the_chain_until_the_end() -> None:
    model = chain(0, 3, 2, 4, 5, EOS, 6)  # 1 -> 3 -> 4 -> 5 -> EOS
    decoded = greedy(model, torch.tensor([[BOS], [4], [6]]), Nothing(), max_new_tokens=6, eos_id=EOS)
    assert decoded.tokens.tolist() == [[3, 4, 5, EOS, PAD, PAD], [5, EOS, PAD, PAD, PAD, PAD], [6] * 6]
    assert decoded.lengths.tolist() == [4, 2, 6]
    log_prob = 10 - math.log(math.exp(10) + 6)
    assert decoded.log_probs.tolist() == pytest.approx([4 * log_prob, 2 * log_prob, 6 * log_prob], rel=1e-12)


def test_finished_rows_are_not_fed_and_steps_are_not_wasted() -> None:
    model = chain(0, 3, 2, 4, 5, EOS, 6)
    greedy(model, torch.tensor([[BOS], [5]]), Nothing(), max_new_tokens=20, eos_id=EOS)
    assert len(model.seen) == 4  # the prompt, then 3, 4, 5; nothing after the last EOS
    assert [None if valid is None else valid[:, 0].tolist() for _, valid in model.seen] == [None, *[[True, False]] * 3]


def test_without_an_end_mark_all_rows_run_to_the_limit() -> None:
    decoded = greedy(chain(0, 2, 0, 4, 5, EOS, 6), torch.tensor([[BOS]]), Nothing(), max_new_tokens=3)
    assert decoded.tokens.tolist() == [[2, 0, 0]]


def test_output_is_as_wide_as_its_longest_row() -> None:
    decoded = greedy(chain(0, EOS, 2), torch.tensor([[BOS], [BOS]]), Nothing(), max_new_tokens=9, eos_id=EOS)
    assert decoded.tokens.tolist() == [[EOS], [EOS]]


def test_greedy_equals_a_loop_without_cache() -> None:
    model, prompt = gpt(), ids(2, 3)
    decoded = greedy(model, prompt, model.new_state(2), max_new_tokens=8)
    text = prompt
    with torch.no_grad():
        for _ in range(8):
            text = torch.cat([text, model(text)[:, -1:].argmax(dim=-1)], dim=1)
    assert torch.equal(decoded.tokens, text[:, 3:])


def test_generation_may_continue_where_it_stopped() -> None:
    model, prompt = gpt(), ids(2, 3)
    whole = greedy(model, prompt, model.new_state(2), max_new_tokens=8)
    state = model.new_state(2)
    first = greedy(model, prompt, state, max_new_tokens=5)
    rest = greedy(model, first.tokens[:, -1:], state, max_new_tokens=3)  # the last token has not been read yet
    assert torch.equal(torch.cat([first.tokens, rest.tokens], dim=1), whole.tokens)
    torch.testing.assert_close(first.log_probs + rest.log_probs, whole.log_probs, rtol=0, atol=1e-12)


# Sampling


def draw(table: Tensor, n: int, **how: float | int) -> Tensor:
    """n tokens that follow token 0, (n,)."""
    generator = torch.Generator().manual_seed(0)
    prompt = torch.zeros(n, 1, dtype=torch.int64)
    return sample(Chain(table), prompt, Nothing(), max_new_tokens=1, generator=generator, **how).tokens[:, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_have_the_distribution_of_the_logits_over_temperature(temperature) -> None:
    logits = normal(7) * 2
    fn = lambda rows, t: draw(rows[:1], len(rows), temperature=t)  # noqa: E731
    assert temperature_error(fn, logits, temperature) < 0.02
    assert temperature_error(lambda rows, t: draw(rows[:1].softmax(dim=-1), len(rows)), logits, temperature) > 0.02


def test_filters_apply_after_temperature_and_together() -> None:
    table = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64).log()
    assert set(draw(table, 2000, top_k=2).tolist()) == {0, 1}
    assert set(draw(table, 2000, top_p=0.7).tolist()) == {0, 1}
    assert set(draw(table, 2000, top_p=0.7, temperature=3.0).tolist()) == {0, 1, 2}  # flatter: three are needed
    assert set(draw(table, 2000, top_k=3, top_p=0.5).tolist()) == {0}  # 0.5 / 0.95 of what top-k left


def test_the_coldest_and_narrowest_samples_are_greedy() -> None:
    model, prompt = gpt(), ids(2, 3)
    best = greedy(model, prompt, model.new_state(2), max_new_tokens=6).tokens
    for how in (dict(temperature=1e-4), dict(top_k=1), dict(top_p=1e-9)):
        assert torch.equal(sample(model, prompt, model.new_state(2), max_new_tokens=6, **how).tokens, best)


def test_samples_repeat_with_their_generator() -> None:
    model, prompt = gpt(), ids(2, 3)

    def text(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return sample(model, prompt, model.new_state(2), max_new_tokens=12, generator=generator).tokens

    assert torch.equal(text(1), text(1))
    assert not torch.equal(text(1), text(2))


def test_sampled_scores_are_the_models_own() -> None:
    model, prompt = gpt(), ids(2, 3)
    decoded = sample(model, prompt, model.new_state(2), max_new_tokens=6, eos_id=EOS, temperature=3.0, top_k=9)
    assert score_error(model, prompt, decoded) <= 1e-12
    assert end_error(decoded, eos_id=EOS) == 0


# Beam search


def exhaustive(model: nn.Module, prompt: Tensor, length: int, size: int, penalty: float) -> list[tuple[float, list]]:
    """Every continuation of one prompt (1, T) that ends with EOS or has `length` tokens, best first."""
    texts = [
        list(text)
        for n in range(1, length + 1)
        for text in itertools.product(range(size), repeat=n)
        if EOS not in text[:-1] and (text[-1] == EOS or n == length)
    ]
    scored = []
    for n in range(1, length + 1):
        some = [text for text in texts if len(text) == n]
        new = torch.tensor(some)
        with torch.no_grad():
            whole = torch.cat([prompt.expand(len(some), -1), new], dim=1)
            steps = model(whole)[:, prompt.shape[1] - 1 : -1].log_softmax(dim=-1)
        totals = steps.gather(-1, new[..., None])[..., 0].sum(dim=1) / n**penalty
        scored += list(zip(totals.tolist(), some, strict=True))
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
def test_enough_beams_find_what_brute_force_finds(penalty) -> None:
    size, length, n_beams = 7, 4, 7**3
    model, prompts = gpt(vocab_size=size), ids(2, 3, vocab_size=size)
    found = beam_search(
        model, prompts, model.new_state(2), n_beams=n_beams, max_new_tokens=length, eos_id=EOS, length_penalty=penalty
    )
    for b in range(2):
        best = exhaustive(model, prompts[b : b + 1], length, size, penalty)[:20]
        assert [found.tokens[b, k, : found.lengths[b, k]].tolist() for k in range(20)] == [text for _, text in best]
        assert found.scores[b, :20].tolist() == pytest.approx([score for score, _ in best], abs=1e-10)


def test_one_beam_is_greedy() -> None:
    for seed in range(10):
        model, prompt = gpt(), ids(3, 4, seed=seed)
        one = beam_search(model, prompt, model.new_state(3), n_beams=1, max_new_tokens=7, eos_id=EOS)
        best = greedy(model, prompt, model.new_state(3), max_new_tokens=7, eos_id=EOS)
        assert torch.equal(one.tokens[:, 0], best.tokens)
        assert torch.equal(one.lengths[:, 0], best.lengths)
        torch.testing.assert_close(one.log_probs[:, 0], best.log_probs, rtol=0, atol=1e-12)


def test_one_beam_is_greedy_for_pairs() -> None:
    model, prompt = encoder_decoder(), torch.full((3, 1), BOS)
    src, valid = ids(3, 5), right_padded([5, 2, 4], 5)
    with torch.no_grad():
        one = beam_search(model, prompt, model.start(src, valid), n_beams=1, max_new_tokens=7, eos_id=EOS)
        best = greedy(model, prompt, model.start(src, valid), max_new_tokens=7, eos_id=EOS)
    assert torch.equal(one.tokens[:, 0], best.tokens)


def test_beams_look_ahead_where_greedy_does_not() -> None:
    """0.6 * 0.5 now or 0.4 * 1.0: greedy takes the larger first step, two beams the larger product."""
    table = torch.full((7, 7), -30.0, dtype=torch.float64)
    table[BOS, 3], table[BOS, 4] = math.log(0.6), math.log(0.4)
    table[3, EOS], table[3, 5] = math.log(0.5), math.log(0.5)
    table[4, EOS] = table[5, EOS] = 0.0
    prompt = torch.tensor([[BOS]])
    assert greedy(Chain(table), prompt, Nothing(), max_new_tokens=3, eos_id=EOS).tokens[0, 0] == 3
    two = beam_search(Chain(table), prompt, Nothing(), n_beams=2, max_new_tokens=3, eos_id=EOS)
    assert two.tokens[0, 0, :2].tolist() == [4, EOS]
    assert two.log_probs[0, 0].exp().item() == pytest.approx(0.4)


def beams_of(model: nn.Module, prompt: Tensor, n_beams: int, penalty: float = 0.0) -> Beams:
    return beam_search(
        model, prompt, model.new_state(len(prompt)), n_beams=n_beams, max_new_tokens=6, eos_id=EOS,
        length_penalty=penalty,
    )  # fmt: skip


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_beams_are_different_sorted_and_scored(penalty) -> None:
    model, prompt = gpt(), ids(3, 4)
    beams = beams_of(model, prompt, 5, penalty)
    for b in range(3):
        texts = [tuple(beams.tokens[b, k, : beams.lengths[b, k]].tolist()) for k in range(5)]
        assert len(set(texts)) == 5
    assert (beams.scores.diff(dim=-1) <= 0).all()
    torch.testing.assert_close(beams.scores, beams.log_probs / beams.lengths**penalty, rtol=0, atol=1e-12)
    assert score_error(model, prompt, beams) <= 1e-12
    assert end_error(beams, eos_id=EOS) == 0


def test_a_length_penalty_favours_longer_texts() -> None:
    table = torch.full((7, 7), -30.0, dtype=torch.float64)
    table[BOS, EOS], table[BOS, 3], table[3, 4], table[4, EOS] = math.log(0.52), math.log(0.48), 0.0, 0.0
    for penalty, best in ((0.0, [EOS]), (1.0, [3, 4, EOS])):
        beams = beam_search(Chain(table), torch.tensor([[BOS]]), Nothing(), n_beams=2, max_new_tokens=3, eos_id=EOS,
                            length_penalty=penalty)  # fmt: skip
        assert beams.tokens[0, 0, : beams.lengths[0, 0]].tolist() == best


def test_more_beams_than_texts() -> None:
    """A vocabulary of 7 has 7 texts of one token: the other beams say so with -inf."""
    model, prompt = gpt(vocab_size=7), ids(2, 3, vocab_size=7)
    beams = beam_search(model, prompt, model.new_state(2), n_beams=9, max_new_tokens=1, eos_id=EOS)
    assert beams.log_probs.isfinite().sum(dim=-1).tolist() == [7, 7]
    assert beams.tokens[:, :7, 0].sort().values.tolist() == [list(range(7))] * 2
    torch.testing.assert_close(beams.log_probs.exp().sum(dim=-1), torch.ones(2).double(), rtol=0, atol=1e-12)


def test_beams_stop_when_all_have_ended() -> None:
    model = chain(0, 3, 2, 4, 5, EOS, 6, size=7)
    beam_search(model, torch.tensor([[BOS]]), Nothing(), n_beams=1, max_new_tokens=20, eos_id=EOS)
    assert len(model.seen) == 4  # the prompt, then 3, 4, 5


def test_the_last_token_needs_no_room() -> None:
    """It is written, never read: 3 + 4 tokens fit a model of 6 positions."""
    model, prompt = gpt(max_len=6), ids(2, 3)
    assert greedy(model, prompt, model.new_state(2), max_new_tokens=4).tokens.shape == (2, 4)
    found = beam_search(model, prompt, model.new_state(2), n_beams=3, max_new_tokens=4, eos_id=NEVER + 1)
    assert found.tokens.shape == (2, 3, 4)
    with pytest.raises(ValueError, match="expected at most 6 positions in the state, got 7"):
        greedy(model, prompt, model.new_state(2), max_new_tokens=5)


# Modes and errors


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_the_gradients_come_back(training) -> None:
    model, prompt = gpt(dropout=0.5).train(training), ids(2, 3)
    model.blocks[1].train(not training)  # one module on its own
    decode = [
        lambda: greedy(model, prompt, model.new_state(2), max_new_tokens=2),
        lambda: sample(model, prompt, model.new_state(2), max_new_tokens=2),
        lambda: beam_search(model, prompt, model.new_state(2), n_beams=2, max_new_tokens=2, eos_id=EOS),
    ]
    for action in decode:
        assert mode_change(model, action) == 0
        assert torch.is_grad_enabled()
    with inference(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
    with pytest.raises(KeyError), inference(model):
        raise KeyError
    assert model.training == training
    assert model.blocks[1].training != training


def test_dropout_is_off_while_decoding() -> None:
    model, prompt = gpt(dropout=0.5).train(), ids(2, 3)
    texts = [greedy(model, prompt, model.new_state(2), max_new_tokens=6).tokens for _ in range(2)]
    assert torch.equal(*texts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, p: greedy(m, p, Nothing(), max_new_tokens=0), "max_new_tokens: expected at least 1, got 0"),
        (lambda m, p: greedy(m, p[:, :0], Nothing(), max_new_tokens=1), "prompt: expected at least one real token"),
        (lambda m, p: greedy(m, p, Nothing(), max_new_tokens=1, valid=torch.tensor([[True, True], [False, False]])),
         "prompt: expected at least one real token in every row, got an empty row; start with BOS"),
        (lambda m, p: greedy(m, p, Nothing(), max_new_tokens=1, valid=torch.ones(2, 3, dtype=torch.bool)),
         "valid: expected the shape of the tokens (2, 2), got (2, 3)"),
        (lambda m, p: sample(m, p, Nothing(), max_new_tokens=1, temperature=0.0),
         "temperature: expected a positive number, got 0.0; for the limit 0 use greedy"),
        (lambda m, p: sample(m, p, Nothing(), max_new_tokens=1, top_k=0), "k: expected 1..7"),
        (lambda m, p: beam_search(m, p, Nothing(), n_beams=0, max_new_tokens=1, eos_id=EOS),
         "n_beams: expected at least 1, got 0"),
        (lambda m, p: beam_search(m, p, Nothing(), n_beams=2, max_new_tokens=0, eos_id=EOS), "max_new_tokens"),
    ],
)  # fmt: skip
def test_decoding_refuses(call, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call(chain(0, 1, 2, 3), torch.tensor([[BOS, 3], [BOS, 4]]))


def test_an_end_mark_outside_the_vocabulary_is_never_reached() -> None:
    model = gpt(vocab_size=7)
    decoded = greedy(model, ids(2, 3, vocab_size=7), model.new_state(2), max_new_tokens=5, eos_id=NEVER)
    assert decoded.lengths.tolist() == [5, 5]
