"""Exercise: causal linear attention that carries a state from token to token."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, has_shape, named_case
from tftutor.meter import peak_bytes


def recurrent(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal linear attention, one token after another.

    Token t reads all tokens s <= t with weights q_t . k_s, divided by their sum.

    q, k: (T, D), all positive: the features are applied already.  v: (T, Dv).
    Returns (T, Dv), without ever making a T x T matrix.
    """
    memory = torch.zeros(k.shape[1], v.shape[1])
    total = torch.zeros(k.shape[1])
    outputs = []
    for q_t, k_t, v_t in zip(q, k, v, strict=True):
        memory = memory + torch.outer(k_t, v_t)
        total = total + k_t
        outputs.append(q_t @ memory / (q_t @ total))
    return torch.stack(outputs)


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(length: int, width: int, d_value: int) -> Case:
        q, k = (0.1 + torch.rand(length, width, generator=generator) for _ in range(2))
        return named_case(q=q, k=k, v=torch.randn(length, d_value, generator=generator))

    return [draw(2, 3, 4), draw(5, 2, 3), draw(7, 4, 6), draw(9, 5, 2)]


def _average_of_equals(trial: Trial) -> Mismatch | None:
    """Equal values come out as they are: the weights add up to 1."""
    q, k, v = trial.args
    off = float((trial.call(q, k, torch.ones_like(v)) - 1).abs().max())
    return None if off < 1e-3 else Mismatch("values of 1 come out as 1", f"off by {off:.3g}")


def _first_is_itself(trial: Trial) -> Mismatch | None:
    *_, v = trial.args
    off = float((trial.output[0] - v[0]).abs().max())
    return None if off < 1e-3 else Mismatch("the first token, which has only itself, receives its own value",
                                            f"off by {off:.3g}")  # fmt: skip


def _no_table(trial: Trial) -> Mismatch | None:
    length = 160
    q, k, v = (torch.full((length, 2), 0.1) for _ in range(3))
    peak, table = peak_bytes(lambda: trial.call(q, k, v)), 4 * length**2
    if peak < table / 4:
        return None
    return Mismatch(f"for {length} tokens, far less than the {table:,} bytes of a table", f"{peak:,} bytes at the peak")


def _variant(
    *, divide: str = "sum", late: bool = False, keep: float = 1.0, keep_total: float | None = None, mean: bool = False,
    first: int = 0,
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:  # fmt: skip
    """`recurrent` with a slip."""

    def variant(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        memory, total, outputs = torch.zeros(k.shape[1], v.shape[1]), torch.zeros(k.shape[1]), []
        weights, queries = torch.zeros(()), torch.zeros(k.shape[1])
        if first:
            memory, total = torch.outer(k[0], v[0]), k[0]
        for t, (q_t, k_t, v_t) in enumerate(zip(q, k, v, strict=True)):
            weights, queries = weights + q_t @ k_t, queries + q_t
            new = keep * memory + torch.outer(k_t, v_t), (keep if keep_total is None else keep_total) * total + k_t
            if mean:
                new = (memory * t + torch.outer(k_t, v_t)) / (t + 1), total + k_t
            if not late:
                memory, total = new
            mixed = q_t @ memory
            outputs.append({
                "sum": lambda mixed=mixed, q_t=q_t, total=total: mixed / (q_t @ total),
                "none": lambda mixed=mixed: mixed,
                "count": lambda mixed=mixed, t=t: mixed / (t + 1),
                "root": lambda mixed=mixed: mixed / k.shape[1] ** 0.5,
                "keys": lambda mixed=mixed, total=total: mixed / total.sum(),
                "now": lambda mixed=mixed, q_t=q_t, k_t=k_t: mixed / (q_t @ k_t),
                "rows": lambda q_t=q_t, memory=memory, total=total: q_t @ (memory / total[:, None]),
                "own": lambda mixed=mixed, weights=weights: mixed / weights,
                "queries": lambda mixed=mixed, q_t=q_t, queries=queries: mixed / (q_t @ queries),
                "length": lambda mixed=mixed: F.normalize(mixed, dim=0),
                "end": lambda mixed=mixed, q_t=q_t: mixed / (q_t @ k.sum(dim=0)),
            }[divide]())  # fmt: skip
            memory, total = new
        return torch.stack(outputs)

    return variant


def _small_number(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Reads before it writes, and hides the division by 0 of the first token."""
    memory, total, outputs = torch.zeros(k.shape[1], v.shape[1]), torch.zeros(k.shape[1]), []
    for q_t, k_t, v_t in zip(q, k, v, strict=True):
        outputs.append(q_t @ memory / (q_t @ total + 1e-6))
        memory, total = memory + torch.outer(k_t, v_t), total + k_t
    return torch.stack(outputs)


def _table(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.T).tril()
    return weights / weights.sum(dim=-1, keepdim=True) @ v


def _sees_all(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q @ (k.T @ v) / (q @ k.sum(dim=0))[:, None]


def _softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    hidden = torch.ones(len(q), len(q)).triu(1).bool()
    return (q @ k.T / q.shape[1] ** 0.5).masked_fill(hidden, float("-inf")).softmax(dim=-1) @ v


RECURRENT = Exercise(
    id="beyond/recurrent",
    title="Linear attention, token by token",
    answer="recurrent",
    solution=recurrent,
    cases=_cases,
    properties=(
        has_shape("there is one row per token and one column per column of v", lambda q, _k, v: (len(q), v.shape[1])),
        Property(sentence="the first token receives its own value", test=_first_is_itself,
                 hint="follow the first token through your loop: what do memory and sum hold when it reads, and what "
                      "is divided by what?"),
        Property(sentence="the weights of a token add up to 1", test=_average_of_equals,
                 hint="with all values equal to 1 the result is the sum of the weights: what do you divide by?"),
        equals("token t reads all tokens up to t, each with weight q . k over their sum", recurrent,
               hint="write down memory and sum after the second token by hand, and compare"),
        Property(sentence="no table of tokens by tokens is made", test=_no_table,
                 hint="the state is a D x Dv matrix and a vector of D numbers: nothing in it counts tokens"),
    ),
    wrong=(
        Wrong(name="features again", answer=lambda q, k, v: recurrent(F.elu(q) + 1, F.elu(k) + 1, v),
              hint="q and k are features already: elu + 1 is applied a second time here"),
        Wrong(name="last token only", answer=lambda q, k, v: recurrent(q, k, v)[-1],
              hint="this is the output of the last token: every token has one, read when its turn comes"),
        Wrong(name="division by nothing hidden", answer=_small_number,
              hint="a small number in the divisor hides that the first token finds nothing: write first, then read"),
        Wrong(name="no normaliser", answer=_variant(divide="none"),
              hint="the memory is read and nothing is divided: outputs grow with the length of the text"),
        Wrong(name="update after read", answer=_variant(late=True),
              hint="the token reads before it has written: it misses itself, and the first one finds nothing at all"),
        Wrong(name="update after read, no normaliser", answer=_variant(late=True, divide="none"),
              hint="two things: the token reads before it has written, and the weights are not divided by their sum"),
        Wrong(name="divided by the count", answer=_variant(divide="count"),
              hint="the number of tokens is not the sum of their weights: the weights are q . k, not 1"),
        Wrong(name="divided by the root", answer=_variant(divide="root"),
              hint="a root of the width scales the scores of softmax attention; here weights are divided by their sum"),
        Wrong(name="sum of keys only", answer=_variant(divide="keys"),
              hint="what you divide by is the same for every query: the sum of the weights depends on the query too"),
        Wrong(name="divided by its own weight", answer=_variant(divide="now"),
              hint="you divide by the weight of the newest token: it is the sum over all tokens so far that counts"),
        Wrong(name="sum over the whole text", answer=_variant(divide="end"),
              hint="the divisor knows tokens that come later: it has to grow with the memory, token by token"),
        Wrong(name="memory overwritten", answer=_variant(keep=0.0, keep_total=1.0),
              hint="each token replaces what the memory held, while the sum of the keys goes on"),
        Wrong(name="running mean", answer=_variant(mean=True),
              hint="the memory is a mean here and the other sum is a sum: the division counts the tokens twice"),
        Wrong(name="through a table", answer=_table,
              hint="the numbers are right, from a table of all pairs: the exercise is to get them without one"),
        Wrong(name="sees the future", answer=_sees_all,
              hint="every token reads the memory of the whole text: what does the first one see in yours?"),
        Wrong(name="softmax", answer=_softmax,
              hint="this is softmax attention with a causal mask: exponentials cannot be summed up in a state of fixed "
                   "size"),
        Wrong(name="memory divided row by row", answer=_variant(divide="rows"),
              hint="each row of the memory is divided by its own sum of keys: the weights of a query need one divisor, "
                   "which the query has a part in"),
        Wrong(name="weights of earlier queries", answer=_variant(divide="own"),
              hint="the divisor adds up what earlier queries gave to themselves: this query weighs all keys anew"),
        Wrong(name="sum of queries", answer=_variant(divide="queries"),
              hint="the other sum adds up queries here: it is keys that are stored, and weighed by the query"),
        Wrong(name="output of length one", answer=_variant(divide="length"),
              hint="the output is brought to length 1: what has to be 1 is the sum of the weights"),
        Wrong(name="first token twice", answer=_variant(first=1),
              hint="the first token is in the memory twice: once from the start, once from the loop"),
        Wrong(name="fading", answer=_variant(keep=0.9),
              hint="the state fades with every token here, as in retention: linear attention keeps everything"),
        Wrong(name="read with the key", answer=lambda q, k, v: recurrent(k, k, v),
              hint="the token reads with its key: it is the query that asks"),
        Wrong(name="queries and keys exchanged", answer=lambda q, k, v: recurrent(k, q, v),
              hint="queries are stored and keys ask: which of the two describes what a token has to offer?"),
        Wrong(name="exponentials as features", answer=lambda q, k, v: recurrent(q.exp(), k.exp(), v),
              hint="an exponential was applied: q and k are features already"),
        Wrong(name="from the end", answer=lambda q, k, v: recurrent(q.flip(0), k.flip(0), v.flip(0)).flip(0),
              hint="your loop runs from the last token to the first, so that tokens see what comes after them"),
        Wrong(name="an axis too many", answer=lambda q, k, v: recurrent(q, k, v)[:, None],
              hint="the numbers are right; each row has an axis of length 1 too many"),
        Wrong(name="transposed", answer=lambda q, k, v: recurrent(q, k, v).T,
              hint="the numbers are right, and columns stand for tokens: rows should"),
        Wrong(name="values of the newest token", answer=lambda q, k, v: v.clone(),
              hint="each token receives its own value: where are those before it?"),
    ),
    notice="The state is D x Dv numbers and D more, after ten tokens or ten million: a recurrent network.",
)  # fmt: skip
