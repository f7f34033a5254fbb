"""Blocks are their drawings; weights start as the docstring of `init_weights` says."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import block as block_config
from tiny import encoder_decoder, gpt, ids, normal, right_padded, shake, t5
from torch import nn

from tftutor.attention import MultiHeadAttention
from tftutor.blocks import Block, DecoderBlock, build_attention
from tftutor.config import BlockConfig, GPTConfig, bert_base, t5_small, vaswani_base
from tftutor.masks import causal_mask, padding_mask
from tftutor.models import GPT, Bert, EncoderDecoder
from tftutor.properties import residual_error

B, T, S, D = 2, 3, 5, 24


def built(cls: type[Block], **changes: object) -> Block:
    return shake(cls(block_config(changes)))


def test_pre_norm_and_post_norm_are_as_drawn() -> None:
    x, mask = normal(B, T, D), causal_mask(torch.arange(T), torch.arange(T))
    pre, post = built(Block, norm_order="pre"), built(Block, norm_order="post")
    h = x + pre.attn(pre.norm_attn(x), mask=mask)
    torch.testing.assert_close(pre(x, mask=mask), h + pre.ffn(pre.norm_ffn(h)), rtol=0, atol=1e-12)
    h = post.norm_attn(x + post.attn(x, mask=mask))
    torch.testing.assert_close(post(x, mask=mask), post.norm_ffn(h + post.ffn(h)), rtol=0, atol=1e-12)


def test_the_decoder_block_reads_the_memory_between_attention_and_feed_forward() -> None:
    x, memory, mask = normal(B, T, D), normal(B, S, D, seed=1), padding_mask(right_padded([5, 2], S))
    pre, post = built(DecoderBlock, norm_order="pre"), built(DecoderBlock, norm_order="post")
    kv = pre.cross_attn.project_kv(memory)
    h = x + pre.attn(pre.norm_attn(x))
    h = h + pre.cross_attn(pre.norm_cross(h), kv=kv, mask=mask)
    expected = h + pre.ffn(pre.norm_ffn(h))
    torch.testing.assert_close(pre(x, memory=kv, memory_mask=mask), expected, rtol=0, atol=1e-12)
    kv = post.cross_attn.project_kv(memory)
    h = post.norm_attn(x + post.attn(x))
    h = post.norm_cross(h + post.cross_attn(h, kv=kv, mask=mask))
    expected = post.norm_ffn(h + post.ffn(h))
    torch.testing.assert_close(post(x, memory=kv, memory_mask=mask), expected, rtol=0, atol=1e-12)


def test_the_parallel_block_gives_both_sub_layers_the_same_input() -> None:
    x, mask = normal(B, T, D), causal_mask(torch.arange(T), torch.arange(T))
    parallel, serial = built(Block, parallel=True), built(Block)
    assert parallel.state_dict().keys() == serial.state_dict().keys()  # weights of one fit the other
    expected = x + parallel.attn(parallel.norm_attn(x), mask=mask) + parallel.ffn(parallel.norm_ffn(x))
    torch.testing.assert_close(parallel(x, mask=mask), expected, rtol=0, atol=1e-12)
    assert (serial(x, mask=mask) - expected).abs().max() > 1e-2  # the other wiring is another function
    assert residual_error(parallel, x) <= 1e-12


def test_a_parallel_gpt_steps_as_it_reads_and_sees_no_future() -> None:
    model, tokens = gpt(parallel=True, positions="rope"), ids(B, T + 2)
    state = model.new_state(B)
    with torch.no_grad():
        whole = model(tokens)
        parts = torch.cat([model.step(tokens[:, :T], state), model.step(tokens[:, T:], state)], dim=1)
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-10)
        torch.testing.assert_close(model(tokens[:, :T]), whole[:, :T], rtol=0, atol=1e-10)
        for block in model.blocks:
            block.parallel = False
        assert (model(tokens) - whole).abs().max() > 1e-2


def test_parallel_blocks_are_pre_norm_and_read_no_memory() -> None:
    with pytest.raises(ValueError, match="parallel: expected norm_order='pre'"):
        block_config({"parallel": True, "norm_order": "post"})
    with pytest.raises(ValueError, match="parallel: expected False"):
        encoder_decoder(parallel=True)


@pytest.mark.parametrize("norm_order", ["pre", "post"])
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_the_residual_stream_passes_silent_sub_layers(norm_order, norm) -> None:
    x = normal(B, T, D)
    assert residual_error(built(Block, norm_order=norm_order, norm=norm), x) <= 1e-12
    decoder_block = built(DecoderBlock, norm_order=norm_order, norm=norm)
    kv = decoder_block.cross_attn.project_kv(normal(B, S, D))
    assert residual_error(decoder_block, x, memory=kv) <= 1e-12


def test_pre_norm_has_a_clean_path_for_gradients() -> None:
    """The gradient of a pre-norm stack contains the identity; post-norm divides it by the norm at every step."""
    for norm_order, clean in (("pre", True), ("post", False)):
        x = normal(1, 1, D).requires_grad_()
        block = built(Block, norm_order=norm_order)
        with torch.no_grad():
            for layer in (block.attn.o_proj, block.ffn.down_proj):
                layer.weight.zero_()
        (jacobian,) = torch.autograd.functional.jacobian(block, (x,))
        assert torch.allclose(jacobian.view(D, D), torch.eye(D, dtype=torch.float64)) == clean


def test_build_attention_passes_every_field_on() -> None:
    cfg = BlockConfig(d_model=D, n_heads=4, d_ff=20, n_kv_heads=2, d_head=10, scale=0.7, bias=False, dropout=0.1,
                      attn_dropout=0.3)  # fmt: skip
    attn = build_attention(cfg)
    assert (attn.d_model, attn.n_heads, attn.n_kv_heads, attn.d_head, attn.scale) == (D, 4, 2, 10, 0.7)
    assert attn.dropout == 0.3  # of the weights; `dropout` is for the sub-layer's output
    assert attn.q_proj.bias is None


# Initialisation


def spread(layer: nn.Module) -> float:
    return layer.weight.std().item()


def test_gpt_weights_start_as_stated() -> None:
    torch.manual_seed(0)
    cfg = GPTConfig(block=BlockConfig(d_model=128, n_heads=4, d_ff=256), vocab_size=300, n_layers=3)
    model = GPT(cfg)
    ends = 0.02 / math.sqrt(2 * 3)  # two branches in each of three blocks
    for block in model.blocks:
        for layer in (block.attn.q_proj, block.attn.k_proj, block.attn.v_proj, block.ffn.up_proj):
            assert spread(layer) == pytest.approx(0.02, rel=0.05)
        for layer in (block.attn.o_proj, block.ffn.down_proj):
            assert spread(layer) == pytest.approx(ends, rel=0.05)
        for norm in (block.norm_attn, block.norm_ffn):
            assert (norm.weight == 1).all()
            assert (norm.bias == 0).all()
    assert spread(model.embed) == pytest.approx(0.02, rel=0.05)
    assert all((m.bias == 0).all() for m in model.modules() if isinstance(m, nn.Linear) and m.bias is not None)


def test_bert_weights_start_as_stated() -> None:
    torch.manual_seed(0)
    model = Bert(bert_base(300, n_layers=2).with_block(d_model=192, d_ff=256))
    assert spread(model.blocks[1].ffn.up_proj) == pytest.approx(0.02, rel=0.05)
    assert spread(model.blocks[1].ffn.down_proj) == pytest.approx(0.02 / math.sqrt(2 * 2), rel=0.05)
    assert spread(model.embed) == pytest.approx(0.02, rel=0.05)


def test_encoder_and_decoder_count_their_own_branches() -> None:
    torch.manual_seed(0)
    model = EncoderDecoder(vaswani_base(300, 200, n_encoder_layers=2, n_decoder_layers=3).with_block(d_model=128))
    std = 128**-0.5
    assert spread(model.encoder[1].ffn.down_proj) == pytest.approx(std / math.sqrt(2 * 2), rel=0.05)
    assert spread(model.decoder[1].ffn.down_proj) == pytest.approx(std / math.sqrt(3 * 3), rel=0.05)
    assert spread(model.decoder[1].cross_attn.o_proj) == pytest.approx(std / math.sqrt(3 * 3), rel=0.05)
    assert spread(model.src_embed.tokens) == pytest.approx(std, rel=0.05)


def test_unscaled_attention_starts_with_smaller_queries() -> None:
    torch.manual_seed(0)
    model = EncoderDecoder(t5_small(300, n_encoder_layers=1, n_decoder_layers=1))
    attn = model.decoder[0].cross_attn
    assert spread(attn.k_proj) == pytest.approx(512**-0.5, rel=0.05)
    assert spread(attn.q_proj) == pytest.approx((512 * 64) ** -0.5, rel=0.05)  # as in T5: (D * Dh) ** -0.5


def test_no_two_layers_start_equal_and_a_seed_decides() -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        model = EncoderDecoder(encoder_decoder().cfg)
        return {name: p for name, p in model.named_parameters() if p.ndim == 2}

    one = weights(0)
    seen = [p.flatten()[:6].tolist() for p in one.values()]
    assert len({tuple(values) for values in seen}) == len(one)
    assert all(torch.equal(p, one[name]) for name, p in weights(0).items())
    assert not any(torch.equal(p, one[name]) for name, p in weights(1).items())


@pytest.mark.parametrize(
    ("build", "tied"), [(lambda: gpt(tie=True), 1), (lambda: gpt(tie=False), 0), (lambda: t5(), 2),
                        (lambda: encoder_decoder(tie="target"), 1), (lambda: encoder_decoder(), 0)],
)  # fmt: skip
def test_tied_tables_are_one_parameter(build, tied) -> None:
    model = build()
    by_name = sum(p.numel() for _, p in model.named_parameters(remove_duplicate=False))
    once = sum(p.numel() for p in model.parameters())
    assert by_name - once == tied * 11 * D
    assert len([m for m in model.modules() if isinstance(m, MultiHeadAttention)]) > 0
