"""Score functions: what each computes, what it cannot do, and that a layer takes any of them on both paths."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from tiny import gpt, normal, shake
from torch import Tensor, nn

from tftutor import scores
from tftutor.attention import MultiHeadAttention, attend_with_weights
from tftutor.masks import causal_mask
from tftutor.observe import record_attention
from tftutor.positions import rope_rotation
from tftutor.properties import past_change, weight_error

B, H, T, S, DH, D = 2, 4, 3, 5, 6, 24
Score = Callable[[Tensor, Tensor], Tensor]


def learned(cls: type[nn.Module]) -> nn.Module:
    """A score with random weights, in float64."""
    return shake(cls(H, DH), std=0.5)


SCORES: dict[str, Callable[[], Score]] = {
    "dot": lambda: scores.dot,
    "scaled dot": lambda: scores.scaled_dot,
    "cosine": lambda: scores.cosine,
    "negative distance": lambda: scores.negative_distance,
    "additive": lambda: learned(scores.Additive),
    "bilinear": lambda: learned(scores.Bilinear),
    "learned cosine": lambda: learned(scores.Cosine),
}
PAIRWISE: dict[str, Callable[[Score, int, Tensor, Tensor], Tensor]] = {  # of one query and one key of head h
    "dot": lambda score, h, q, k: (q * k).sum(),
    "scaled dot": lambda score, h, q, k: (q * k).sum() / math.sqrt(DH),
    "cosine": lambda score, h, q, k: (q * k).sum() / (q.norm() * k.norm()),
    "negative distance": lambda score, h, q, k: -((q - k) ** 2).sum() / (2 * math.sqrt(DH)),
    "additive": lambda score, h, q, k: (score.v[h] * torch.tanh(q + k)).sum(),
    "bilinear": lambda score, h, q, k: q @ score.w[h] @ k,
    "learned cosine": lambda score, h, q, k: score.log_factor[h, 0, 0].exp() * (q * k).sum() / (q.norm() * k.norm()),
}
each_score = pytest.mark.parametrize("name", SCORES)


def queries_and_keys() -> tuple[Tensor, Tensor]:
    return normal(B, H, T, DH), normal(B, H, S, DH, seed=1)


def by_pairs(name: str, score: Score, q: Tensor, k: Tensor) -> Tensor:
    """Scores one by one."""
    table = torch.empty(B, H, T, S, dtype=q.dtype)
    for b, h, t, s in torch.cartesian_prod(*(torch.arange(n) for n in (B, H, T, S))).tolist():
        table[b, h, t, s] = PAIRWISE[name](score, h, q[b, h, t], k[b, h, s]).detach()
    return table


@each_score
def test_a_score_is_what_its_formula_says_pair_by_pair(name) -> None:
    score, (q, k) = SCORES[name](), queries_and_keys()
    torch.testing.assert_close(score(q, k).detach(), by_pairs(name, score, q, k), rtol=0, atol=1e-12)
    others = [other for other in PAIRWISE if other != name and "learned" not in other and hasattr(score, "v") == (
        other == "additive") and hasattr(score, "w") == (other == "bilinear")]  # fmt: skip
    for other in others:  # the test tells them apart
        assert (score(q, k) - by_pairs(other, score, q, k)).abs().max() > 0.05


@each_score
@pytest.mark.parametrize("masked", [False, True])
def test_a_layer_takes_any_score_on_both_paths(name, masked) -> None:
    attn = shake(MultiHeadAttention(D, H))
    attn.score = SCORES[name]()
    mask = torch.ones(1, 1, T, T, dtype=torch.bool).tril(-1) if masked else None  # the first row is empty
    x = normal(B, T, D)
    fused = attn(x, mask=mask)
    with record_attention(attn) as maps:
        explicit = attn(x, mask=mask)
    torch.testing.assert_close(fused, explicit, rtol=0, atol=1e-12)
    assert weight_error(maps[""], mask) <= 1e-12
    q, k = (proj(x).unflatten(-1, (H, DH)).transpose(1, 2) for proj in (attn.q_proj, attn.k_proj))
    own = attn.score(q, k)
    weights = own.masked_fill(~mask, -1e300).softmax(dim=-1) * mask if masked else own.softmax(dim=-1)
    torch.testing.assert_close(maps[""], weights, rtol=0, atol=1e-12)


def test_the_scaled_dot_product_as_a_score_is_the_layer_without_one() -> None:
    attn, x = shake(MultiHeadAttention(D, H, n_kv_heads=2)), normal(B, T, D)
    pos = torch.arange(T)
    rest = dict(mask=causal_mask(pos, pos), bias=normal(1, H, T, T, seed=3), rotation=rope_rotation(pos, DH))
    expected = attn(x, **rest)
    for score, close in ((scores.scaled_dot, True), (scores.dot, False), (scores.cosine, False)):
        attn.score = score
        assert ((attn(x, **rest) - expected).abs().max() < 1e-12) == close


@each_score
def test_a_model_with_another_score_stays_causal_and_learns_its_weights(name) -> None:
    model = gpt()
    for block in model.blocks:
        block.attn.score = SCORES[name]()
    tokens = torch.randint(11, (2, 7), generator=torch.Generator().manual_seed(0))
    assert past_change(model, tokens, 3) <= 1e-12
    model(tokens).square().mean().backward()
    for path, weight in model.named_parameters():
        assert weight.grad is not None, path
        if ".score." in path:
            assert weight.grad.abs().max() > 1e-9, path


def test_weights_of_a_score_belong_to_the_layer() -> None:
    plain = MultiHeadAttention(D, H).state_dict().keys()
    attn = MultiHeadAttention(D, H, score=scores.Additive(H, DH))
    assert attn.state_dict().keys() - plain == {"score.v"}
    assert MultiHeadAttention(D, H, score=scores.dot).state_dict().keys() == plain


def test_only_some_scores_notice_how_long_queries_and_keys_are() -> None:
    q, k = queries_and_keys()
    for name, make in SCORES.items():
        score = make()
        change = (score(3 * q, 3 * k) - score(q, k)).abs().max()
        assert (change < 1e-12) == ("cosine" in name), name
    additive, learned_cosine = SCORES["additive"](), SCORES["learned cosine"]()
    assert bool((additive(100 * q, 100 * k).abs() <= additive.v.abs().sum(-1)[:, None, None] + 1e-12).all())
    assert bool((learned_cosine(q, k).abs() <= learned_cosine.log_factor.exp() + 1e-12).all())


def test_keys_of_one_length_get_the_same_weights_from_dot_product_and_distance() -> None:
    q, k = queries_and_keys()
    for lengthened, same in ((torch.nn.functional.normalize(k, dim=-1) * 2, True), (k, False)):
        one, other = (s(q, lengthened).softmax(-1) for s in (scores.scaled_dot, scores.negative_distance))
        assert ((one - other).abs().max() < 1e-12) == same
        by_score, by_cosine = (s(q, lengthened).argsort(-1) for s in (scores.dot, scores.cosine))
        assert torch.equal(by_score, by_cosine) == same


def test_bilinear_starts_as_the_scaled_dot_product_and_adds_nothing_to_a_projection() -> None:
    q, k = queries_and_keys()
    torch.testing.assert_close(scores.Bilinear(H, DH).double()(q, k), scores.scaled_dot(q, k), rtol=0, atol=1e-6)
    score, w_q, x = SCORES["bilinear"](), normal(H, D, DH, seed=5), normal(B, 1, T, D, seed=6)
    torch.testing.assert_close(score(x @ w_q, k), scores.dot(x @ (w_q @ score.w), k), rtol=0, atol=1e-12)


def test_the_variance_of_a_raw_score_is_the_width_and_of_a_scaled_one_1() -> None:
    for d in (4, 64):
        q, k = normal(1, 1, 400, d), normal(1, 1, 300, d, seed=1)
        assert float(scores.dot(q, k).var()) == pytest.approx(d, rel=0.1)
        assert float(scores.scaled_dot(q, k).var()) == pytest.approx(1, rel=0.1)


def test_sizes_are_checked() -> None:
    for make in (scores.Additive, scores.Bilinear):
        with pytest.raises(ValueError, match="d_head: expected a positive number, got 0"):
            make(2, 0)
    with pytest.raises(ValueError, match="start: expected a positive number, got -1"):
        scores.Cosine(2, start=-1)


def test_attention_with_scores_as_bias_and_scale_0_forgets_the_dot_product() -> None:
    q, k = queries_and_keys()
    v = normal(B, H, S, 7, seed=2)
    own = scores.cosine(q, k)
    got = attend_with_weights(q, k, v, bias=own, scale=0.0)
    torch.testing.assert_close(got.weights, own.softmax(-1), rtol=0, atol=1e-12)
