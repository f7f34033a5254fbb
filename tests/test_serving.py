"""Serving: what a scheduler, blocks of memory and the simulation owe. `test_faults` shows that the checks can fail."""

from __future__ import annotations

import doctest
import itertools
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import EOS, gpt, ids
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tftutor import properties, serving
from tftutor.config import BlockConfig, GPTConfig
from tftutor.observe import record_attention
from tftutor.serving import (
    MODEL_SHAPES,
    BlockPool,
    Job,
    PagedKV,
    Request,
    Scheduler,
    cache_bytes,
    random_jobs,
    serve,
    simulate,
    step_flops,
)
from tftutor.serving.simulation import POLICIES
from tftutor.state import KV

EXACT = 1e-12


def request(n_prompt: int = 3, n_new: int = 4, **named: object) -> Request:
    return Request(prompt=ids(1, n_prompt, seed=n_prompt)[0], max_new_tokens=n_new, **named)


requests = st.lists(
    st.builds(
        lambda n, seed, new, eos, arrival, warm: Request(
            prompt=ids(1, n, seed=seed)[0], max_new_tokens=new, eos_id=EOS if eos else None, arrival=arrival,
            temperature=0.8 * warm, seed=seed,
        ),
        st.integers(1, 9), st.integers(0, 99), st.integers(1, 9), st.booleans(), st.integers(0, 15), st.booleans(),
    ),
    min_size=1, max_size=7,
)  # fmt: skip


@settings(deadline=None, max_examples=15)
@given(requests, st.integers(1, 5), st.sampled_from([None, 1, 2, 5]), st.sampled_from(["rope", "learned", "alibi"]))
def test_every_request_gets_what_it_gets_alone(some, max_rows, chunk, positions) -> None:
    model = gpt(positions=positions, n_kv_heads=2)
    assert properties.serving_error(model, some, max_rows=max_rows, chunk=chunk) == 0


def test_first_come_first_served_and_never_more_rows_than_allowed() -> None:
    model, widest = gpt(), 0
    scheduler = Scheduler(model, max_rows=2)
    assert [scheduler.submit(request(n_prompt=1 + i, n_new=3)) for i in range(5)] == list(range(5))
    ends = []
    while scheduler.busy:
        ends += [(one.id, one.first, one.last) for one in scheduler.step()]
        widest = max(widest, len(scheduler._rows))
        assert len(scheduler._rows) == len(scheduler._state)
    assert ends == [(0, 1, 3), (1, 1, 3), (2, 4, 6), (3, 4, 6), (4, 7, 9)]
    assert widest == 2
    assert scheduler.iterations == 9


def test_a_row_that_leaves_makes_room_at_once() -> None:
    found = serve(gpt(), [request(n_new=9), request(n_new=2), request(n_new=3)], max_rows=2)
    assert [(one.first, one.last) for one in found] == [(1, 9), (1, 2), (3, 5)]


def test_a_prompt_in_chunks_leaves_others_writing() -> None:
    some = [request(1, 6), request(9, 2)]
    found = serve(gpt(), some, max_rows=2, chunk=2)
    assert [(one.first, one.last) for one in found] == [(1, 6), (5, 6)]  # nine tokens take five chunks of two
    scheduler = Scheduler(gpt(), max_rows=2, chunk=2)
    for one in some:
        scheduler.submit(one)
    while scheduler.busy:
        scheduler.step()
    assert scheduler.useful == 1 + 5 + 9 + 1  # the last token of each is written and never read
    assert scheduler.computed - scheduler.useful == 4  # one written beside two read, four times


def test_nobody_there_costs_no_step_and_takes_time() -> None:
    found = serve(gpt(), [request(arrival=4), request(arrival=0)], max_rows=3)
    assert [(one.id, one.first, one.last) for one in found][1] == (1, 1, 4)
    assert found[0].last == 8
    scheduler = Scheduler(gpt(), max_rows=1)
    assert scheduler.step() == []
    assert scheduler.iterations == 0
    late = serve(gpt(), [request(arrival=0), request(arrival=20)], max_rows=3)
    assert [(one.first, one.last) for one in late] == [(1, 4), (21, 24)]


def test_an_end_mark_at_once_is_a_whole_text() -> None:
    model, prompt = gpt(), ids(1, 3)[0]
    with torch.no_grad():
        end = int(model(prompt[None])[0, -1].argmax())
    one, other = serve(model, [Request(prompt=prompt, max_new_tokens=9, eos_id=end), request(5)], max_rows=1)
    assert (one.tokens.tolist(), one.first, one.last) == ([end], 1, 1)
    assert other.first == 2
    assert serve(model, [], max_rows=1) == []


def test_one_request_that_cannot_be_served_stops_all_before_anything_runs() -> None:
    model = gpt()
    model.step = None  # nothing may be computed
    with pytest.raises(ValueError, match="prompt, max_new_tokens: expected at most 41 tokens together"):
        serve(model, [request(), request(n_prompt=41, n_new=1, arrival=5)], max_rows=1)


def test_the_mode_is_put_back() -> None:
    model = gpt(dropout=0.5).train()
    assert properties.mode_change(model, lambda: serve(model, [request()], max_rows=1)) == 0
    assert properties.serving_error(model, [request(), request(5)], max_rows=2) == 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Request(prompt=ids(1, 3)[0, :0], max_new_tokens=1), "prompt: expected ids (T,), at least one"),
        (Request(prompt=ids(1, 3), max_new_tokens=1), "prompt: expected ids (T,), at least one, got shape (1, 3)"),
        (request(n_new=0), "max_new_tokens: expected at least 1, got 0"),
        (request(n_prompt=30, n_new=12), "expected at most 41 tokens together with max_len=40, got 30 + 12"),
        (request(temperature=-1.0), "temperature: expected 0 or more"),
        (request(temperature=float("nan")), "temperature: expected 0 or more"),
        (Request(prompt=torch.tensor(3), max_new_tokens=1), "prompt: expected ids (T,), at least one, got shape ()"),
        (Request(prompt=torch.tensor([999]), max_new_tokens=1), "prompt: expected ids in 0.."),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_served_are_refused_at_once(bad, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Scheduler(gpt(), max_rows=1).submit(bad)


def test_the_longest_possible_request_is_served() -> None:
    assert len(serve(gpt(), [request(n_prompt=30, n_new=11)], max_rows=1)[0].tokens) == 11


@pytest.mark.parametrize("named", [{"max_rows": 0}, {"max_rows": 1, "chunk": 0}])
def test_sizes_must_be_positive(named) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        Scheduler(gpt(), **named)


# Blocks


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=5), st.integers(1, 7))
def test_blocks_hold_what_was_written_and_have_one_owner(lengths, block_size) -> None:
    n_blocks = sum(-(-sum(steps) // block_size) for steps in lengths)
    assert properties.paging_error(lengths, n_blocks=n_blocks, block_size=block_size) == 0


def test_a_pool_that_is_empty_says_so_and_takes_nothing() -> None:
    pool, table = BlockPool(3, 4), []
    pool.extend(table, 5)
    assert (len(table), pool.n_free) == (2, 1)
    with pytest.raises(RuntimeError, match="expected at most 1 more blocks, got 2"):
        pool.extend(table, 13)
    assert (len(table), pool.n_free) == (2, 1)
    pool.extend(table, 12)
    pool.release(table)
    assert (table, pool.n_free) == ([], 3)
    with pytest.raises(ValueError, match="expected at least 1 each"):
        BlockPool(0, 4)


def test_a_table_that_is_too_short_is_not_read_beyond_its_end() -> None:
    pool, table = BlockPool(3, 4), []
    store = PagedKV(pool, 1, 2, like=torch.zeros(1))
    pool.extend(table, 6)
    new = KV(torch.ones(1, 9, 2), torch.ones(1, 9, 2))
    for wrong in (lambda: store.read(table, 9), lambda: store.write(table, 0, new), lambda: store.read([], 1)):
        with pytest.raises(ValueError, match="table: expected blocks for"):
            wrong()
    assert store.read([], 0).keys.shape == (1, 0, 2)


# Costs


@pytest.mark.parametrize("fields", [{}, {"n_kv_heads": 1}, {"activation": "swiglu", "n_kv_heads": 2, "d_head": 10}])
@pytest.mark.parametrize(("n_new", "n_past"), [(7, 0), (1, 7), (3, 5)])
def test_the_formula_counts_what_torch_counts(fields, n_new, n_past) -> None:
    model = gpt(**fields)
    state = model.new_state(1)
    with torch.no_grad(), record_attention(model):  # the explicit path: torch does not count the fused one
        if n_past:
            model.step(ids(1, n_past), state)
        with FlopCounterMode(display=False) as counter:
            model.step(ids(1, n_new), state)
    assert counter.get_total_flops() == sum(step_flops(model.cfg, n_new, n_past).values())


def test_bytes_are_those_of_a_real_cache() -> None:
    model = gpt(n_kv_heads=2)
    wanted = cache_bytes(n_layers=2, n_kv_heads=2, d_head=6, length=40, batch_size=3, bytes_per_number=8)
    assert model.new_state(3).nbytes == wanted


def test_bytes_of_models_by_their_papers() -> None:
    per_token = {shape.name: shape.bytes_per_token() / 2**10 for shape in MODEL_SHAPES}
    assert per_token == {
        "GPT-3 175B": 4608, "PaLM 540B": 118, "LLaMA-2 7B": 512, "LLaMA-2 70B": 320, "Mistral 7B": 128,
        "Llama 3 8B": 128, "Llama 3 405B": 504,
    }  # fmt: skip
    assert all(shape.n_heads % shape.n_kv_heads == 0 for shape in MODEL_SHAPES)
    seventy = next(shape for shape in MODEL_SHAPES if shape.name == "LLaMA-2 70B")
    assert seventy.bytes_per_token(n_kv_heads=64) == 2.5 * 2**20


def test_examples() -> None:
    extra = {"BlockConfig": BlockConfig, "GPTConfig": GPTConfig}
    assert doctest.testmod(serving.costs, extraglobs=extra).failed == 0


# Simulation

THREE = [Job(0.0, 10, 5), Job(1.0, 20, 2), Job(30.0, 10, 3)]


def test_policies_by_hand() -> None:
    """A prompt of ten tokens takes a tenth of a unit; every step one unit."""
    finish = {policy: simulate(THREE, policy, rows=2, max_wait=5, prefill_rate=100).finish for policy in POLICIES}
    approx = pytest.approx
    assert finish["one at a time"] == approx((5.1, 7.3, 33.1))
    assert finish["static"] == approx((1 + 1.4 + 4, 1 + 1.4 + 1, 33.1))  # starts at 1; two prompts, padded to 20
    assert finish["dynamic"] == finish["static"]
    assert finish["continuous"] == approx((0 + 1.1 + 1.2 + 3, 1.1 + 1.2 + 1, 33.1))
    together = simulate(THREE, "static", rows=2)
    assert together.padding == 10  # a prompt of 10 beside one of 20
    assert together.computed - together.useful - together.padding == 3  # two tokens are read; the other row has five
    alone = simulate(THREE, "dynamic", rows=3, max_wait=5, prefill_rate=100)
    assert alone.finish[0] == approx(5 + 1.4 + 4)  # waited five units for a third


def test_static_waits_for_ever() -> None:
    jobs = [Job(0.0, 1, 1), Job(100.0, 1, 1)]
    assert simulate(jobs, "static", rows=2).finish[0] > 100
    assert simulate(jobs, "dynamic", rows=2, max_wait=3).finish[0] < 5


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 999), st.floats(0.02, 2.0), st.integers(1, 9))
def test_what_holds_of_every_trace(seed, rate, rows) -> None:
    jobs = random_jobs(20, rate=rate, seed=seed)
    one, static, dynamic, continuous = (simulate(jobs, policy, rows=rows) for policy in POLICIES)
    for outcome in (one, static, dynamic, continuous):
        assert outcome.computed >= outcome.useful
        assert min(outcome.latencies) >= 1
        assert 0 <= outcome.waste < 1
        assert outcome.written == sum(job.output for job in jobs)
        assert outcome.latency(0.5) <= outcome.latency(0.95) <= max(outcome.latencies)
    assert one.waste == 0
    assert continuous.waste == 0
    assert one.steps == one.written
    assert continuous.steps <= one.steps
    if rows == 1:
        assert continuous.finish == pytest.approx(one.finish)


def test_the_simulation_takes_the_steps_of_the_scheduler() -> None:
    """With prompts that cost nothing, both clocks count iterations."""
    jobs = [Job(float(i * 3 % 11), 1 + i % 4, 1 + 7 * i % 9) for i in range(12)]
    jobs.sort(key=lambda job: job.arrival)
    model = gpt()
    some = [Request(prompt=ids(1, job.prompt)[0], max_new_tokens=job.output, arrival=int(job.arrival)) for job in jobs]
    found = serve(model, some, max_rows=3)
    outcome = simulate(jobs, "continuous", rows=3, prefill_rate=float("inf"))
    assert [one.last for one in found] == list(outcome.finish)


def test_traces_are_sorted_and_sensible() -> None:
    jobs = random_jobs(500, rate=0.5)
    assert all(a.arrival <= b.arrival for a, b in itertools.pairwise(jobs))
    assert jobs[0].arrival == 0
    assert {5, 60} >= {min(job.prompt for job in jobs), max(job.prompt for job in jobs)}
    assert 30 < sum(job.output for job in jobs) / 500 < 50
    assert jobs == random_jobs(500, rate=0.5)
    with pytest.raises(ValueError, match="jobs: expected at least one, sorted by arrival"):
        simulate(jobs[::-1], "static")
    for bad in ({"n": 0, "rate": 1.0}, {"n": 3, "rate": 0.0}):
        with pytest.raises(ValueError, match="n, rate: expected at least 1 and more than 0"):
            random_jobs(**bad)
    with pytest.raises(ValueError, match="policy: expected one of"):
        simulate(jobs, "magic")
    with pytest.raises(ValueError, match="jobs: expected at least one token to read and one to write"):
        simulate([Job(0.0, 3, 0)], "continuous")
    for named in ({"rows": 0}, {"prefill_rate": 0.0}):
        with pytest.raises(ValueError, match="rows, prefill_rate: expected at least 1 and more than 0"):
            simulate(jobs, "continuous", **named)


# Sliding windows with sinks

STREAMS = ["none", "t5", "alibi", "rope", "rope_pairs"]


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(STREAMS), st.integers(1, 8), st.integers(0, 4),
       st.lists(st.integers(1, 9), min_size=1, max_size=4))  # fmt: skip
def test_a_sliding_state_is_the_explicit_mask(positions, window, sinks, chunks) -> None:
    model = gpt(positions=positions, n_kv_heads=2)
    tokens = ids(2, sum(chunks), seed=window)
    assert properties.streaming_error(model, tokens, chunks, window=window, sinks=sinks) <= EXACT


def test_until_something_is_evicted_nothing_is_different() -> None:
    model, tokens = gpt(positions="rope"), ids(2, 9)
    for window, sinks in ((9, 0), (5, 4), (6, 5)):
        state = model.new_state(2, window=window, sinks=sinks)
        with torch.no_grad():
            torch.testing.assert_close(model.step(tokens, state), model(tokens), rtol=0, atol=EXACT)


def test_without_sinks_renumbering_changes_nothing() -> None:
    """Relative positions see distances only: a plain window mask gives the same."""
    model, tokens, n = gpt(positions="rope", n_layers=1), ids(2, 13), torch.arange(13)
    state = model.new_state(2, window=4)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        steps = model.step(tokens, state)
        plain = lambda query, key: ((key <= query[:, None]) & (key > query[:, None] - 4))[None, None]  # noqa: E731
        patch.setattr("tftutor.models.gpt.causal_mask", plain)
        assert plain(n, n).sum() == 4 * 13 - 6
        torch.testing.assert_close(steps, model(tokens), rtol=0, atol=EXACT)


def test_memory_is_constant() -> None:
    model = gpt(positions="rope")
    state = model.new_state(1, window=6, sinks=2)
    before = state.nbytes
    with torch.no_grad():
        for _ in range(3):
            model.step(ids(1, 50), state)
    assert state.lengths.tolist() == [150]  # all that was read, beyond the model's 40 positions
    assert state.nbytes == before == cache_bytes(n_layers=2, n_kv_heads=4, d_head=6, length=8, bytes_per_number=8)


def test_ragged_rows_slide_each_by_itself() -> None:
    model = gpt(positions="rope")
    rows, valid = ids(3, 12), torch.arange(12) < torch.tensor([12, 3, 7])[:, None]
    state = model.new_state(3, window=4, sinks=1)
    with torch.no_grad():
        together = model.step(rows, state, valid=valid)
    for b, length in enumerate([12, 3, 7]):
        alone = properties.streaming_reference(model, rows[b : b + 1, :length], window=4, sinks=1).detach()
        torch.testing.assert_close(together[b : b + 1, :length], alone, rtol=0, atol=EXACT)
    assert state.lengths.tolist() == [12, 3, 7]


def test_sliding_rows_leave_and_join() -> None:
    model = gpt(positions="alibi")
    one, two = (model.new_state(2, window=4, sinks=1) for _ in range(2))
    first, second = ids(2, 9), ids(2, 3, seed=4)
    with torch.no_grad():
        model.step(first, one)
        model.step(second, two)
        one.drop(torch.tensor([0]))
        one.admit(two)
        last = model.step(ids(3, 1, seed=8), one)
    texts: list[Tensor] = [first[1], second[0], second[1]]
    for b, text in enumerate(texts):
        whole = torch.cat([text, ids(3, 1, seed=8)[b]])[None]
        wanted = properties.streaming_reference(model, whole, window=4, sinks=1).detach()[0, -1]
        torch.testing.assert_close(last[b, 0], wanted, rtol=0, atol=EXACT)


def test_sliding_states_say_what_they_cannot_do() -> None:
    with pytest.raises(ValueError, match="window: expected a model with relative positions"):
        gpt(positions="learned").new_state(1, window=4)
    model = gpt(positions="rope")
    for window, sinks in ((0, 1), (4, -1), (39, 2)):
        with pytest.raises(ValueError, match="window, sinks: expected at least 1 and 0, together at most max_len=40"):
            model.new_state(1, window=window, sinks=sinks)
    state = model.new_state(1, window=4, sinks=1)
    for other in (model.new_state(1), model.new_state(1, window=3, sinks=2)):
        with pytest.raises(ValueError, match="other: expected a sliding state with window 4 and 1 sinks"):
            state.admit(other)
    with pytest.raises(ValueError, match=re.escape("split them by state.chunks(tokens, valid)")):
        state.place(ids(1, 6), None)
    with pytest.raises(ValueError, match="tokens: expected 1 rows as in the state, got 2"):
        state.place(ids(2, 1), None)
