"""With copied weights our layers compute what torch's own compute."""

from __future__ import annotations

import pytest
import torch
from parity import FLOAT64, Measure, copy, copy_mha, copy_torch_transformer
from tiny import encoder_decoder, ids, normal, right_padded, shake
from torch import Tensor, nn

from tftutor.attention import MultiHeadAttention, attend, attend_with_weights, share_kv_heads
from tftutor.layers import LayerNorm, RMSNorm
from tftutor.masks import causal_mask, padding_mask, to_additive, to_blocked

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:The PyTorch API of nested tensors")
B, T, S, D, H = 2, 5, 7, 24, 4


@pytest.fixture
def measure(record_property) -> Measure:
    return Measure(record_property)


def causal(length: int) -> Tensor:
    return causal_mask(torch.arange(length), torch.arange(length))


@pytest.mark.parametrize(("ours", "theirs"), [(LayerNorm, nn.LayerNorm), (RMSNorm, nn.RMSNorm)])
def test_norms(measure, ours, theirs) -> None:
    reference = shake(theirs(D, eps=1e-3))
    norm = ours(D, eps=1e-3).double()
    copy(reference, norm)
    x = normal(B, T, D)
    measure(f"nn.{theirs.__name__}", norm(x), reference(x), FLOAT64)


@pytest.mark.parametrize("bias", [True, False])
def test_self_attention_with_causal_mask_and_padding(measure, bias) -> None:
    theirs = shake(nn.MultiheadAttention(D, H, bias=bias, batch_first=True))
    ours = MultiHeadAttention(D, H, bias=bias).double()
    copy_mha(theirs, ours)
    x, valid = normal(B, T, D), right_padded([3, 5], T)
    mask = causal(T) & padding_mask(valid)
    expected, _ = theirs(x, x, x, attn_mask=to_blocked(causal(T))[0, 0], key_padding_mask=~valid)
    measure(f"nn.MultiheadAttention, self, bias={bias}", ours(x, mask=mask), expected, FLOAT64)


def test_cross_attention_and_its_weights(measure) -> None:
    theirs = shake(nn.MultiheadAttention(D, H, batch_first=True))
    ours = MultiHeadAttention(D, H).double()
    copy_mha(theirs, ours)
    x, memory, valid = normal(B, T, D), normal(B, S, D, seed=1), right_padded([7, 4], S)
    expected, weights = theirs(x, memory, memory, key_padding_mask=~valid, average_attn_weights=False)
    seen = []
    ours.observer = seen.append
    heads = ours(x, kv=ours.project_kv(memory), mask=padding_mask(valid))
    measure("nn.MultiheadAttention, cross", heads, expected, FLOAT64)
    measure("nn.MultiheadAttention, weights", seen[0], weights, FLOAT64)


def test_a_bias_is_torchs_float_mask(measure) -> None:
    theirs = shake(nn.MultiheadAttention(D, H, batch_first=True))
    ours = MultiHeadAttention(D, H).double()
    copy_mha(theirs, ours)
    x, bias = normal(B, T, D), normal(1, H, T, T, seed=2)
    float_mask = (bias + to_additive(causal(T), torch.float64)).expand(B, -1, -1, -1).flatten(0, 1)
    expected, _ = theirs(x, x, x, attn_mask=float_mask)
    measure("nn.MultiheadAttention, float mask", ours(x, mask=causal(T), bias=bias), expected, FLOAT64)


@pytest.mark.parametrize("n_kv_heads", [1, 2])
def test_shared_heads_in_the_order_of_enable_gqa(measure, n_kv_heads) -> None:
    q, k, v = normal(B, H, T, 6), normal(B, n_kv_heads, S, 6, seed=1), normal(B, n_kv_heads, S, 6, seed=2)
    expected = nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    shared = (q, share_kv_heads(k, H), share_kv_heads(v, H))
    measure(f"sdpa enable_gqa, fused, G={n_kv_heads}", attend(*shared), expected, FLOAT64)
    measure(f"sdpa enable_gqa, explicit, G={n_kv_heads}", attend_with_weights(*shared).heads, expected, FLOAT64)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_order", ["pre", "post"])
@pytest.mark.parametrize("training", [True, False])
def test_transformer(measure, norm_order, activation, training) -> None:
    theirs = shake(
        nn.Transformer(
            D, H, 2, 3, 20, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_order == "pre"
        )
    ).train(training)
    ours = encoder_decoder(norm_order=norm_order, activation=activation, positions="none").train(training)
    copy_torch_transformer(theirs, ours)
    src, tgt = ids(B, S, vocab_size=13), ids(B, T, seed=1)
    src_valid, tgt_valid = right_padded([7, 4], S), right_padded([3, 5], T)
    pos = torch.arange(S)
    with torch.no_grad():  # in evaluation mode without gradients torch takes its fused path
        expected = theirs(
            ours.src_embed(src, pos),
            ours.tgt_embed(tgt, pos),
            tgt_mask=to_blocked(causal(T))[0, 0],
            src_key_padding_mask=~src_valid,
            memory_key_padding_mask=~src_valid,
            tgt_key_padding_mask=~tgt_valid,
        )
        mask = padding_mask(src_valid)
        memory = ours.encode(src, mask)
        hidden = ours.decode(tgt, memory, src_mask=mask, tgt_mask=causal(T) & padding_mask(tgt_valid))
        by_forward = ours(src, tgt, src_valid=src_valid, tgt_valid=tgt_valid)
    name = f"nn.Transformer, {norm_order}-norm, {activation}, {'train' if training else 'eval'}"
    measure(name, hidden[tgt_valid], expected[tgt_valid], FLOAT64)
    measure(name + ", forward", by_forward[tgt_valid], ours.generator(expected)[tgt_valid], FLOAT64)


@pytest.mark.parametrize("norm_order", ["pre", "post"])
def test_gradients_of_transformer(measure, norm_order) -> None:
    theirs = shake(nn.Transformer(D, H, 2, 3, 20, dropout=0.0, batch_first=True, norm_first=norm_order == "pre"))
    ours = encoder_decoder(norm_order=norm_order, positions="none")
    copy_torch_transformer(theirs, ours)
    src, tgt, pos = ids(B, S, vocab_size=13), ids(B, T, seed=1), torch.arange(S)
    for hidden in (
        theirs.train()(ours.src_embed(src, pos), ours.tgt_embed(tgt, pos), tgt_mask=to_blocked(causal(T))[0, 0]),
        ours.decode(tgt, ours.encode(src)),
    ):
        (hidden * normal(B, T, D)).sum().backward()
    mine, reference = ours.encoder[0].attn, theirs.encoder.layers[0].self_attn
    measure(f"gradient, encoder values, {norm_order}", mine.v_proj.weight.grad, reference.in_proj_weight.grad[2 * D :],
            FLOAT64)  # fmt: skip
    measure(f"gradient, decoder FFN, {norm_order}", ours.decoder[0].ffn.up_proj.weight.grad,
            theirs.decoder.layers[0].linear1.weight.grad, FLOAT64)  # fmt: skip


def test_the_comparison_can_fail(measure) -> None:
    theirs, ours = shake(nn.MultiheadAttention(D, H, batch_first=True)), MultiHeadAttention(D, H).double()
    x = normal(B, T, D)
    with pytest.raises(AssertionError, match="differs by"):
        measure("without copied weights", ours(x), theirs(x, x, x)[0], FLOAT64)
