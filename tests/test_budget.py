"""Formulas of cost are what models hold and what torch counts; leaving anything out would be noticed."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from tiny import bert, encoder_decoder, gpt, ids, t5
from torch import nn

from tftutor.blocks import Block
from tftutor.budget import (
    block_parameters,
    count_flops,
    forward_flops,
    model_parameters,
    product_depth,
    quadratic_share,
    training_flops,
)
from tftutor.config import (
    BertConfig,
    BlockConfig,
    EncoderDecoderConfig,
    GPTConfig,
    RecurrentConfig,
    bert_base,
    gpt2_small,
    llama_shape,
    t5_small,
    vaswani_base,
)
from tftutor.models import GPT, Bert, EncoderDecoder
from tftutor.models.pretrained import minilm_config
from tftutor.observe import block_flops, record_attention

BLOCKS = {
    "plain": {},
    "gated without biases": {"activation": "swiglu", "bias": False, "norm": "rms"},
    "gated with biases": {"activation": "geglu"},
    "shared keys": {"n_kv_heads": 2},
    "wide heads": {"n_kv_heads": 1, "d_head": 10},
}
PRESETS = (vaswani_base(37, 41), vaswani_base(37, 37, tie="all"), vaswani_base(37, 41, tie="none", final_norm=True),
           t5_small(), gpt2_small(), llama_shape(), bert_base(), minilm_config())  # fmt: skip


def numel(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("cfg", PRESETS, ids=lambda cfg: f"{type(cfg).__name__} {cfg.block.d_model}")
def test_presets_hold_what_the_formula_says(cfg) -> None:
    build = {EncoderDecoderConfig: EncoderDecoder, GPTConfig: GPT, BertConfig: Bert}[type(cfg)]
    with torch.device("meta"):
        model = build(cfg)
    parts = model_parameters(cfg)
    assert sum(parts.values()) == numel(model)
    by_kind = {"attention": 0, "feed-forward": 0}
    for name, parameter in model.named_parameters():
        if "attn." in name and "norm" not in name:
            by_kind["attention"] += parameter.numel()
        by_kind["feed-forward"] += parameter.numel() if ".ffn." in name else 0
    biases = sum(p.numel() for name, p in model.named_parameters() if "positions.table" in name)
    by_kind["attention"] += biases if cfg.positions == "t5" else 0
    assert by_kind == {kind: parts[kind] for kind in by_kind}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("positions", ["none", "learned", "t5", "rope"])
def test_any_config_holds_what_the_formula_says(block, positions) -> None:
    for model in (
        gpt(positions=positions, **block),
        gpt(positions=positions, tie=False, final_norm=False, **block),
        bert(positions=positions, **block),
        bert(positions=positions, n_segments=0, norm_embed=False, norm_order="pre", **block),
        encoder_decoder(positions=positions, **block),
        encoder_decoder(positions=positions, tie="target", final_norm=False, **block),
    ):
        assert sum(model_parameters(model.cfg).values()) == numel(model)
    assert sum(model_parameters(t5(**block).cfg).values()) == numel(t5(**block))


def test_the_parameter_formula_leaves_nothing_out() -> None:
    cfg = BlockConfig(d_model=24, n_heads=4, d_ff=20)
    parts = block_parameters(cfg)
    assert sum(parts.values()) == numel(Block(cfg))
    assert sum(block_parameters(dataclasses.replace(cfg, bias=False)).values()) != numel(Block(cfg))
    assert block_parameters(cfg, cross=True)["attention"] == 2 * parts["attention"]
    with pytest.raises(TypeError, match="cfg: expected the config of a Transformer, got RecurrentConfig"):
        model_parameters(RecurrentConfig(src_vocab_size=3, tgt_vocab_size=4, attention=True))


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_forward_pass_makes_the_products_that_the_formula_says(block) -> None:
    n, m = 7, 5
    for model in (gpt(positions="rope", **block), bert(**block)):
        flops = forward_flops(model.cfg, n)
        for fused in (True, False):  # one kernel for scores and mixing, or one product after the other
            with torch.no_grad(), nullcontext() if fused else record_attention(model):
                counted = count_flops(lambda model=model: model(ids(1, n)))
            assert counted == sum(flops.values())
        assert min(flops.values()) > 0  # leaving one kind out would be noticed
    model = encoder_decoder(**block)
    with torch.no_grad(), record_attention(model):
        counted = count_flops(lambda: model(ids(1, m), ids(1, n)))
    assert counted == sum(forward_flops(model.cfg, n, m).values())
    assert counted != sum(forward_flops(model.cfg, m, n).values())  # source and target are told apart
    with pytest.raises(ValueError, match="n_source: expected a number for an encoder-decoder"):
        forward_flops(model.cfg, n)
    with pytest.raises(ValueError, match="n_source: expected"):
        forward_flops(gpt().cfg, n, m)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_the_quadratic_share_is_that_of_the_block(block) -> None:
    cfg = BlockConfig(**{"d_model": 24, "n_heads": 4, "d_ff": 20} | block)
    flops = block_flops(cfg, 9)
    share = (flops["self-attention: scores"] + flops["self-attention: weighted values"]) / sum(flops.values())
    assert quadratic_share(cfg, 9) == pytest.approx(share)


def test_the_quadratic_share_of_the_plain_block_is_n_over_6d_plus_n() -> None:
    cfg = BlockConfig(d_model=768, n_heads=12, d_ff=3072)
    for n in (128, 2048, 6 * 768):
        assert quadratic_share(cfg, n) == pytest.approx(n / (6 * 768 + n))
    assert quadratic_share(cfg, 6 * 768) == pytest.approx(0.5)


def test_sizes_that_fit_into_no_memory_are_counted_on_the_meta_device() -> None:
    cfg = BlockConfig(d_model=768, n_heads=12, d_ff=3072)
    with torch.device("meta"):
        block, x = Block(cfg), torch.empty(1, 131_072, 768)
    with torch.no_grad(), record_attention(block):
        counted = count_flops(lambda: block(x))
    assert counted == sum(block_flops(cfg, 131_072).values())


def test_training_takes_three_times_a_forward_pass() -> None:
    model, tokens = gpt(positions="rope", bias=False, tie=False), ids(3, 6)
    with record_attention(model):
        forward = count_flops(lambda: model(tokens))
        both = count_flops(lambda: model(tokens).square().mean().backward())
    assert both == 3 * forward
    weights = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and not name.startswith("embed"))
    quadratic = 3 * forward_flops(model.cfg, 6)["attention"]
    assert both == training_flops(weights, tokens.numel()) + 3 * quadratic  # three rows, three passes


def test_depth_counts_what_has_to_wait() -> None:
    x, w = torch.ones(3, 3), torch.ones(3, 3)
    assert product_depth(lambda: x + w) == 0
    assert product_depth(lambda: [x @ w for _ in range(5)]) == 1
    assert product_depth(lambda: torch.stack([x @ w, w @ x]).sum(0) @ w) == 2
    assert product_depth(lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))(x)) == 2

    def recurrent(n: int) -> None:
        state = x
        for _ in range(n):
            state = (state @ w).tanh()

    assert [product_depth(lambda n=n: recurrent(n)) for n in (2, 7)] == [2, 7]


@pytest.mark.parametrize("explicit", [True, False])
def test_a_parallel_block_waits_for_four_products_and_a_serial_one_for_six(explicit) -> None:
    for parallel, depth in ((False, 6), (True, 4)):
        model = gpt(parallel=parallel, positions="rope", n_layers=3)
        for n in (2, 9):
            if explicit:
                with record_attention(model):
                    assert product_depth(lambda model=model, n=n: model(ids(1, n))) == 3 * depth + 1
            else:
                assert product_depth(lambda model=model, n=n: model(ids(1, n))) == 3 * depth + 1
