"""Batching without a model: what a trace of requests takes under four policies.

The clock assumes what makes batching pay (Yu et al. 2022, section 2; Kwon et al. 2023, section 2): a step reads all
weights whatever the number of rows, so it takes one unit of time for one row or for many; reading prompts is bound by
arithmetic, so it takes time in proportion to the tokens, padding included.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from tftutor.checks import expect_choice

POLICIES = ("one at a time", "static", "dynamic", "continuous")


class Job(NamedTuple):
    """A request as the simulation sees it."""

    arrival: float
    prompt: int  # tokens to read
    output: int  # tokens it will write, at least one; nobody knows it beforehand


@dataclass(frozen=True)
class Outcome:
    """What became of a trace."""

    policy: str
    finish: tuple[float, ...]  # when each job wrote its last token, in the order of the jobs
    latencies: tuple[float, ...]  # finish minus arrival
    steps: int  # of the model
    computed: int  # row-steps and prompt tokens computed, padding and finished rows included
    useful: int  # of these, the ones somebody needed
    padding: int  # of these, prompts filled up to the longest of their batch; the rest is rows that were done
    written: int  # tokens

    @property
    def throughput(self) -> float:
        """Tokens written per unit of time, from the first arrival (at 0) to the last token."""
        return self.written / max(self.finish)

    @property
    def waste(self) -> float:
        """Share of what was computed that nobody needed."""
        return 1 - self.useful / self.computed

    def latency(self, share: float = 0.5) -> float:
        """The time within which this share of all jobs was done after they had come in (nearest rank)."""
        ordered = sorted(self.latencies)
        return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def random_jobs(n: int, *, rate: float, seed: int = 0, max_output: int = 200) -> list[Job]:
    """Jobs that come at random, `rate` a unit of time, prompts of 5 to 60 tokens, mostly short outputs and a few long.

    Gaps are exponential; outputs are geometric with mean 40, at most `max_output`.
    """
    if n < 1 or not rate > 0:
        raise ValueError(f"n, rate: expected at least 1 and more than 0, got {n}, {rate}")
    draw = torch.Generator().manual_seed(seed)
    uniform = torch.rand(2, n, generator=draw, dtype=torch.float64)
    exponential = -torch.log1p(-uniform)  # by inverse transform: the same numbers on every processor
    gaps = exponential[0] / rate
    gaps[0] = 0.0
    outputs = (exponential[1] / -math.log1p(-1 / 40)).ceil().clamp(1, max_output).long()
    prompts = torch.randint(5, 61, (n,), generator=draw)
    return [Job(*row) for row in zip(gaps.cumsum(0).tolist(), prompts.tolist(), outputs.tolist(), strict=True)]


def simulate(
    jobs: Sequence[Job], policy: str, *, rows: int = 8, max_wait: float = 20.0, prefill_rate: float = 100.0
) -> Outcome:
    """Serve `jobs`, sorted by arrival, first come first served.

    Args:
        jobs: the trace.
        policy: "one at a time"; "static": batches of `rows`, each waits until it is full; "dynamic": a batch starts
            when it is full or its first job has waited `max_wait`; in both, a batch runs until its longest job is done;
            "continuous": jobs join and leave between steps.
        rows: most jobs in a batch.
        max_wait: for "dynamic".
        prefill_rate: prompt tokens read in a unit of time.
    """
    expect_choice("policy", policy, POLICIES)
    if not jobs or any(a.arrival > b.arrival for a, b in itertools.pairwise(jobs)):
        raise ValueError("jobs: expected at least one, sorted by arrival")
    if any(job.prompt < 1 or job.output < 1 for job in jobs):
        raise ValueError("jobs: expected at least one token to read and one to write in each")
    if rows < 1 or not prefill_rate > 0:
        raise ValueError(f"rows, prefill_rate: expected at least 1 and more than 0, got {rows}, {prefill_rate}")
    if policy == "continuous":
        finish, steps, computed = _continuous(jobs, rows, prefill_rate)
        padding = 0
    else:
        size = 1 if policy == "one at a time" else rows
        wait = {"one at a time": 0.0, "static": math.inf, "dynamic": max_wait}[policy]
        finish, steps, computed, padding = _in_batches(jobs, size, wait, prefill_rate)
    latencies = tuple(end - job.arrival for end, job in zip(finish, jobs, strict=True))
    useful = sum(job.prompt + job.output - 1 for job in jobs)  # the prompt's step writes the first token
    written = sum(job.output for job in jobs)
    return Outcome(policy, tuple(finish), latencies, steps, computed, useful, padding, written)


def _in_batches(jobs: Sequence[Job], size: int, wait: float, prefill_rate: float) -> tuple[list[float], int, int, int]:
    finish, clock, steps, computed, padding, start = [], 0.0, 0, 0, 0, 0
    while start < len(jobs):
        full = jobs[min(start + size, len(jobs)) - 1].arrival  # the last batch is full when nobody is left to come
        clock = max(clock, jobs[start].arrival, min(full, jobs[start].arrival + wait))
        batch = [job for job in jobs[start : start + size] if job.arrival <= clock]
        longest = max(job.output for job in batch)
        read = len(batch) * max(job.prompt for job in batch)
        first = clock + 1 + read / prefill_rate
        finish += [first + job.output - 1 for job in batch]
        clock = first + longest - 1  # the batch leaves together
        steps += longest
        computed += read + len(batch) * (longest - 1)
        padding += read - sum(job.prompt for job in batch)
        start += len(batch)
    return finish, steps, computed, padding


def _continuous(jobs: Sequence[Job], rows: int, prefill_rate: float) -> tuple[list[float], int, int]:
    finish, clock, steps, computed = [0.0] * len(jobs), 0.0, 0, 0
    waiting, left = deque(range(len(jobs))), {}  # left: tokens still to be written by the jobs in the batch
    while waiting or left:
        if not left:
            clock = max(clock, jobs[waiting[0]].arrival)
        writing, read = len(left), 0
        while waiting and len(left) < rows and jobs[waiting[0]].arrival <= clock:
            i = waiting.popleft()
            left[i] = jobs[i].output
            read += jobs[i].prompt
        clock += 1 + read / prefill_rate
        steps += 1
        computed += writing + read
        left = {i: n - 1 for i, n in left.items()}
        for i in [i for i, n in left.items() if n == 0]:
            finish[i] = clock
            del left[i]
    return finish, steps, computed
