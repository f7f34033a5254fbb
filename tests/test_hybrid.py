"""Hybrids: Mamba as published, memory that does not grow, experts; what all models must do is in test_properties."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import transformers
from parity import FLOAT32, Measure, copy
from tiny import BOS, EOS, PAD, V, hybrid, ids, left_padded, normal, shake
from torch import Tensor

from tftutor import serialization
from tftutor.config import BlockConfig, HybridConfig
from tftutor.decoding import greedy
from tftutor.experts import MixtureOfExperts, Routing, load_balance, route
from tftutor.models import Hybrid

B, T, D = 3, 8, 24


def both_mambas() -> tuple[transformers.MambaForCausalLM, Hybrid]:
    """Hugging Face's and ours with the same weights, float32."""
    config = transformers.MambaConfig(
        vocab_size=V, hidden_size=D, state_size=3, num_hidden_layers=2, conv_kernel=4, expand=2, time_step_rank=2,
        layer_norm_epsilon=1e-5, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS, use_mambapy=False)  # fmt: skip
    theirs = shake(transformers.MambaForCausalLM(config)).float()
    ours = hybrid(("mamba", "mamba")).float()
    copy(theirs.backbone.embeddings, ours.embed)
    copy(theirs.backbone.norm_f, ours.norm_final)
    for mine, other in zip(ours.blocks, theirs.backbone.layers, strict=True):
        copy(other.norm, mine.norm_mixer)
        for name in ("in_proj", "x_proj", "dt_proj", "out_proj"):
            copy(getattr(other.mixer, name), getattr(mine.mixer, name))
        with torch.no_grad():
            mine.mixer.conv.load_state_dict(other.mixer.conv1d.state_dict())
            mine.mixer.a_log.copy_(other.mixer.A_log)
            mine.mixer.d.copy_(other.mixer.D)
    return theirs, ours


def test_mamba_is_that_of_transformers(record_property) -> None:
    theirs, ours = both_mambas()
    tokens = ids(B, T)
    Measure(record_property)("logits", ours(tokens), theirs(tokens).logits, FLOAT32)


def test_mamba_writes_what_transformers_writes() -> None:
    theirs, ours = both_mambas()
    prompt = ids(B, 5)
    wanted = theirs.generate(prompt, max_new_tokens=9, do_sample=False, eos_token_id=EOS, pad_token_id=PAD)[:, 5:]
    decoded = greedy(ours, prompt, ours.new_state(B), max_new_tokens=9, eos_id=EOS).tokens
    assert torch.equal(decoded[:, : wanted.shape[1]], wanted)


@pytest.mark.parametrize("mixers", [("retention",), ("mamba",), ("retention", "mamba")])
def test_memory_without_attention_does_not_grow_and_has_no_end(mixers) -> None:
    model = hybrid(mixers, max_len=4)
    state = model.new_state(1)
    sizes = set()
    with torch.no_grad():
        for token in ids(1, 12).split(1, dim=1):
            model.step(token, state)
            sizes.add(state.nbytes)
    assert len(sizes) == 1
    assert state.lengths.tolist() == [12]


def test_attention_in_one_layer_brings_back_the_limit() -> None:
    model = hybrid(("mamba", "attention"), max_len=4)
    with pytest.raises(ValueError, match="expected at most 4 positions in the state, got 5"):
        model.step(ids(1, 5), model.new_state(1))
    with pytest.raises(ValueError, match="expected at most max_len=4 positions, got 5"):
        model(ids(1, 5))


def test_a_checkpoint_of_a_hybrid_comes_back(tmp_path) -> None:
    model = hybrid(("mamba", "attention", "retention"), n_experts=3, n_active=1).half().float()  # as it is stored
    serialization.save_model(tmp_path / "m", model, card={})
    again, card = serialization.load_model(tmp_path / "m")
    assert again.cfg == model.cfg
    assert torch.equal(again(ids(1, 4)), model(ids(1, 4)))
    assert card["config"]["mixers"] == ["mamba", "attention", "retention"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(mixers=("mambo",)), "mixers: expected one of 'attention', 'retention', 'mamba', got 'mambo'"),
        (dict(mixers=()), "n_layers: expected a positive number, got 0"),
        (dict(n_experts=2, n_active=3), "n_active=3: expected at most n_experts=2"),
        (dict(positions="learned"), "positions: expected a scheme inside attention"),
    ],
)
def test_impossible_hybrids_are_refused(changes, message) -> None:
    cfg = HybridConfig(block=BlockConfig(d_model=8, n_heads=2, d_ff=8), vocab_size=5, mixers=("mamba",),
                       positions="rope")  # fmt: skip
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(cfg, **changes)


def mixture(n_active: int) -> MixtureOfExperts:
    cfg = BlockConfig(d_model=D, n_heads=2, d_ff=10)
    return shake(MixtureOfExperts(cfg, n_experts=4, n_active=n_active))


def slowly(layer: MixtureOfExperts, x: Tensor) -> Tensor:
    """Every expert on every token, weighted; for one token at a time."""
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            probabilities = layer.router(x[b, t]).softmax(dim=-1)
            best = probabilities.argsort(descending=True)[: layer.n_active]
            total = probabilities[best].sum() if layer.n_active > 1 else 1.0
            for e in best.tolist():
                out[b, t] += probabilities[e] / total * layer.experts[e](x[b, t])
    return out


@pytest.mark.parametrize("n_active", [1, 2, 4])
def test_each_token_goes_to_its_own_experts(n_active) -> None:
    layer, x = mixture(n_active), normal(B, T, D)
    assert torch.allclose(layer(x), slowly(layer, x), rtol=0, atol=1e-12)


def test_an_expert_nobody_chose_gets_no_gradient_and_the_router_does() -> None:
    layer, x = mixture(1), normal(1, 2, D)
    layer(x).sum().backward()
    chosen = set(route(layer.router(x), 1).experts.flatten().tolist())
    for number, expert in enumerate(layer.experts):
        used = any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in expert.parameters())
        assert used == (number in chosen)
    assert layer.router.weight.grad.abs().sum() > 0


def test_the_load_is_balanced_at_one_and_collapsed_at_the_number_of_experts() -> None:
    even = torch.eye(4).repeat(3, 1) * 1e-3  # every expert three times, nearly equal probabilities
    assert load_balance(route(even, 1)).item() == pytest.approx(1, abs=1e-3)
    assert load_balance(route(torch.tensor([[9.0, 0, 0, 0]] * 6) * 5, 1)).item() == pytest.approx(4, abs=1e-3)
    valid = torch.tensor([True, True, True, True, False, False])
    some = route(torch.cat([torch.eye(4) * 1e-3, torch.tensor([[9.0, 0, 0, 0]] * 2)]), 1)
    assert load_balance(some, valid).item() == pytest.approx(1, abs=1e-3)


def test_routing_ignores_other_rows() -> None:
    layer, x = mixture(2), normal(B, T, D)
    seen: list[Routing] = []
    layer.observer = seen.append
    layer(x)
    layer(x[1:2])
    assert torch.equal(seen[0].experts[1], seen[1].experts[0])


def test_ragged_prompts_of_a_hybrid_with_experts_decode_as_alone() -> None:
    model = hybrid(("mamba", "attention"), n_experts=3, n_active=2)
    prompt, valid = ids(2, 6), left_padded([6, 3], 6)
    together = greedy(model, prompt, model.new_state(2), max_new_tokens=5, valid=valid)
    alone = greedy(model, prompt[1:, 3:], model.new_state(1), max_new_tokens=5)
    assert torch.equal(together.tokens[1], alone.tokens[0])


@pytest.mark.parametrize("n_active", [1, 2])
def test_experts_work_in_lower_precision(n_active) -> None:
    layer, x = mixture(n_active), normal(B, T, D)
    wanted = layer(x)
    layer, x = layer.float(), x.float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x)
    mixed.sum().backward()
    assert mixed.dtype == torch.float32
    assert (mixed - wanted).norm() < 0.03 * wanted.norm()
    narrow = layer.bfloat16()(x.bfloat16())
    assert narrow.dtype == torch.bfloat16
    assert route(layer.router(x.bfloat16()), n_active).probabilities.dtype == torch.float32


def test_more_choices_than_experts_are_refused() -> None:
    with pytest.raises(ValueError, match="n_active=5: expected at most n_experts=4"):
        mixture(5)
    with pytest.raises(ValueError, match="n_active=3: expected at most n_experts=2"):
        route(torch.zeros(4, 2), 3)
    with pytest.raises(ValueError, match="n_active: expected a positive number, got 0"):
        route(torch.zeros(4, 2), 0)


def test_the_balance_of_no_tokens_is_nothing_and_not_nan() -> None:
    routing = route(torch.randn(3, 4, requires_grad=True), 1)
    nothing = load_balance(routing, torch.zeros(3, dtype=torch.bool))
    nothing.backward()
    assert nothing.item() == 0


def test_a_hybrid_reads_no_tokens() -> None:
    model, none = hybrid(("mamba", "retention", "attention")), torch.zeros(2, 0, dtype=torch.long)
    assert model(none).shape == (2, 0, V)
    state = model.new_state(2)
    with torch.no_grad():
        model.step(ids(2, 3), state)
        model.step(none, state)
    assert state.lengths.tolist() == [3, 3]


@pytest.mark.parametrize("mixer", ["mamba", "retention"])
def test_a_state_is_for_inference(mixer) -> None:
    """Otherwise a memory of constant size would hold on to the operations of every token ever read."""
    model = hybrid((mixer,))
    with pytest.raises(RuntimeError, match=r"state is for inference: call the model under torch\.no_grad"):
        model.step(ids(1, 2), model.new_state(1))
    with torch.no_grad():
        state = model.new_state(1)
        model.step(ids(1, 2), state)
    assert not any(x.requires_grad for layer in state.layers for x in layer.states)
