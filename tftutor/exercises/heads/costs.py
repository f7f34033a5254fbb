"""Exercises: what depends on the number of heads, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, is_option, named_case
from tftutor.exercises.values import Trouble, read_choice, show

# A layer of width 512 with one head is cut into 8 heads of width 64.  (a) It has 8 times the parameters; (b) the scores
# take an eighth of the multiplications, since each head is an eighth as wide; (c) nothing at all changes; (d) there are
# 8 times as many attention weights, parameters and multiplications stay as they were.
PREDICT_EIGHT_HEADS = Exercise(
    id="heads/predict-eight-heads",
    title="Predict: one head becomes eight",
    answer="prediction",
    solution="d",
    takes="value",
    read=read_choice,
    properties=(is_option("d", "abcd"),),
    wrong=(
        Wrong(
            name="a: parameters",
            answer="a",
            hint="there are eight times as many heads, and what becomes of the size of each one's matrices?",
        ),
        Wrong(
            name="b: cheaper scores",
            answer="b",
            hint="one head's table of scores costs an eighth, and how many such tables are there now?",
        ),
        Wrong(
            name="c: nothing",
            answer="c",
            hint="nearly: count the entries of the tables that go through the softmax",
        ),
    ),
    notice="Heads are free in parameters and in multiplications; the tables of weights are what grows.",
)


def attention_costs(d_model: int, n_heads: int, n_tokens: int) -> tuple[int, int, int]:
    """What a layer of self-attention with heads of width d_model / n_heads needs.

    Returns three whole numbers for one sequence of n_tokens:
    parameters (W_Q, W_K, W_V, W_O, each with a bias vector);
    multiplications to compute the scores of all heads;
    attention weights of all heads.
    """
    parameters = 4 * (d_model * d_model + d_model)
    multiplications = n_tokens * n_tokens * d_model
    return parameters, multiplications, n_heads * n_tokens * n_tokens


def _costs_cases(_generator: torch.Generator) -> list[Case]:
    sizes = ((6, 1, 4), (6, 2, 4), (6, 3, 5), (12, 4, 7), (12, 2, 7), (64, 16, 10), (512, 8, 100))
    return [named_case(d_model=d, n_heads=h, n_tokens=t) for d, h, t in sizes]


def _read_counts(value: Any) -> tuple[int, ...]:
    try:
        counts = tuple(int(item) for item in value)
        whole = len(counts) == 3 and all(count == float(item) for count, item in zip(counts, value, strict=True))
    except Exception:  # anything else
        whole = False
    if not whole:
        raise Trouble("returns the wrong kind of thing", "return the three counts, separated by commas",
                      expected="three whole numbers", got=show(value))  # fmt: skip
    return counts


def _count_is_right(i: int, name: str, hint: str) -> Property:
    def test(trial: Trial) -> Mismatch | None:
        want, got = attention_costs(*trial.args)[i], trial.output[i]
        return None if want == got else Mismatch(f"{want:,} {name}", f"{got:,}")

    return Property(sentence=f"the number of {name} is right", test=test, hint=hint)


def _costs_wrong(
    name: str,
    hint: str,
    *,
    parameters: Callable[[int, int, int], int] | None = None,
    products: Callable[[int, int, int], int] | None = None,
    weights: Callable[[int, int, int], int] | None = None,
) -> Wrong:
    """A wrong formula in one of the three places."""

    def answer(d: int, h: int, t: int) -> tuple[int, ...]:
        right = attention_costs(d, h, t)
        return tuple(
            truth if other is None else other(d, h, t)
            for truth, other in zip(right, (parameters, products, weights), strict=True)
        )

    return Wrong(name=name, answer=answer, hint=hint)


COSTS = Exercise(
    id="heads/costs",
    title="What depends on the number of heads?",
    answer="attention_costs",
    solution=attention_costs,
    cases=_costs_cases,
    read=_read_counts,
    properties=(
        _count_is_right(0, "parameters", "write down the shape of each of the four matrices and of its bias"),
        _count_is_right(1, "multiplications", "how many scores are there, and how many products does one score take?"),
        _count_is_right(2, "attention weights", "every head has a table of its own: how large is it?"),
    ),
    wrong=(
        _costs_wrong("parameters: heads of full width", "you give every head matrices as wide as the model; how wide "
                     "is one head, and how many of them fit?", parameters=lambda d, h, t: 4 * h * (d * d + d)),
        _costs_wrong("parameters: of one head only", "you count the matrices of a single head: how many are there?",
                     parameters=lambda d, h, t: 4 * (d * (d // h) + d // h)),
        _costs_wrong("parameters: without biases", "the matrices are right; each is followed by a vector that is added",
                     parameters=lambda d, h, t: 4 * d * d),
        _costs_wrong("parameters: without W_O", "queries, keys and values are there: what becomes of the heads at the "
                     "end?", parameters=lambda d, h, t: 3 * (d * d + d)),
        _costs_wrong("parameters: neither W_O nor biases", "two things are missing: the matrix behind the heads, and a "
                     "vector for each matrix", parameters=lambda d, h, t: 3 * d * d),
        _costs_wrong("parameters: one vector for all", "you count one bias vector; how many matrices are there? Each "
                     "has one", parameters=lambda d, h, t: 4 * d * d + d),
        _costs_wrong("parameters: biases without W_O's", "the matrix behind the heads has a bias vector, too",
                     parameters=lambda d, h, t: 4 * d * d + 3 * d),
        _costs_wrong("parameters: biases of one number", "a bias is a vector, as wide as what the matrix makes",
                     parameters=lambda d, h, t: 4 * d * d + 4),
        _costs_wrong("parameters: square matrices of a head's width", "a head makes narrow vectors, but it reads all "
                     "of x: how many rows has its matrix?",
                     parameters=lambda d, h, t: 4 * h * ((d // h) ** 2 + d // h)),
        _costs_wrong("parameters: one head and W_O", "W_O is there as a whole; of queries, keys and values you count "
                     "one head's only", parameters=lambda d, h, t: 3 * (d * (d // h) + d // h) + d * d + d),
        _costs_wrong("parameters: for every token", "all tokens are multiplied by the same matrices",
                     parameters=lambda d, h, t: 4 * t * (d * d + d)),
        _costs_wrong("multiplications: with those of the projections", "making queries and keys is not asked for here, "
                     "only comparing them", products=lambda d, h, t: 2 * t * d * d + t * t * d),
        _costs_wrong("multiplications: linear in the tokens", "every query meets every key: how does the number of "
                     "pairs grow with the tokens?", products=lambda d, h, t: t * d),
        _costs_wrong("multiplications: of one head", "this is what one head needs: all of them are asked for",
                     products=lambda d, h, t: t * t * (d // h)),
        _costs_wrong("multiplications: full width in each head", "each head multiplies vectors of its own width, which "
                     "shrinks as the heads grow in number", products=lambda d, h, t: h * t * t * d),
        _costs_wrong("multiplications: twice as many", "twice too many: additions are not asked for, nor the product "
                     "with the values", products=lambda d, h, t: 2 * t * t * d),
        _costs_wrong("multiplications: one per pair of tokens", "you count the scores; each of them is a sum of "
                     "products", products=lambda d, h, t: h * t * t),
        _costs_wrong("weights: one table", "one table of weights for all heads would make them look at the same tokens",
                     weights=lambda d, h, t: t * t),
        _costs_wrong("weights: width counted", "a weight is one number for a pair of tokens, however wide the vectors",
                     weights=lambda d, h, t: t * t * d),
        _costs_wrong("weights: one per token", "a weight belongs to a pair of tokens, a query and a key",
                     weights=lambda d, h, t: h * t),
        _costs_wrong("weights: half of the table", "half a table is what a causal mask leaves; no mask was mentioned",
                     weights=lambda d, h, t: h * t * (t + 1) // 2),
        _costs_wrong("weights: heads and width counted", "the heads are counted rightly; but when a score is computed, "
                     "its products have been added up to one number", weights=lambda d, h, t: h * t * t * d),
        _costs_wrong("weights: width of a head counted", "the features of a head have been added up by then; and how "
                     "many heads are there?", weights=lambda d, h, t: t * t * (d // h)),
        Wrong(name="second and third exchanged",
              answer=lambda d, h, t: (4 * (d * d + d), h * t * t, t * t * d),
              hint="mind the order of the three counts: multiplications come before weights"),
        _costs_wrong("weights: shared out among the heads", "heads share out the width, not the tokens: each looks at "
                     "all of them", weights=lambda d, h, t: t * t // h),
    ),
    notice="n_heads occurs in one place only: the tables of attention weights.",
)  # fmt: skip
