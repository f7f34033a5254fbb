"""Continuous batching: requests join and leave a running batch between any two steps of the model.

Source: Yu et al. 2022, "Orca", section 3 (iteration-level scheduling); prompts read in chunks beside rows that
write: Agrawal et al. 2024, "Sarathi-Serve", section 4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tftutor.checks import expect_tokens
from tftutor.decoding import inference
from tftutor.models import GPT


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt to be continued."""

    prompt: Tensor  # ids (T,), at least one
    max_new_tokens: int
    eos_id: int | None = None  # ends the text when it is written
    arrival: int = 0  # the iteration before which it comes in
    temperature: float = 0.0  # 0: the most likely token
    seed: int = 0  # of its own random numbers: a text does not depend on its neighbours


class Finished(NamedTuple):
    """A request that has been served."""

    id: int
    tokens: Tensor  # (N,) new tokens, the end mark included
    first: int  # the iteration that wrote its first token, counted from 1
    last: int  # the iteration that wrote its last token


@dataclass
class _Row:
    """A request in the batch."""

    id: int
    request: Request
    unread: Tensor  # ids the model has not read yet: the rest of the prompt, or the token written last
    draw: torch.Generator
    written: list[int] = field(default_factory=list)
    first: int = 0

    @property
    def done(self) -> bool:
        request = self.request
        ended = bool(self.written) and self.written[-1] == request.eos_id
        return ended or len(self.written) == request.max_new_tokens


class Scheduler:
    """Serves requests in the order in which they come, at most `max_rows` at a time.

    Every iteration is one `model.step`. A row reads what it has not read yet: its prompt, at most `chunk` tokens of it
    at a time, or the token it wrote last; a row that has read everything writes a token. Rows differ in length, so
    each has its own positions and its own mask, which the state keeps (`DecoderState`).

    Args:
        model: what writes; in evaluation mode while it does.
        max_rows: requests in the batch at the same time.
        chunk: most prompt tokens a row reads in one iteration; None: the whole prompt.
    """

    def __init__(self, model: GPT, *, max_rows: int, chunk: int | None = None) -> None:
        if max_rows < 1:
            raise ValueError(f"max_rows: expected at least 1, got {max_rows}")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk: expected at least 1 token or None, got {chunk}")
        self.model = model
        self.max_rows = max_rows
        self.chunk = chunk
        self.iterations = 0  # steps of the model so far
        self.computed = 0  # tokens that passed through the model, padding included
        self.useful = 0  # of these, real ones
        self._waiting: deque[_Row] = deque()
        self._rows: list[_Row] = []  # in the order of the rows of the state
        self._state = model.new_state(0)
        self._n_seen = 0

    @property
    def busy(self) -> bool:
        """Whether anybody waits or is being served."""
        return bool(self._waiting or self._rows)

    def submit(self, request: Request) -> int:
        """Take a request in; returns its id: 0, 1, 2, ... in the order of submission."""
        _expect_servable(request, self.model)
        draw = torch.Generator(device=request.prompt.device).manual_seed(request.seed)
        self._waiting.append(_Row(self._n_seen, request, request.prompt, draw))
        self._n_seen += 1
        return self._n_seen - 1

    def step(self) -> list[Finished]:
        """One iteration: who waits joins while there is room, every row moves on, who is done leaves."""
        with inference(self.model):
            self._admit()
            if not self._rows:
                return []
            self.iterations += 1
            logits = self._read()
        for row, row_logits in zip(self._rows, logits, strict=True):
            if not len(row.unread):
                self._write(row, row_logits)
        return self._retire()

    def _admit(self) -> None:
        """New rows start with an empty past; they read their prompts in the same steps in which others write."""
        n_new = min(self.max_rows - len(self._rows), len(self._waiting))
        if n_new:
            self._rows += [self._waiting.popleft() for _ in range(n_new)]
            self._state.admit(self.model.new_state(n_new))

    def _read(self) -> Tensor:
        """One step of the model for all rows: logits (B, V) after the last token that each has read."""
        parts = [row.unread[: self.chunk] for row in self._rows]
        lengths = torch.tensor([len(part) for part in parts], device=parts[0].device)
        tokens = pad_sequence(parts, batch_first=True)  # (B, T)
        valid = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        logits = self.model.step(tokens, self._state, valid=valid)
        for row, part in zip(self._rows, parts, strict=True):
            row.unread = row.unread[len(part) :]
        self.computed += tokens.numel()
        self.useful += int(lengths.sum())
        return logits[torch.arange(len(parts), device=tokens.device), lengths - 1]

    def _write(self, row: _Row, logits: Tensor) -> None:
        """Choose the next token of a row from logits (V,)."""
        if row.request.temperature == 0:
            token = logits.argmax(dim=-1, keepdim=True)  # (1,)
        else:
            probs = (logits / row.request.temperature).softmax(dim=-1)
            token = torch.multinomial(probs, 1, generator=row.draw)
        row.written.append(int(token))
        row.unread = token
        row.first = row.first or self.iterations

    def _retire(self) -> list[Finished]:
        """Rows that are done leave the batch and the state; the others keep their order in both."""
        done = [i for i, row in enumerate(self._rows) if row.done]
        if not done:
            return []
        finished = [_finish(self._rows[i], self.iterations) for i in done]
        self._rows = [row for row in self._rows if not row.done]
        self._state.drop(torch.tensor(done, device=self._state.lengths.device))
        return finished


def _expect_servable(request: Request, model: GPT) -> None:
    """Raise unless `model` can serve `request` from its first token to its last."""
    if request.prompt.ndim != 1 or not len(request.prompt):
        raise ValueError(f"prompt: expected ids (T,), at least one, got shape {tuple(request.prompt.shape)}")
    expect_tokens("prompt", request.prompt[None], model.cfg.vocab_size)
    if request.max_new_tokens < 1:
        raise ValueError(f"max_new_tokens: expected at least 1, got {request.max_new_tokens}")
    n_prompt, limit = len(request.prompt), model.cfg.max_len
    if n_prompt + request.max_new_tokens - 1 > limit:  # the last token is written and not read
        raise ValueError(f"prompt, max_new_tokens: expected at most {limit + 1} tokens together with max_len={limit}, "
                         f"got {n_prompt} + {request.max_new_tokens}")  # fmt: skip
    if not request.temperature >= 0:
        raise ValueError(f"temperature: expected 0 or more, got {request.temperature}")


def _finish(row: _Row, iteration: int) -> Finished:
    return Finished(row.id, torch.tensor(row.written, device=row.request.prompt.device), row.first, iteration)


def serve(model: GPT, requests: Sequence[Request], *, max_rows: int, chunk: int | None = None) -> list[Finished]:
    """Run a scheduler until all requests are served; they come in at their `arrival`. Results in their order.

    An iteration in which nobody is there to be served costs the model nothing, and still counts as time. A request
    that cannot be served is refused before anything is computed.
    """
    for request in requests:
        _expect_servable(request, model)
    scheduler = Scheduler(model, max_rows=max_rows, chunk=chunk)
    order = sorted(range(len(requests)), key=lambda i: requests[i].arrival)
    coming, found, clock, idle = deque(order), {}, 0, 0
    while coming or scheduler.busy:
        while coming and requests[coming[0]].arrival <= clock:
            scheduler.submit(requests[coming.popleft()])
        before = scheduler.iterations
        for one in scheduler.step():
            found[order[one.id]] = one._replace(id=order[one.id], first=one.first + idle, last=one.last + idle)
        idle += scheduler.iterations == before
        clock += 1
    return [found[i] for i in range(len(requests))]
