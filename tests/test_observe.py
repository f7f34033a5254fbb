"""Recording leaves the model as it is, tables count once, FLOPs are those torch counts, source is live."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tftutor import observe
from tftutor.attention import MultiHeadAttention, attend
from tftutor.blocks import Block
from tftutor.config import BlockConfig, EncoderDecoderConfig
from tftutor.models.encoder_decoder import EncoderDecoder
from tftutor.observe import (
    Table,
    block_flops,
    encoder_decoder_flops,
    flop_table,
    parameter_table,
    record_attention,
    record_states,
    show_source,
)

B, S, T, H, D, F, V = 2, 5, 3, 4, 24, 7, 11


def config(**changes) -> EncoderDecoderConfig:
    block = BlockConfig(d_model=D, n_heads=H, d_ff=F, **changes.pop("block", {}))
    sizes = {"src_vocab_size": 13, "tgt_vocab_size": V, "n_encoder_layers": 1, "n_decoder_layers": 2, "max_len": 16}
    return EncoderDecoderConfig(block=block, **(sizes | changes))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randint(13, (B, S)), torch.randint(V, (B, T))


def test_recording_does_not_change_the_model() -> None:
    torch.manual_seed(0)
    model = EncoderDecoder(config()).double().eval()
    src, tgt = batch()
    with torch.no_grad():
        before = model(src, tgt)
        with record_attention(model) as maps:
            recorded = model(src, tgt)
        torch.testing.assert_close(recorded, before, rtol=0, atol=1e-12)
        torch.testing.assert_close(model(src, tgt), before, rtol=0, atol=0)
    assert {name: tuple(weights.shape) for name, weights in maps.items()} == {
        "encoder.0.attn": (B, H, S, S),
        "decoder.0.attn": (B, H, T, T),
        "decoder.0.cross_attn": (B, H, T, S),
        "decoder.1.attn": (B, H, T, T),
        "decoder.1.cross_attn": (B, H, T, S),
    }
    for name, weights in maps.items():
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0, atol=1e-12)
        assert not weights.requires_grad
        if name.endswith(".attn") and name.startswith("decoder"):
            assert weights.triu(1).abs().max() == 0


def test_states_are_what_enters_and_leaves_each_block() -> None:
    torch.manual_seed(0)
    model = EncoderDecoder(config(n_encoder_layers=3)).double().eval()
    src, _ = batch()
    with torch.no_grad():
        before = model.encode(src)
        with record_states(model.encoder) as states:
            model.encode(src.flip(0))
            recorded = model.encode(src)
        torch.testing.assert_close(recorded, before, rtol=0, atol=0)
        assert [tuple(x.shape) for x in states] == [(B, S, D)] * 4  # of the last pass only
        for block, x, after in zip(model.encoder, states[:-1], states[1:], strict=True):
            torch.testing.assert_close(block(x), after, rtol=0, atol=1e-12)
        assert (states[1] - states[0]).abs().max() > 1e-3
        model.encode(src.flip(0))
        assert len(states) == 4, "recording went on after the with block"


def test_recorded_weights_are_those_that_were_used() -> None:
    torch.manual_seed(0)
    layer = MultiHeadAttention(D, H).double()
    x = torch.randn(B, T, D).double()
    mask = torch.ones(1, 1, T, T, dtype=torch.bool).tril()
    with torch.no_grad(), record_attention(layer) as maps:
        out = layer(x, mask=mask)
        _, v = layer.project_kv(x)
        rebuilt = layer.o_proj((maps[""] @ v).transpose(1, 2).flatten(2))
        torch.testing.assert_close(rebuilt, out, rtol=0, atol=1e-12)
        layer(x)
        assert maps[""].triu(1).abs().max() > 0  # the last pass, without a mask


def test_observers_come_off_after_an_error_and_nest() -> None:
    model = EncoderDecoder(config())
    src, tgt = batch()
    with pytest.raises(RuntimeError, match="on purpose"), record_attention(model):
        raise RuntimeError("on purpose")
    assert all(m.observer is None for m in model.modules() if isinstance(m, MultiHeadAttention))
    with record_attention(model) as outer:
        with record_attention(model) as inner:
            model(src, tgt)
        assert inner
        assert not outer
        model(src, tgt)
    assert outer


def test_parameters_are_counted_once() -> None:
    for tie in ("none", "target"):
        model = EncoderDecoder(config(tie=tie))
        table = parameter_table(model)
        counts = table.column("parameters")
        assert counts["total"] == sum(p.numel() for p in model.parameters())
        assert sum(counts.values()) == 2 * counts["total"]
        assert ("generator" in counts) == (tie == "none")
        assert sum(table.column("share (%)").values()) == pytest.approx(200)
    deep = parameter_table(model, depth=2).column("parameters")
    assert {"encoder.0", "decoder.0", "decoder.1"} <= set(deep)
    assert deep["decoder.0"] == deep["decoder.1"] > deep["encoder.0"]
    with pytest.raises(ValueError, match="at least 1"):
        parameter_table(model, depth=0)


def test_the_base_layer_has_the_figures_of_the_paper() -> None:
    block = Block(BlockConfig(d_model=512, n_heads=8, d_ff=2048, bias=False))
    counts = parameter_table(block).column("parameters")
    assert counts["attn"] == 4 * 512**2 == 1_048_576
    assert counts["ffn"] == 2 * 512 * 2048 == 2_097_152


@pytest.mark.parametrize(
    "block",
    [{}, {"n_kv_heads": 2}, {"n_kv_heads": 1, "d_head": 10}, {"activation": "swiglu"}],
    ids=["mha", "gqa", "mqa with wide heads", "gated"],
)
def test_flops_are_those_that_torch_counts(block: dict) -> None:
    cfg = config(block=block)
    model = EncoderDecoder(cfg).eval()
    src, tgt = torch.randint(13, (1, S)), torch.randint(V, (1, T))
    with torch.no_grad(), record_attention(model), FlopCounterMode(display=False) as counter:  # explicit products
        model(src, tgt)
    flops = encoder_decoder_flops(cfg, S, T)
    assert counter.get_total_flops() == sum(flops.values())
    assert flops["decoder"] == 2 * sum(block_flops(cfg.block, T, n_memory=S).values())
    without_mix = {step: n for step, n in block_flops(cfg.block, S).items() if "weighted" not in step}
    assert sum(without_mix.values()) != flops["encoder"]  # leaving out a product would be noticed


def test_a_block_costs_what_the_formula_says() -> None:
    n, d = 40, 64
    flops = block_flops(BlockConfig(d_model=d, n_heads=4, d_ff=4 * d), n)
    assert sum(flops.values()) == 24 * n * d**2 + 4 * n**2 * d
    table = flop_table(flops)
    assert table.rows[-1] == ("total", sum(flops.values()), 100.0)


def test_tables_show_themselves() -> None:
    table = Table(("part", "parameters"), (("a<b", 1234), ("total", 5)))
    assert str(table) == "part   parameters\na<b         1,234\ntotal           5"
    assert repr(table) == str(table)
    assert "<td>a&lt;b</td><td>1,234</td>" in table._repr_html_()


def test_source_is_live() -> None:
    source = show_source(attend)
    assert repr(source) == inspect.getsource(attend).strip()
    assert source._repr_markdown_().startswith("```python\ndef attend(")
    short = repr(show_source(attend, docstring=False))
    assert "scaled_dot_product_attention" in short
    assert "Args:" not in short
    assert short.startswith("def attend(")
    assert "def _axes" not in repr(show_source(observe.record_attention, docstring=False))
    with pytest.raises(TypeError, match="written in Python"):
        show_source(len)


def test_a_fence_in_the_source_does_not_end_the_block() -> None:
    assert observe.Source("x = '```'")._repr_markdown_().startswith("````python\n")
