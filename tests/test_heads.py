"""Heads one by one: patterns and entropies are those of loops, gates take out exactly one term of the sum."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tftutor.attention import MultiHeadAttention, attend, merge_heads, split_heads
from tftutor.config import BlockConfig, EncoderDecoderConfig
from tftutor.heads import gate_heads, head_entropy, head_patterns
from tftutor.models.encoder_decoder import EncoderDecoder
from tftutor.observe import record_attention

B, H, T, D = 3, 4, 7, 20


def random_weights(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Weights (B, H, T, T) that are zero on padding keys, and which tokens are real."""
    generator = torch.Generator().manual_seed(0)
    valid = torch.arange(T) < torch.tensor(lengths)[:, None]
    scores = torch.randn(len(lengths), H, T, T, generator=generator, dtype=torch.float64)
    return scores.masked_fill(~valid[:, None, None], -math.inf).softmax(-1), valid


def patterns_by_loop(w: Tensor, n: int) -> dict[str, float]:
    """Of one head (T, T) whose first n tokens are real."""
    mean = lambda entries: float(sum(entries) / len(entries))  # noqa: E731
    return {
        "previous": mean([w[t, t - 1] for t in range(1, n)]),
        "next": mean([w[t, t + 1] for t in range(n - 1)]),
        "self": mean([w[t, t] for t in range(n)]),
        "first": mean([w[t, 0] for t in range(1, n)]),
        "last": mean([w[t, n - 1] for t in range(n - 1)]),
    }


def test_patterns_are_those_of_a_loop() -> None:
    lengths = [7, 2, 5]
    weights, valid = random_weights(lengths)
    found = head_patterns(weights, valid)
    for b, n in enumerate(lengths):
        for h in range(H):
            expected = patterns_by_loop(weights[b, h], n)
            assert {name: float(share[b, h]) for name, share in found.items()} == pytest.approx(expected, abs=1e-12)
    without = head_patterns(weights[:1])
    assert all(torch.allclose(without[name][0], found[name][0]) for name in found)
    turned = head_patterns(weights.mT, valid)
    assert not torch.allclose(turned["previous"], found["previous"])  # keys are told from queries
    assert not torch.allclose(head_patterns(weights)["last"], found["last"])  # padding is told from tokens
    with pytest.raises(ValueError, match="weights: expected shape"):
        head_patterns(weights[..., :-1])


def test_patterns_of_heads_that_do_one_thing() -> None:
    eye = torch.eye(T)
    weights = torch.stack([eye.roll(-1, 1), eye.roll(1, 1), eye, torch.ones(T, 1) * eye[0], torch.ones(T, 1) * eye[-1]])
    found = head_patterns(weights[None])
    for i, name in enumerate(("previous", "next", "self", "first", "last")):
        assert float(found[name][0, i]) == 1
    assert float(found["previous"][0, 1]) == 0


def test_entropy_is_zero_for_one_key_and_log_n_for_n_keys() -> None:
    weights, valid = random_weights([7, 2, 5])
    even = valid[:, None, None] / valid.sum(1).view(B, 1, 1, 1)
    expected = torch.tensor([7.0, 2.0, 5.0]).log()[:, None].expand(B, H)
    torch.testing.assert_close(head_entropy(even.expand(B, H, T, T), valid), expected)
    assert float(head_entropy(torch.eye(T).expand(1, 1, T, T))) == 0
    by_hand = -(weights[1, 0, :2, :2] * weights[1, 0, :2, :2].log()).sum(-1).mean()
    torch.testing.assert_close(head_entropy(weights, valid)[1, 0], by_hand)
    assert not torch.allclose(head_entropy(weights)[1, 0], by_hand)  # padding queries would count


def test_a_gate_multiplies_the_term_of_its_head() -> None:
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(D, H).double(), torch.randn(B, T, D).double()
    gate = torch.tensor([0.0, 1.0, 0.5, -2.0])
    heads = attend(*(split_heads(proj(x), H) for proj in (layer.q_proj, layer.k_proj, layer.v_proj)))
    expected = layer.o_proj(merge_heads(heads * gate.view(H, 1, 1)))
    with torch.no_grad():
        whole = layer(x)
        with gate_heads(layer, {"": gate}):
            torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
            with record_attention(layer):
                torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer(x), whole, rtol=0, atol=0)
        with gate_heads(layer, {"": torch.ones(H)}):
            torch.testing.assert_close(layer(x), whole, rtol=0, atol=0)
        with gate_heads(layer, {"": torch.zeros(H)}):
            torch.testing.assert_close(layer(x), layer.o_proj.bias.expand(B, T, D), rtol=0, atol=1e-12)
        assert (expected - layer.o_proj(merge_heads(heads * gate.flip(0).view(H, 1, 1)))).abs().max() > 1e-3


def test_gates_name_layers_carry_gradients_and_come_off_after_an_error() -> None:
    torch.manual_seed(0)
    block = BlockConfig(d_model=D, n_heads=H, d_ff=9)
    cfg = EncoderDecoderConfig(block=block, src_vocab_size=13, tgt_vocab_size=11, n_encoder_layers=2,
                               n_decoder_layers=1, max_len=16)  # fmt: skip
    model = EncoderDecoder(cfg).eval()
    src, tgt = torch.randint(13, (2, 5)), torch.randint(11, (2, 3))
    whole = model(src, tgt)
    gates = {name: torch.ones(H, requires_grad=True) for name in ("encoder.1.attn", "decoder.0.cross_attn")}
    with gate_heads(model, gates):
        model(src, tgt).square().mean().backward()
    assert all(float(gate.grad.abs().min()) > 0 for gate in gates.values())
    with pytest.raises(RuntimeError, match="on purpose"), gate_heads(model, {"encoder.0.attn": torch.zeros(H)}):
        raise RuntimeError("on purpose")
    torch.testing.assert_close(model(src, tgt), whole, rtol=0, atol=0)
    for gates in ({"encoder.9.attn": torch.ones(H)}, {"encoder.0.attn": torch.ones(H + 1)}):
        with pytest.raises(ValueError, match="gates"), gate_heads(model, gates):
            pass
    torch.testing.assert_close(model(src, tgt), whole, rtol=0, atol=0)
