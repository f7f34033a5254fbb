"""Every way to decode equals its slow reference, row by row and without a cache, on random ragged batches."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import BOS, EOS, V_SRC, encoder_decoder, gpt, ids, left_padded, normal, right_padded
from torch import Tensor, nn

from tftutor.decoding import (
    beam_search,
    draw,
    exact_search,
    greedy,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repeats,
    sample,
)
from tftutor.faults import planted
from tftutor.properties import min_p_error, penalty_error, ragged_change

LENGTHS, WIDTH, N_NEW = [6, 2, 4, 1], 6, 7
Choose = Callable[[Tensor, list[int]], int]


def slow_write(model: nn.Module, prompt: list[int], choose: Choose) -> list[int]:
    """One row, read from the start for every token; `choose(logits (V,), written)`."""
    written: list[int] = []
    while len(written) < N_NEW and EOS not in written:
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *written]]))[0, -1]
        written.append(choose(logits, written))
    return written


def slow_beam(model: nn.Module, prompt: list[int], n_beams: int, penalty: float) -> list[list[int]]:
    """Beam search with lists, every text read from the start."""
    beams: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(N_NEW):
        candidates = []
        for total, text in beams:
            if EOS in text:
                candidates.append((total, text))
                continue
            with torch.no_grad():
                steps = model(torch.tensor([[*prompt, *text]]))[0, -1].log_softmax(dim=-1).tolist()
            candidates += [(total + step, [*text, token]) for token, step in enumerate(steps)]
        beams = sorted(candidates, key=lambda c: -c[0] / len(c[1]) ** penalty)[:n_beams]
    return [text for _, text in beams]


def ragged(side: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    valid = (left_padded if side == "left" else right_padded)(LENGTHS, WIDTH)
    return ids(len(LENGTHS), WIDTH, seed=seed), valid


def texts(tokens: Tensor, lengths: Tensor) -> list[list[int]]:
    return [row[:n] for row, n in zip(tokens.tolist(), lengths.tolist(), strict=True)]


def prompts(prompt: Tensor, valid: Tensor) -> list[list[int]]:
    return [row[real].tolist() for row, real in zip(prompt, valid, strict=True)]


sides = pytest.mark.parametrize("side", ["left", "right"])


@sides
@pytest.mark.parametrize("positions", ["sinusoidal", "rope", "t5"])
def test_greedy_is_the_slow_loop(side, positions) -> None:
    model, (prompt, valid) = gpt(positions=positions), ragged(side)
    found = greedy(model, prompt, model.new_state(4), max_new_tokens=N_NEW, eos_id=EOS, valid=valid)
    slow = [slow_write(model, row, lambda logits, _: int(logits.argmax())) for row in prompts(prompt, valid)]
    assert texts(found.tokens, found.lengths) == slow
    with planted("logits-at-padding"):
        broken = greedy(model, prompt, model.new_state(4), max_new_tokens=N_NEW, eos_id=EOS, valid=valid)
    assert (texts(broken.tokens, broken.lengths) == slow) == (side == "left")  # on the left it does no harm


SETTINGS = [{}, {"temperature": 0.6}, {"top_k": 4}, {"top_p": 0.7}, {"min_p": 0.2}, {"repetition_penalty": 1.5},
            {"temperature": 1.4, "top_k": 8, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.2}]  # fmt: skip


def slow_choice(generator: torch.Generator, temperature: float = 1.0, top_k: int | None = None,
                top_p: float | None = None, min_p: float | None = None, repetition_penalty: float = 1.0,
                **_: int) -> Choose:  # fmt: skip
    """The order of the filters, spelled out for one row."""

    def choose(logits: Tensor, written: list[int]) -> int:
        logits = logits.clone()
        for token in set(written):
            logits[token] = logits[token] * (1 / repetition_penalty if logits[token] > 0 else repetition_penalty)
        probs = (logits / temperature).softmax(dim=-1)
        for kept in (top_k and keep_top_k, top_p and keep_top_p, min_p and keep_min_p):
            if kept:
                amount = {keep_top_k: top_k, keep_top_p: top_p, keep_min_p: min_p}[kept]
                probs = kept(probs.log(), amount).softmax(dim=-1)
        return int(torch.multinomial(probs, 1, generator=generator))

    return choose


@sides
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: "+".join(s) or "plain")
def test_sampling_is_the_slow_loop_with_a_generator_for_each_row(side, setting) -> None:
    model, (prompt, valid) = gpt(), ragged(side)
    own = [torch.Generator().manual_seed(seed) for seed in range(4)]
    found = sample(model, prompt, model.new_state(4), max_new_tokens=N_NEW, eos_id=EOS, valid=valid, generator=own,
                   **setting)  # fmt: skip
    slow = [slow_write(model, row, slow_choice(torch.Generator().manual_seed(seed), **setting))
            for seed, row in enumerate(prompts(prompt, valid))]  # fmt: skip
    assert texts(found.tokens, found.lengths) == slow


@sides
@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_beam_search_is_the_slow_search(side, penalty) -> None:
    model, (prompt, valid) = gpt(positions="sinusoidal"), ragged(side)
    found = beam_search(model, prompt, model.new_state(4), n_beams=3, max_new_tokens=N_NEW, eos_id=EOS, valid=valid,
                        length_penalty=penalty)  # fmt: skip
    for b, row in enumerate(prompts(prompt, valid)):
        assert texts(found.tokens[b], found.lengths[b]) == slow_beam(model, row, 3, penalty)


def test_a_cache_left_behind_breaks_the_beam() -> None:
    model, (prompt, valid) = gpt(), ragged("right")
    with planted("cache-not-reordered"):
        found = beam_search(model, prompt, model.new_state(4), n_beams=3, max_new_tokens=N_NEW, eos_id=EOS, valid=valid)
    slow = [slow_beam(model, row, 3, 0.0) for row in prompts(prompt, valid)]
    assert [texts(found.tokens[b], found.lengths[b]) for b in range(4)] != slow


def drawn(model: nn.Module, shared: bool) -> Callable[..., object]:
    def decode(prompt: Tensor, valid: Tensor | None, seeds: Tensor) -> object:
        own = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        return sample(model, prompt, model.new_state(len(prompt)), max_new_tokens=N_NEW, eos_id=EOS, valid=valid,
                      generator=own[0] if shared else own)  # fmt: skip

    return decode


def test_rows_with_their_own_generators_do_not_notice_each_other() -> None:
    model, (prompt, valid) = gpt(), ragged("left")
    assert ragged_change(drawn(model, shared=False), prompt, valid, torch.arange(4)) == 0
    assert ragged_change(drawn(model, shared=True), prompt, valid, torch.arange(4)) > 0  # one generator for all


def test_pairs_with_their_own_generators_do_not_notice_each_other() -> None:
    model, src, real = encoder_decoder(), ids(4, 5, vocab_size=V_SRC), right_padded([5, 2, 4, 1], 5)

    def decode(prompt: Tensor, valid: Tensor | None, src: Tensor, real: Tensor, seeds: Tensor) -> object:
        with torch.no_grad():
            state = model.start(src, real)
        own = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        return sample(model, prompt, state, max_new_tokens=N_NEW, eos_id=EOS, valid=valid, generator=own)

    prompt = torch.full((4, 1), BOS)
    assert ragged_change(decode, prompt, torch.ones_like(prompt, dtype=torch.bool), src, real, torch.arange(4)) == 0


def test_draw_takes_one_generator_or_one_for_each_row() -> None:
    logits = normal(3, 7)
    rows = [draw(logits[b : b + 1], torch.Generator().manual_seed(b)) for b in range(3)]
    assert torch.equal(torch.cat(rows), draw(logits, [torch.Generator().manual_seed(b) for b in range(3)]))
    assert torch.equal(draw(logits, torch.Generator().manual_seed(5)), draw(logits, torch.Generator().manual_seed(5)))


# Filters


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), p=st.floats(0.01, 0.99), width=st.floats(0.1, 20))
def test_min_p_keeps_what_is_near_the_best(seed, p, width) -> None:
    assert min_p_error(keep_min_p, normal(3, 7, seed=seed) * width, p) == 0


def test_min_p_rejects_other_rules() -> None:
    logits = normal(9, 7) * 2
    absolute = lambda x, p: x.masked_fill(x.softmax(dim=-1) < p, -math.inf)  # noqa: E731
    of_logits = lambda x, p: x.masked_fill(x < p * x.max(dim=-1, keepdim=True).values, -math.inf)  # noqa: E731
    one_for_all = lambda x, p: x.masked_fill(x < x.max() + math.log(p), -math.inf)  # noqa: E731
    for broken in (absolute, of_logits, one_for_all, keep_top_p):
        assert min_p_error(broken, logits, 0.3) > 0
    assert torch.equal(keep_min_p(logits, 1.0).isfinite(), logits == logits.max(dim=-1, keepdim=True).values)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 9), by=st.floats(1.0, 5.0))
def test_repeats_are_penalised_once_each(seed, n, by) -> None:
    seen = torch.randint(7, (3, n), generator=torch.Generator().manual_seed(seed))
    assert penalty_error(penalise_repeats, normal(3, 7, seed=seed), seen, by) == 0


def test_penalties_reject_other_rules() -> None:
    logits, seen = normal(3, 7), torch.tensor([[0, 1, 1, 5]] * 3)

    def divides_all(x: Tensor, seen: Tensor, by: float) -> Tensor:  # a negative logit grows
        return x.scatter(-1, seen, x.gather(-1, seen) / by)

    def counts(x: Tensor, seen: Tensor, by: float) -> Tensor:  # once for each time
        for token in seen.T:
            x = penalise_repeats(x, token[:, None], by)
        return x

    for broken in (divides_all, counts):
        assert penalty_error(broken, logits, seen, 2.0) > 0
    copy = logits.clone()
    penalise_repeats(logits, seen, 2.0)
    assert torch.equal(logits, copy)


# Exact search


def after(model: nn.Module, prompt: Tensor) -> Callable[[tuple[int, ...]], Tensor]:
    def next_log_probs(prefix: tuple[int, ...]) -> Tensor:
        with torch.no_grad():
            return model(torch.tensor([[*prompt[0].tolist(), *prefix]]))[0, -1].log_softmax(dim=-1)

    return next_log_probs


@pytest.mark.parametrize("seed", range(3))
def test_exact_search_finds_what_brute_force_finds(seed) -> None:
    size, length = 5, 4
    model, prompt = gpt(vocab_size=size), ids(1, 3, vocab_size=size, seed=seed)
    next_log_probs = after(model, prompt)
    every = []
    for text in itertools.product(range(size), repeat=length):
        text = text[: text.index(EOS) + 1] if EOS in text else text
        total = sum(float(next_log_probs(text[:n])[text[n]]) for n in range(len(text)))
        every.append((total, text))
    best = sorted(set(every), reverse=True)[:6]
    found = exact_search(next_log_probs, max_new_tokens=length, eos_id=EOS, n_best=6)
    assert [one.tokens for one in found] == [text for _, text in best]
    assert [one.log_prob for one in found] == pytest.approx([total for total, _ in best])
    wide = beam_search(model, prompt, model.new_state(1), n_beams=size**3, max_new_tokens=length, eos_id=EOS)
    assert texts(wide.tokens[0, :6], wide.lengths[0, :6]) == [list(one.tokens) for one in found]


class Bigrams(nn.Module):
    """Logits that depend on the last token only, (V, V)."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def step(self, tokens: Tensor, state: object, *, valid: Tensor | None = None) -> Tensor:
        return self.table[tokens]

    def reorder(self, rows: Tensor) -> None:
        """The model is its own state, and remembers nothing."""


def test_exact_search_is_never_beaten_and_narrow_beams_sometimes_are() -> None:
    beaten = dict.fromkeys((1, 2, 4), 0)
    for seed in range(40):
        model = Bigrams(normal(6, 6, seed=seed))
        table = model.table.log_softmax(dim=-1)
        best = exact_search(lambda p, t=table: t[p[-1] if p else BOS], max_new_tokens=5, eos_id=EOS)[0]
        for width in beaten:
            beams = beam_search(model, torch.tensor([[BOS]]), model, n_beams=width, max_new_tokens=5, eos_id=EOS)
            assert float(beams.log_probs[0, 0]) <= best.log_prob + 1e-9
            beaten[width] += float(beams.log_probs[0, 0]) < best.log_prob - 1e-9
    assert beaten[1] > beaten[4] > 0


def test_exact_search_reads_little_where_the_model_is_sure() -> None:
    sure = torch.full((4, 4), -9.0)
    for token, following in ((0, 1), (1, 3), (3, EOS)):
        sure[token, following] = -1e-3
    found = exact_search(lambda prefix: sure[prefix[-1] if prefix else 0], max_new_tokens=9, eos_id=EOS)[0]
    assert (found.tokens, found.n_reads) == ((1, 3, EOS), 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: keep_min_p(normal(2, 7), 0.0), ValueError, "p: expected a share in (0, 1], got 0.0"),
        (lambda: keep_min_p(normal(2, 7), 1.5), ValueError, "p: expected a share in (0, 1], got 1.5"),
        (lambda: penalise_repeats(normal(2, 7), ids(2, 1), 0.5), ValueError, "penalty: expected at least 1, got 0.5"),
        (lambda: exact_search(lambda _: torch.zeros(3), max_new_tokens=0, eos_id=2), ValueError, "max_new_tokens"),
        (lambda: exact_search(lambda _: torch.tensor([-1.0, -1.0, -9.0]), max_new_tokens=30, eos_id=2, max_reads=20),
         RuntimeError, "max_reads: expected to be sure after 20 prefixes, got 0 of 1 texts; the model is too unsure"),
        (lambda: sample(gpt(), ids(2, 3), None, max_new_tokens=1, generator=[torch.Generator()]), ValueError,
         "generator: expected one for each of 2 rows, got 1"),
    ],
)  # fmt: skip
def test_refused(call, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()
