"""Hidden features are those the last matrix gets; silencing removes exactly their rows."""

from __future__ import annotations

import pytest
import torch
from tiny import encoder_decoder, gpt, ids

from tftutor.neurons import record_inputs, record_neurons, silence_neurons

F = 20


def test_recorded_features_are_those_of_the_layer() -> None:
    model = encoder_decoder(activation="relu")
    src, tgt = ids(2, 5), ids(2, 3)
    with torch.no_grad():
        before = model(src, tgt)
        with record_neurons(model) as neurons:
            torch.testing.assert_close(model(src, tgt), before, rtol=0, atol=0)
        model(src.flip(0), tgt)
    shapes = {name: tuple(hidden.shape) for name, hidden in neurons.items()}
    encoder, decoder = ({f"{side}.{i}.ffn" for i in range(n)} for side, n in (("encoder", 2), ("decoder", 3)))
    assert shapes == dict.fromkeys(encoder, (2, 5, F)) | dict.fromkeys(decoder, (2, 3, F))
    assert all(float(hidden.min()) == 0 for hidden in neurons.values())
    ffn, x = model.encoder[0].ffn, torch.randn(4, 24).double()
    with torch.no_grad(), record_neurons(ffn) as neurons, record_inputs(ffn) as inputs:
        out = ffn(x)
    assert torch.equal(inputs[""], x)
    torch.testing.assert_close(ffn.down_proj(neurons[""]), out, rtol=0, atol=1e-12)
    torch.testing.assert_close(neurons[""], ffn.up_proj(x).relu(), rtol=0, atol=1e-12)
    assert not neurons[""].requires_grad


def test_gated_features_carry_their_gate() -> None:
    model, tokens = gpt(activation="swiglu", n_layers=1), ids(2, 5)
    ffn = model.blocks[0].ffn
    with torch.no_grad(), record_neurons(model) as neurons:
        model(tokens)
        x = torch.randn(3, 24).double()
        ffn(x)
    expected = torch.nn.functional.silu(ffn.gate_proj(x)) * ffn.up_proj(x)
    torch.testing.assert_close(neurons["blocks.0.ffn"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("which", [[2, 7], slice(3, 9), torch.arange(F) % 3 == 0], ids=["numbers", "slice", "bool"])
def test_silence_removes_the_terms_of_these_neurons(which) -> None:
    model = gpt(activation="relu", n_layers=1)
    ffn, x = model.blocks[0].ffn, torch.randn(3, 24).double()
    keep = torch.ones(F, dtype=torch.float64)
    keep[which] = 0
    with torch.no_grad():
        hidden = ffn.up_proj(x).relu()
        with silence_neurons(model, {"blocks.0.ffn": which}):
            torch.testing.assert_close(ffn(x), ffn.down_proj(hidden * keep), rtol=0, atol=1e-12)
        torch.testing.assert_close(ffn(x), ffn.down_proj(hidden), rtol=0, atol=1e-12)
        assert (ffn.down_proj(hidden * keep) - ffn.down_proj(hidden)).abs().max() > 1e-3


def test_silence_names_layers_and_ends_after_an_error() -> None:
    model, tokens = gpt(n_layers=1), ids(2, 5)
    with torch.no_grad():
        before = model(tokens)
        with silence_neurons(model, {"blocks.0.ffn": slice(None)}):
            assert (model(tokens) - before).abs().max() > 1e-3
        with pytest.raises(RuntimeError, match="on purpose"), silence_neurons(model, {"blocks.0.ffn": slice(None)}):
            raise RuntimeError("on purpose")
        torch.testing.assert_close(model(tokens), before, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"silent: expected names among blocks\.0\.ffn, got 'ffn'"), \
            silence_neurons(model, {"ffn": [0]}):  # fmt: skip
        pass
