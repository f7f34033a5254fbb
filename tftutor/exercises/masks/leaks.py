"""Exercise: which of these models sees the future? Black boxes, to be tried and not to be read."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tftutor.attention import attend
from tftutor.exercises.exercise import Case, Exercise, Wrong, equals
from tftutor.exercises.values import read_bool

N_IDS, WIDTH = 11, 8

# Kind -> the rule (query, key) -> may look, and whether it sees the future.
KINDS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], bool]] = {
    "causal": (lambda q, k: k <= q, False),
    "no mask": (lambda q, k: k >= 0, True),
    "window": (lambda q, k: (k <= q) & (k > q - 2), False),
    "one ahead": (lambda q, k: k <= q + 1, True),
    "prefix": (lambda q, k: (k <= q) | (k < 3), True),  # a leak among the first three only
    "statistics": (lambda q, k: k <= q, True),  # the mask is right, a mean over time is not
    "every second": (lambda q, k: (q - k) % 2 == 0, True),  # both sides, never the next token
    "late": (lambda q, k: (k <= q) | ((q >= 2) & (k == q + 1)), True),  # the first two outputs are honest
}


class Suspect(nn.Module):
    """A language model of one layer: token ids (B, T) to logits (B, T, 11)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._rule, self._averages = KINDS[kind][0], kind == "statistics"
        generator = torch.Generator().manual_seed(0)
        self.embed = nn.Parameter(torch.randn(N_IDS, WIDTH, generator=generator))
        self.mix = nn.Parameter(torch.randn(WIDTH, WIDTH, generator=generator) * WIDTH**-0.5)
        self.requires_grad_(False).eval()

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next token at each position."""
        pos = torch.arange(tokens.shape[1])
        x = self.embed[tokens]  # (B, T, D)
        q = x @ self.mix
        heads = attend(q[:, None], x[:, None], x[:, None], mask=self._rule(pos[:, None], pos)[None, None])[:, 0]
        x = x + heads
        if self._averages:
            x = x + 1e-3 * x.mean(dim=1, keepdim=True)
        return x @ self.embed.T


def leaks(model: nn.Module, tokens: Tensor) -> bool:
    """Does any output depend on a token that comes later?

    model: token ids (B, T) to logits (B, T, V); the logits at t predict
    token t + 1 and may depend on tokens 0 to t only.
    tokens: ids (B, T), from 0 to 10.
    Returns True if the model sees the future. Try it, do not read it.
    """
    before = model(tokens)
    for s in range(1, tokens.shape[1]):
        other = tokens.clone()
        other[:, s] = (other[:, s] + 1) % 11
        if not torch.equal(model(other)[:, :s], before[:, :s]):
            return True
    return False


def _suspects(generator: torch.Generator) -> list[Case]:
    cases = []
    for i, kind in enumerate(KINDS):
        tokens = torch.randint(N_IDS, (2, 6 + i % 3), generator=generator)
        cases.append(Case((Suspect(kind), tokens), f"model {i + 1} of {len(KINDS)}, tokens {tuple(tokens.shape)}"))
    return cases


def _truth(model: Suspect, _tokens: Tensor) -> bool:
    return next(sees for rule, sees in KINDS.values() if rule is model._rule)


def _change(tokens: Tensor, s: int) -> Tensor:
    """The tokens with another one at s."""
    return torch.where(torch.arange(tokens.shape[1]) == s, (tokens + 1) % N_IDS, tokens)


def _any_output_moves(model: nn.Module, tokens: Tensor) -> bool:
    return not torch.equal(model(_change(tokens, 0)), model(tokens))


def _only_the_last(model: nn.Module, tokens: Tensor) -> bool:
    return not torch.equal(model(_change(tokens, tokens.shape[1] - 1))[:, :-1], model(tokens)[:, :-1])


def _neighbours_only(model: nn.Module, tokens: Tensor) -> bool:
    before = model(tokens)
    return any(
        not torch.equal(model(_change(tokens, s))[:, s - 1], before[:, s - 1]) for s in range(1, tokens.shape[1])
    )


def _wide_tolerance(model: nn.Module, tokens: Tensor) -> bool:
    before = model(tokens)
    return any(bool((model(_change(tokens, s)) - before)[:, :s].abs().max() > 0.1) for s in range(1, tokens.shape[1]))


def _first_output_only(model: nn.Module, tokens: Tensor) -> bool:
    before = model(tokens)
    return any(not torch.equal(model(_change(tokens, s))[:, 0], before[:, 0]) for s in range(1, tokens.shape[1]))


def _best_guess_only(model: nn.Module, tokens: Tensor) -> bool:
    before = model(tokens).argmax(dim=-1)
    return any(
        not torch.equal(model(_change(tokens, s)).argmax(dim=-1)[:, :s], before[:, :s])
        for s in range(1, tokens.shape[1])
    )


def _no_wrap_around(model: nn.Module, tokens: Tensor) -> bool:
    before = model(tokens)
    for s in range(1, tokens.shape[1]):
        other = tokens.clone()
        other[:, s] += 1
        if not torch.equal(model(other)[:, :s], before[:, :s]):
            return True
    return False


FIND_LEAK = Exercise(
    id="masks/find-leak",
    title="Catch the model that sees the future",
    answer="leaks",
    solution=leaks,
    cases=_suspects,
    read=read_bool,
    properties=(
        equals(
            "the verdict is right: leak or no leak",
            _truth,
            hint="change one token at a time, all of them in turn, and compare the outputs before it, to the last bit; "
            "True is the verdict on a model that sees the future",
        ),
    ),
    wrong=(
        Wrong(
            name="any output moves",
            answer=_any_output_moves,
            hint="this suspects every model: outputs at and after the changed token are meant to move, and which are "
            "not?",
        ),
        Wrong(
            name="only the last token",
            answer=_only_the_last,
            hint="you change the end of the text only; a leak may sit among the first few tokens, as with a prompt "
            "that sees all of itself",
        ),
        Wrong(
            name="neighbours only",
            answer=_neighbours_only,
            hint="you look one step back from the changed token; a model may skip its neighbour and peek further ahead",
        ),
        Wrong(
            name="wide tolerance",
            answer=_wide_tolerance,
            hint="your tolerance lets small leaks pass: inputs of one shape give the same bits for what did not "
            "change, so how much difference is honest?",
        ),
        Wrong(
            name="never",
            answer=lambda model, tokens: False,
            hint="this acquits every model: does it compare two different inputs at all?",
        ),
        Wrong(
            name="first output only",
            answer=_first_output_only,
            hint="you watch the first output only; a model may behave there and look ahead later on",
        ),
        Wrong(
            name="best guess only",
            answer=_best_guess_only,
            hint="a small leak need not change which token is the likeliest: compare the logits themselves",
        ),
        Wrong(
            name="ids beyond the last",
            answer=_no_wrap_around,
            hint="there is no token after id 10: when you replace a token, stay within the ids that exist",
        ),
    ),
    notice="Not one line of the models was read. The same test finds leaks through norms, convolutions or data "
    "preparation.",
)
