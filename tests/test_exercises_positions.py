"""Exercises on positions: other right ways to write an answer are accepted, plausible wrong ones are not."""

from __future__ import annotations

import math
from itertools import islice, permutations

import torch
from torch import Tensor

from tftutor.exercises import find_exercise
from tftutor.exercises.engine import examine


def right(name, answer) -> bool:
    return bool(examine(find_exercise(f"positions/{name}"), answer, seconds=20))


def classic_table(n: int, d: int) -> Tensor:
    table, place = torch.zeros(n, d), torch.arange(n)[:, None]
    rate = torch.exp(torch.arange(0, d, 2) * -(math.log(10_000.0) / d))
    table[:, 0::2], table[:, 1::2] = torch.sin(place * rate), torch.cos(place * rate)
    return table


def with_complex_numbers(x: Tensor, positions: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    angle = positions[:, None].double() * 10_000 ** (-torch.arange(half).double() / half)
    z = torch.complex(x[:, :half].double(), x[:, half:].double()) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([z.real, z.imag], dim=-1)


def rotate_half(x: Tensor, positions: Tensor) -> Tensor:
    d = x.shape[-1]
    angle = positions[:, None].float() / 10_000 ** (torch.arange(0, d, 2).float() / d)
    angle = torch.cat([angle, angle], dim=-1)
    return x * angle.cos() + torch.cat([-x[:, d // 2 :], x[:, : d // 2]], dim=-1) * angle.sin()


def test_sinusoids_in_any_order_of_columns_are_right() -> None:
    assert right("sinusoids", classic_table)
    assert right("sinusoids", lambda n, d: classic_table(n, d).flip(1))
    assert right("sinusoids", lambda n, d: torch.cat([classic_table(n, d)[:, i::2] for i in (0, 1)], dim=1))
    # An order of columns that changes from row to row keeps lengths and values, but not the products of rows.
    assert not right("sinusoids", lambda n, d: torch.stack([row.roll(p) for p, row in enumerate(classic_table(n, d))]))


def test_rotations_by_other_means_are_right() -> None:
    assert right("rope", with_complex_numbers)
    assert right("rope", rotate_half)

    def attention(q, k, v, query_pos, key_pos):
        q, k = rotate_half(q, query_pos), rotate_half(k, key_pos)
        return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None])[0]

    assert right("rope-attention", attention)


def test_buckets_one_by_one_are_right() -> None:
    def bucket(d: int, n: int, longest: int) -> int:
        half = n // 2
        return d if d < half else min(n - 1, half + int(math.log(d / half) / math.log(longest / half) * half))

    assert right("t5-bucket", lambda distance, n, m: torch.tensor([bucket(d, n, m) for d in distance.tolist()]))


def test_all_orders_or_the_inverse_order_test_equivariance() -> None:
    def every_order(layer, x):
        orders = [list(order) for order in islice(permutations(range(x.shape[1])), 130)]
        return all(torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-4) for order in orders)

    def undone(layer, x):
        orders = [torch.randperm(x.shape[1]) for _ in range(4)]
        return all((layer(x[:, o])[:, o.argsort()] - layer(x)).abs().max() < 1e-4 for o in orders)

    assert right("equivariant", every_order)
    assert right("equivariant", undone)
    assert not right("equivariant", lambda layer, x: False)
    # An order that leaves one end alone, a wide tolerance: layers that fool them are among those tried.
    assert not right("equivariant", lambda f, x: torch.allclose(f(x[:, _ends(x)]), f(x)[:, _ends(x)], atol=1e-4))
    assert not right("equivariant", lambda f, x: torch.allclose(f(x.flip(1)), f(x).flip(1), atol=1e-2))


def _ends(x: Tensor) -> list[int]:
    """All tokens in their places but for the last two."""
    *front, last_but_one, last = range(x.shape[1])
    return [*front, last, last_but_one]


def test_exactly_the_pairs_that_look_alike_are_accepted() -> None:
    for distance in range(1, 100):
        alike = 2 * abs(math.sin(distance / 2)) < 0.05
        assert right("break-one-wavelength", (0, distance)) == alike, distance
    assert right("break-one-wavelength", [60, 16])
    assert right("break-one-wavelength", torch.tensor([0, 88]))
    assert not right("break-one-wavelength", (0, 132))
