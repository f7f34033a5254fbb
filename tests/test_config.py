"""Configs refuse what cannot work, survive JSON, and name published architectures."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch

from tftutor import config
from tftutor.config import BertConfig, BlockConfig, EncoderDecoderConfig, GPTConfig
from tftutor.models import GPT, Bert, EncoderDecoder

BLOCK = BlockConfig(d_model=24, n_heads=4, d_ff=20)
PRESETS = [
    config.vaswani_base(100, 90),
    config.t5_small(),
    config.gpt2_small(),
    config.llama_shape(),
    config.bert_base(),
    GPTConfig(block=BLOCK, vocab_size=7, n_layers=1),
]


@pytest.mark.parametrize("cfg", PRESETS)
def test_a_config_survives_json(cfg) -> None:
    text = json.dumps(config.config_to_dict(cfg))
    assert config.config_from_dict(json.loads(text)) == cfg
    assert json.loads(text)["class"] == type(cfg).__name__


def test_reading_a_config_does_not_change_the_dict() -> None:
    data = config.config_to_dict(PRESETS[0])
    before = json.dumps(data)
    config.config_from_dict(data)
    assert json.dumps(data) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class": "Reformer"}, "RecurrentConfig or HybridConfig, got 'Reformer'"),
        ({"class": None}, "got None"),
        ({"n_layer": 2}, "expected the fields of GPTConfig, got"),
        ({"block": {"d_model": 8}}, "expected the fields of GPTConfig, got"),
        ({"block": None}, "expected the fields of GPTConfig, got"),
        ({"vocab_size": "many"}, "expected the fields of GPTConfig, got"),
    ],
)
def test_foreign_descriptions_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        config.config_from_dict(config.config_to_dict(PRESETS[2]) | change)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(d_model=10, n_heads=3), "d_model=10 is not divisible by n_heads=3"),
        (dict(n_kv_heads=3), "n_heads=4 is not divisible by n_kv_heads=3"),
        (dict(n_kv_heads=0), "n_kv_heads: expected a positive number, got 0"),
        (dict(n_kv_heads=-2), "n_kv_heads: expected a positive number, got -2"),
        (dict(n_heads=0), "n_heads: expected a positive number, got 0"),
        (dict(d_head=0), "d_head: expected a positive number, got 0"),
        (dict(scale=0.0), "scale: expected a positive number, got 0.0"),
        (dict(dropout=1.0), "dropout: expected a probability in [0, 1), got 1.0"),
        (dict(attn_dropout=-0.5), "attn_dropout: expected a probability in [0, 1), got -0.5"),
        (dict(norm="batch"), "norm: expected one of 'layer', 'rms', got 'batch'"),
        (dict(norm_order="middle"), "norm_order: expected one of 'pre', 'post', got 'middle'"),
        (dict(activation="swish"), "activation: expected one of"),
        (dict(norm_eps=0), "norm_eps: expected a positive number, got 0"),
    ],
)
def test_blocks_that_cannot_be_built(changes, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(BLOCK, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(positions="wheel"), "positions: expected one of 'none', 'sinusoidal'"),
        (dict(max_len=0), "max_len: expected a positive number, got 0"),
        (dict(n_layers=0), "n_layers: expected a positive number, got 0"),
        (dict(positions="rope", block=BlockConfig(d_model=12, n_heads=4, d_ff=5)), "d_head=3: expected an even width"),
        (dict(block=BlockConfig(d_model=9, n_heads=3, d_ff=5)), "d_model=9: expected an even width"),
        (dict(positions="t5", n_buckets=6), "n_buckets=6: expected a positive multiple of 4"),
        (dict(positions="t5", n_buckets=32, max_distance=16), "max_distance=16: expected more than n_buckets / 2"),
    ],
)
def test_stacks_that_cannot_be_built(changes, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GPTConfig(**(dict(block=BLOCK, vocab_size=7, n_layers=2) | changes))


def test_one_table_for_all_needs_one_vocabulary() -> None:
    with pytest.raises(ValueError, match="tie='all': expected one vocabulary, got src_vocab_size=5"):
        EncoderDecoderConfig(
            block=BLOCK, src_vocab_size=5, tgt_vocab_size=6, n_encoder_layers=1, n_decoder_layers=1, tie="all"
        )


def test_configs_are_frozen_and_take_keywords_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BLOCK.d_model = 3
    with pytest.raises(TypeError):
        BlockConfig(24, 4, 20)


def test_derived_widths() -> None:
    assert (BLOCK.head_width, BLOCK.kv_heads) == (6, 4)
    wide = dataclasses.replace(BLOCK, d_head=10, n_kv_heads=2)
    assert (wide.head_width, wide.kv_heads) == (10, 2)
    assert dataclasses.replace(BLOCK, d_model=10, n_heads=3, d_head=4).head_width == 4  # then D / H need not be whole


def test_with_block_changes_the_block_only() -> None:
    cfg = GPTConfig(block=BLOCK, vocab_size=7, n_layers=2)
    changed = cfg.with_block(n_kv_heads=1)
    assert changed.block == dataclasses.replace(BLOCK, n_kv_heads=1)
    assert dataclasses.replace(changed, block=BLOCK) == cfg


# As published, or as counted in the published weights; a tied matrix counts once.
@pytest.mark.parametrize(
    ("model", "cfg", "parameters"),
    [
        (GPT, config.gpt2_small(), 124_439_808),
        (GPT, config.llama_shape(), 8_030_261_248),
        (EncoderDecoder, config.t5_small(), 60_506_624),
        (Bert, config.bert_base(), 109_514_298),  # with the masked-LM head, without the pooler
    ],
)
def test_presets_have_the_published_number_of_parameters(model, cfg, parameters) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in model(cfg).parameters()) == parameters


def test_the_2017_base_model() -> None:
    cfg = config.vaswani_base(37_000, 37_000, tie="all")
    with torch.device("meta"):
        millions = sum(p.numel() for p in EncoderDecoder(cfg).parameters()) / 1e6
    assert 62 < millions < 66  # table 3 says 65, for a shared vocabulary of "about 37000"
    assert (cfg.final_norm, cfg.block.norm_order) == (False, "post")


def test_what_sets_the_presets_apart() -> None:
    t5, llama, bert = config.t5_small(), config.llama_shape(), config.bert_base()
    assert (t5.block.scale, t5.block.bias, t5.block.norm_eps, t5.output_scale) == (1.0, False, 1e-6, 512**-0.5)
    assert (t5.n_buckets, t5.max_distance, t5.embed_scale) == (32, 128, False)
    assert (llama.rope_base, llama.max_len, llama.block.kv_heads, llama.tie) == (500_000.0, 8192, 8, False)
    assert (bert.block.norm_eps, bert.block.norm_order, bert.block.activation) == (1e-12, "post", "gelu")


def test_presets_may_be_varied() -> None:
    assert config.gpt2_small(n_layers=3).n_layers == 3
    assert config.bert_base(positions="rope").positions == "rope"
    assert isinstance(config.bert_base(), BertConfig)
