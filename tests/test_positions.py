"""Position schemes against closed forms, and what each promises: linear shifts, pure distance, unchanged norms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import GPT_SCHEMES, normal

from tftutor import positions
from tftutor.config import BlockConfig, GPTConfig
from tftutor.properties import shift_change


def test_sinusoids_are_the_formula() -> None:
    table = positions.sinusoids(torch.arange(5), 6)
    for p in range(5):
        for i in range(3):
            angle = p / 10_000 ** (2 * i / 6)
            assert table[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-15)
            assert table[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-15)


@settings(deadline=None)
@given(shift=st.integers(-50, 50))
def test_a_shift_of_sinusoids_is_one_rotation_for_all_positions(shift) -> None:
    pos = torch.arange(60, 70)
    here, there = positions.sinusoids(pos, 8), positions.sinusoids(pos + shift, 8)
    angle = positions.sinusoids(torch.tensor([shift]), 8)[0]
    sin, cos = angle[0::2], angle[1::2]
    turned_sin = here[:, 0::2] * cos + here[:, 1::2] * sin
    turned_cos = here[:, 1::2] * cos - here[:, 0::2] * sin
    torch.testing.assert_close(torch.stack([turned_sin, turned_cos], dim=-1).flatten(-2), there, rtol=0, atol=1e-12)


def test_added_positions_may_differ_by_row() -> None:
    x, per_row = normal(2, 3, 8), torch.tensor([[0, 1, 2], [4, 5, 6]])
    learned = positions.LearnedPositions(9, 8).double()
    for scheme in (positions.SinusoidalPositions(), learned):
        both = scheme.embed(x, per_row)
        for row in range(2):
            assert torch.equal(both[row : row + 1], scheme.embed(x[row : row + 1], per_row[row]))
    assert torch.equal(learned.embed(x, torch.tensor([1, 0, 8])), x + learned.table.weight[[1, 0, 8]])


def test_padding_has_no_learned_position_but_does_not_fail() -> None:
    scheme = positions.LearnedPositions(4, 8)
    assert scheme.embed(torch.zeros(1, 2, 8), torch.tensor([[-1, 0]])).isfinite().all()


def test_t5_buckets_keep_near_distances_apart() -> None:
    near = positions.t5_buckets(-torch.arange(16), bidirectional=False)
    assert near.tolist() == list(range(16))
    behind = positions.t5_buckets(-torch.arange(8), bidirectional=True)
    ahead = positions.t5_buckets(torch.arange(1, 8), bidirectional=True)
    assert behind.tolist() == list(range(8))
    assert ahead.tolist() == list(range(17, 24))


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("n_buckets", "max_distance"), [(8, 10), (32, 128), (16, 1000)])
def test_t5_buckets_never_fall_with_distance_and_end_at_the_last(bidirectional, n_buckets, max_distance) -> None:
    offsets = -torch.arange(3 * max_distance)
    buckets = positions.t5_buckets(offsets, n_buckets=n_buckets, max_distance=max_distance, bidirectional=bidirectional)
    last = (n_buckets // 2 if bidirectional else n_buckets) - 1
    assert (buckets.diff() >= 0).all()
    assert set(buckets.tolist()) == set(range(last + 1))  # every bucket is used
    assert (buckets[max_distance:] == last).all()
    if not bidirectional:  # keys ahead are never seen; they share the bucket of distance 0
        assert (positions.t5_buckets(-offsets, n_buckets=n_buckets, max_distance=max_distance, bidirectional=False)
                == 0).all()  # fmt: skip


@pytest.mark.parametrize("n_heads", [1, 2, 4, 8, 16])
def test_alibi_slopes_for_powers_of_two(n_heads) -> None:
    slopes = positions.alibi_slopes(n_heads).tolist()
    assert slopes == pytest.approx([2 ** (-8 * (h + 1) / n_heads) for h in range(n_heads)], rel=1e-15)


def test_alibi_slopes_for_other_head_counts() -> None:
    eight, sixteen = positions.alibi_slopes(8).tolist(), positions.alibi_slopes(16).tolist()
    assert positions.alibi_slopes(12).tolist() == eight + sixteen[0:8:2]
    for n_heads in range(1, 40):
        slopes = positions.alibi_slopes(n_heads).tolist()
        assert len(set(slopes)) == n_heads
        assert all(0 < slope < 1 for slope in slopes)


def test_alibi_bias_is_minus_slope_times_distance() -> None:
    bias = positions.AlibiPositions(4).inputs(torch.tensor([3, 4]), torch.arange(5)).bias
    assert bias.shape == (1, 4, 2, 5)
    for h, slope in enumerate(positions.alibi_slopes(4).tolist()):
        assert bias[0, h].tolist() == [[-slope * abs(q - k) for k in range(5)] for q in (3, 4)]


@pytest.mark.parametrize("layout", ["halves", "pairs"])
def test_rope_multiplies_complex_numbers(layout) -> None:
    x, pos = normal(2, 3, 5, 8), torch.tensor([0, 1, 7, 100, 5000])
    turned = positions.rotate(x, positions.rope_rotation(pos, 8, layout=layout))
    pairs = (lambda t: t.unflatten(-1, (2, 4)).mT) if layout == "halves" else (lambda t: t.unflatten(-1, (4, 2)))
    as_complex = lambda t: torch.view_as_complex(pairs(t).contiguous())  # noqa: E731
    angle = pos[:, None] * 10_000.0 ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)
    expected = as_complex(x) * torch.polar(torch.ones_like(angle), angle)
    torch.testing.assert_close(as_complex(turned), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=0, atol=1e-12)  # nothing grows


@settings(deadline=None)
@given(data=st.data(), layout=st.sampled_from(["halves", "pairs"]), base=st.sampled_from([100.0, 10_000.0, 5e5]))
def test_rope_scores_depend_on_distance_only(data, layout, base) -> None:
    place = st.integers(0, 4000)
    query_pos = torch.tensor(data.draw(st.lists(place, min_size=3, max_size=3)))
    key_pos = torch.tensor(data.draw(st.lists(place, min_size=5, max_size=5)))
    q, k = normal(1, 2, 3, 8), normal(1, 2, 5, 8, seed=1)

    def scores(query_pos: torch.Tensor, key_pos: torch.Tensor) -> torch.Tensor:
        turned = [
            positions.rotate(x, positions.rope_rotation(pos, 8, base=base, layout=layout))
            for x, pos in ((q, query_pos), (k, key_pos))
        ]
        return turned[0] @ turned[1].mT

    assert shift_change(scores, query_pos, key_pos, data.draw(st.integers(0, 4000))) <= 1e-10


def test_rope_layouts_are_one_rotation_of_reordered_features() -> None:
    x, pos = normal(1, 1, 4, 6), torch.arange(4)
    order = torch.tensor([0, 2, 4, 1, 3, 5])  # pair (0, 1) becomes features 0 and 3
    by_pairs = positions.rotate(x, positions.rope_rotation(pos, 6, layout="pairs"))
    by_halves = positions.rotate(x[..., order], positions.rope_rotation(pos, 6, layout="halves"))
    torch.testing.assert_close(by_pairs[..., order], by_halves, rtol=0, atol=1e-15)


def test_rope_positions_per_row_have_a_head_axis() -> None:
    per_row = torch.tensor([[0, 1, 2], [7, 8, 9]])
    rotation = positions.rope_rotation(per_row, 6)
    assert rotation.cos.shape == (2, 1, 3, 3)
    x = normal(2, 4, 3, 6)
    for row in range(2):
        alone = positions.rotate(x[row : row + 1], positions.rope_rotation(per_row[row], 6))
        assert torch.equal(positions.rotate(x, rotation)[row : row + 1], alone)


def test_rope_angles_are_exact_far_out() -> None:
    """In float32 the angle itself would be wrong by 1e-4 at position 5000."""
    rotation = positions.rope_rotation(torch.tensor([1_000_003]), 6)
    assert rotation.cos[0, 0].item() == pytest.approx(math.cos(1_000_003), abs=1e-12)
    assert positions.rotate(torch.ones(1, 1, 1, 6), rotation).dtype == torch.float32  # cast last


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="layout: expected one of 'halves', 'pairs', got 'thirds'"):
        positions.rope_rotation(torch.arange(3), 6, layout="thirds")


def scheme(name: str) -> positions.PositionScheme:
    cfg = GPTConfig(block=BlockConfig(d_model=24, n_heads=4, d_ff=20), vocab_size=7, n_layers=1, max_len=40,
                    positions=name, n_buckets=8, max_distance=10)  # fmt: skip
    return positions.build_positions(cfg, bidirectional=False).double()


@pytest.mark.parametrize("name", GPT_SCHEMES)
def test_schemes_share_one_interface(name) -> None:
    built, x = scheme(name), normal(2, 3, 24)
    shared, per_row = torch.arange(4, 7), torch.tensor([[4, 5, 6], [1, 2, 3]])
    keys = torch.arange(5)
    for query_pos in (shared, per_row):
        assert built.embed(x, query_pos).shape == x.shape
        for key_pos in (keys, keys.expand(2, -1)):
            where = built.inputs(query_pos, key_pos)
            n_rows = max(1 if query_pos.ndim == 1 else 2, 1 if key_pos.ndim == 1 else 2)
            if where.bias is not None:
                assert where.bias.shape == (n_rows, 4, 3, 5)
            if where.rotation is not None:
                assert where.rotation.cos.shape == ((3, 3) if query_pos.ndim == 1 else (2, 1, 3, 3))
    row = built.inputs(per_row, keys.expand(2, -1)).bias
    if row is not None:  # a row's own positions, whatever its neighbours'
        assert torch.equal(row[1], built.inputs(per_row[1], keys).bias[0])


@pytest.mark.parametrize("name", ["t5", "alibi"])
def test_biases_depend_on_distance_only(name) -> None:
    built = scheme(name)
    fn = lambda query_pos, key_pos: built.inputs(query_pos, key_pos).bias  # noqa: E731
    assert shift_change(fn, torch.arange(3, 6), torch.arange(7), 11) == 0


@pytest.mark.parametrize("name", ["sinusoidal", "learned", "none"])
def test_what_is_added_does_not_touch_attention(name) -> None:
    where = scheme(name).inputs(torch.arange(3), torch.arange(3))
    assert where == positions.PositionInputs()
