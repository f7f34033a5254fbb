"""Exercise: attention whose cost grows with the length, not with its square."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, has_shape, named_case
from tftutor.meter import peak_bytes


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention with weights f(q_i) . f(k_j) / sum_m f(q_i) . f(k_m), f = elu + 1.

    q: (T, D).  k: (S, D).  v: (S, Dv).  No mask: every query reads all keys.
    Returns (T, Dv), without ever making a T x S matrix.
    """
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return (q @ (k.T @ v)) / (q @ k.sum(dim=0))[:, None]


def _cases(generator: torch.Generator) -> list[Case]:
    def draw(n_queries: int, n_keys: int, width: int, d_value: int) -> Case:
        shapes = ((n_queries, width), (n_keys, width), (n_keys, d_value))
        return named_case(**{name: torch.randn(*shape, generator=generator)
                             for name, shape in zip("qkv", shapes, strict=True)})  # fmt: skip

    return [draw(1, 2, 3, 4), draw(3, 5, 2, 4), draw(6, 4, 5, 3), draw(5, 9, 4, 7)]


def _average_of_equals(trial: Trial) -> Mismatch | None:
    """Equal values come out as they are: the weights add up to 1."""
    q, k, v = trial.args
    got = trial.call(q, k, torch.ones_like(v))
    off = float((got - 1).abs().max())
    return None if off < 1e-3 else Mismatch("values of 1 come out as 1", f"off by {off:.3g}")


def _no_table(trial: Trial) -> Mismatch | None:
    n_queries, n_keys = 600, 700
    q, k, v = (torch.full((n, 2), 0.1) for n in (n_queries, n_keys, n_keys))
    peak = peak_bytes(lambda: trial.call(q, k, v))
    table = 4 * n_queries * n_keys
    if peak < table / 4:
        return None
    return Mismatch(f"for {n_queries} queries and {n_keys} keys, far less than the {table:,} bytes of a table",
                    f"{peak:,} bytes at the peak")  # fmt: skip


def _variant(
    *, feature: Callable[[Tensor], Tensor] = lambda x: F.elu(x) + 1, on: str = "qk", below: str | None = None,
    divide: str = "sum",
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:  # fmt: skip
    """`linear` with a slip; `on` and `below`: what goes through the features above and below the line."""

    def variant(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        given = {"q": q, "k": k, "v": v}
        q, k, v = (feature(x) if name in on else x for name, x in given.items())
        mixed = q @ (k.T @ v)
        if below is not None:
            q, k = (feature(given[name]) if name in below else given[name] for name in "qk")
        return {
            "sum": lambda: mixed / (q @ k.sum(dim=0))[:, None],
            "none": lambda: mixed,
            "count": lambda: mixed / len(k),
            "root": lambda: mixed / k.shape[1] ** 0.5,
            "softmax": lambda: mixed.softmax(dim=-1),
            "all": lambda: mixed / (q @ k.sum(dim=0)).sum(),
            "row": lambda: mixed / mixed.sum(dim=-1, keepdim=True),
            "keys": lambda: mixed / k.sum(),
            "query": lambda: mixed / q.sum(dim=-1, keepdim=True),
            "product": lambda: mixed / (q.sum(dim=-1, keepdim=True) * k.sum()),
            "both": lambda: mixed / (q @ k.sum(dim=0))[:, None] / k.shape[1] ** 0.5,
        }[divide]()

    return variant


def _dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (F.elu(q) + 1) @ (F.elu(k) + 1).T
    return weights / weights.sum(dim=-1, keepdim=True) @ v


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = ((F.elu(q) + 1) @ (F.elu(k) + 1).T).tril()
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-9) @ v


def _over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (F.elu(q) + 1) @ (F.elu(k) + 1).T
    return weights / weights.sum(dim=0, keepdim=True) @ v


def _shared_features(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Memory divided row by row, then read with features that add up to 1."""
    return q @ ((k.T @ v) / k.sum(dim=0)[:, None]) / q.sum(dim=1, keepdim=True)


LINEAR = Exercise(
    id="efficient/linear",
    title="Linear attention",
    answer="linear",
    solution=linear,
    cases=_cases,
    properties=(
        has_shape("there is one row per query and one column per column of v", lambda q, _k, v: (len(q), v.shape[1])),
        Property(sentence="the weights of a query add up to 1", test=_average_of_equals,
                 hint="with all values equal to 1 the result is the sum of a query's weights: divide by what?"),
        equals("the weights are f(q) . f(k), divided by their sum", linear,
               hint="compute one weight by hand: which of q, k, v go through f, and what is the sum over?"),
        Property(sentence="no table of queries by keys is made", test=_no_table,
                 hint="a product of three matrices can be bracketed in two ways: which one needs no T x S matrix?"),
    ),
    wrong=(
        Wrong(name="through the table", answer=_dense, recognise=None,
              hint="the numbers are right, and so is the bill of dense attention: multiply f(k)^T and v first"),
        Wrong(name="not divided", answer=_variant(divide="none"),
              hint="the sum over keys is there and the division is missing: longer texts give larger outputs"),
        Wrong(name="divided by the number of keys", answer=_variant(divide="count"),
              hint="the weights of a query do not add up to the number of keys: their sum differs from query to query"),
        Wrong(name="divided by the root of the width", answer=_variant(divide="root"),
              hint="that is the scale of softmax attention; here the weights are divided by their sum"),
        Wrong(name="divided by both", answer=_variant(divide="both"),
              hint="a common factor on all weights would cancel in the division by their sum; yours comes after it"),
        Wrong(name="softmax at the end", answer=_variant(divide="softmax"),
              hint="the softmax runs over the columns of the result here: weights belong to keys, and there is no "
                   "exponential"),
        Wrong(name="one sum for all", answer=_variant(divide="all"),
              hint="every query has a sum of its own"),
        Wrong(name="rows of the result", answer=_variant(divide="row"),
              hint="you make the rows of the *result* add up to 1: it is the weights that should"),
        Wrong(name="sum of the keys only", answer=_variant(divide="keys"),
              hint="the sum of the weights of query i depends on f(q_i) as well"),
        Wrong(name="no features", answer=_variant(on=""),
              hint="without f weights can be negative, and their sum can come near 0"),
        Wrong(name="features of queries only", answer=_variant(on="q"),
              hint="keys go through f as well, else a weight can be negative"),
        Wrong(name="features of keys only", answer=_variant(on="k"),
              hint="queries go through f as well, else a weight can be negative"),
        Wrong(name="features of values too", answer=_variant(on="qkv"),
              hint="values are what is handed over: f decides about weights only"),
        Wrong(name="elu without the 1", answer=_variant(feature=F.elu),
              hint="elu alone goes down to -1: what makes it positive?"),
        Wrong(name="relu", answer=_variant(feature=lambda x: F.relu(x) + 1e-9),
              hint="a feature map, but another one: relu is 0 for every negative entry, elu(x) + 1 never is"),
        Wrong(name="exp", answer=_variant(feature=torch.exp),
              hint="exp is positive, but f is elu + 1 here; and exp(q) . exp(k) is not exp(q . k) either"),
        Wrong(name="softplus", answer=_variant(feature=F.softplus),
              hint="positive and smooth, but another function than elu(x) + 1"),
        Wrong(name="divided by the mean", answer=lambda q, k, v: linear(q, k, v) * len(k),
              hint="you divide by the mean over keys: then the weights add up to the number of keys"),
        Wrong(name="scaled inside", answer=lambda q, k, v: linear(q / q.shape[1] ** 0.5, k, v),
              hint="the root of the width stands inside f: there is no scale in this formula, and f is not linear"),
        Wrong(name="every feature normalised", answer=lambda q, k, v: (
            (F.elu(q) + 1) @ (((F.elu(k) + 1) / (F.elu(k) + 1).sum(dim=0)).T @ v)),
              hint="each feature is made to add up to 1 over the keys; asked is one sum for each query, over keys and "
                   "features"),
        Wrong(name="softmax over keys", answer=lambda q, k, v: q.softmax(dim=-1) @ (k.softmax(dim=0).T @ v),
              hint="linear in the length, but another method: queries are normalised over features, keys over text"),
        Wrong(name="features of the product", answer=lambda q, k, v: (
            (F.elu(q @ k.T) + 1) / (F.elu(q @ k.T) + 1).sum(dim=-1, keepdim=True)) @ v,
              hint="f of a product is not a product of f's: apply it to queries and keys before they meet"),
        Wrong(name="plain keys above", answer=_variant(on="q", below="qk"),
              hint="f(k) stands in both sums: above the line your keys have not gone through f"),
        Wrong(name="plain keys below", answer=_variant(below="q"),
              hint="f(k) stands in both sums: below the line your keys have not gone through f"),
        Wrong(name="plain queries above", answer=_variant(on="k", below="qk"),
              hint="f(q) stands above and below: above the line your queries have not gone through f"),
        Wrong(name="plain queries below", answer=_variant(below="k"),
              hint="f(q) stands above and below: below the line your queries have not gone through f"),
        Wrong(name="features above only", answer=_variant(below=""),
              hint="you divide by the sum of other weights than those you mix with: below the line nothing went "
                   "through f"),
        Wrong(name="features below only", answer=_variant(on="", below="qk"),
              hint="you divide by the sum of other weights than those you mix with: above the line nothing went "
                   "through f"),
        Wrong(name="sum of the query's features", answer=_variant(divide="query"),
              hint="you divide by the sum of a query's own features: where do the keys come in?"),
        Wrong(name="product of the sums", answer=_variant(divide="product"),
              hint="a sum of products is not the product of the sums: f(q) meets the summed keys feature by feature"),
        Wrong(name="three plain matrices", answer=_variant(on="", divide="none"),
              hint="the bracket is right; f and the division by the sum of the weights are missing"),
        Wrong(name="elu of x + 1", answer=_variant(feature=lambda x: F.elu(x + 1)),
              hint="the 1 is added after elu, not before: elu(x + 1) can be negative"),
        Wrong(name="relu + 1", answer=_variant(feature=lambda x: F.relu(x) + 1),
              hint="relu + 1 is flat for all negative entries; elu(x) + 1 goes on falling towards 0"),
        Wrong(name="sigmoid", answer=_variant(feature=torch.sigmoid),
              hint="positive, but another function than elu(x) + 1"),
        Wrong(name="a softmax over the products", answer=lambda q, k, v: (
            (F.elu(q) + 1) @ (F.elu(k) + 1).T).softmax(dim=-1) @ v,
              hint="the products of features are weights already: divide by their sum, and leave the exponential out"),
        Wrong(name="unscaled softmax", answer=lambda q, k, v: (q @ k.T).softmax(dim=-1) @ v,
              hint="this is softmax attention, without its scale: here f takes the place of the exponential"),
        Wrong(name="feature by feature", answer=lambda q, k, v: _shared_features(F.elu(q) + 1, F.elu(k) + 1, v),
              hint="each feature is averaged on its own, over the keys and then over the query's features: asked is "
                   "one sum, below the line, for each query"),
        Wrong(name="softmax features", answer=_variant(feature=lambda x: x.softmax(dim=-1)),
              hint="a softmax over features is another feature map; the task asks for elu + 1"),
        Wrong(name="softmax attention", answer=lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).softmax(dim=-1) @ v,
              hint="this is softmax attention, which cannot be bracketed differently: that is why f is there"),
        Wrong(name="causal", answer=_causal, hint="there is no mask in this one: every query reads all keys"),
        Wrong(name="summed over queries", answer=_over_queries,
              hint="you divide by the sum over queries: each query's weights over its keys should add up to 1"),
        Wrong(name="the memory itself", answer=lambda _q, k, v: (F.elu(k) + 1).T @ v,
              hint="this is the memory, one row per feature: each query has yet to read it"),
        Wrong(name="plain average", answer=lambda q, _k, v: v.mean(dim=0).expand(len(q), -1),
              hint="every query gets the same here: where do q and k come in?"),
    ),
    notice="k^T v is D x Dv, whatever the number of keys: a memory of fixed size, read by every query.",
)  # fmt: skip
