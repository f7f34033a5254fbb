"""RoPE scalings: closed forms, equality with Hugging Face's, and which angles they keep."""

from __future__ import annotations

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tiny import gpt, ids, normal
from torch import Tensor
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from tftutor import rope_scaling
from tftutor.positions import RotaryPositions, frequencies, rope_rotation, rotate
from tftutor.properties import shift_change

HF_NAMES = {"linear": "linear", "dynamic": "dynamic", "yarn": "yarn"}


def scaled(method: str, *, d_head: int = 16, factor: float = 4.0, trained: int = 64, base: float = 10_000.0
           ) -> rope_scaling.ScaledRotaryPositions:  # fmt: skip
    return rope_scaling.ScaledRotaryPositions(d_head, method=method, factor=factor, trained=trained, base=base)


@pytest.mark.parametrize("method", HF_NAMES)
@pytest.mark.parametrize("length", [40, 64, 200])
@pytest.mark.parametrize("base", [500.0, 10_000.0])
def test_the_angles_are_those_of_transformers(method, length, base) -> None:
    rope = dict(rope_type=HF_NAMES[method], rope_theta=base, factor=4.0)
    if method == "yarn":
        rope["original_max_position_embeddings"] = 64
    config = transformers.LlamaConfig(
        hidden_size=64, num_attention_heads=4, max_position_embeddings=64, rope_parameters=rope)  # fmt: skip
    theirs = LlamaRotaryEmbedding(config)
    pos = torch.arange(length)
    cos, sin = theirs(torch.zeros(1, length, 16), pos[None])
    ours = scaled(method, base=base).inputs(pos, pos).rotation
    for mine, other in ((ours.cos, cos), (ours.sin, sin)):
        assert (mine - other[0, :, :8]).abs().max() < 2e-5 * length / 64  # theirs are float32


@given(factor=st.floats(1.0, 64.0), half=st.integers(2, 64))
def test_ntk_keeps_the_fastest_pair_and_slows_the_slowest_by_the_factor(factor, half) -> None:
    plain, slow = frequencies(2 * half), frequencies(2 * half, rope_scaling.ntk_base(10_000.0, factor, 2 * half))
    assert slow[0] == plain[0]
    assert (plain[-1] / slow[-1]).item() == pytest.approx(factor)


def test_the_factor_itself_as_new_base_slows_the_slowest_pair_too_little() -> None:
    """The variant that the closed form must reject: base * factor, without the exponent."""
    plain, slow = frequencies(16), frequencies(16, 10_000.0 * 8)
    assert (plain[-1] / slow[-1]).item() < 0.8 * 8


def test_interpolated_positions_end_where_training_ended() -> None:
    pos = torch.tensor([4 * 63])
    ours = scaled("linear").inputs(pos, pos).rotation
    trained = rope_rotation(torch.tensor([63]), 16)
    assert torch.allclose(ours.cos, trained.cos)


def test_yarn_keeps_pairs_that_turn_often_and_interpolates_those_that_do_not() -> None:
    plain = frequencies(64)
    ours = rope_scaling.yarn_frequencies(64, 10_000.0, 8.0, trained=2048)
    turns = 2048 * plain / (2 * torch.pi)
    assert torch.equal(ours[turns > 40], plain[turns > 40])
    assert torch.allclose(ours[turns < 0.7], plain[turns < 0.7] / 8)
    assert ((ours <= plain) & (ours >= plain / 8)).all()


@pytest.mark.parametrize("method", rope_scaling.METHODS)
def test_a_factor_of_one_changes_nothing(method) -> None:
    pos = torch.arange(64)
    ours, plain = (p.inputs(pos, pos).rotation for p in (scaled(method, factor=1.0), RotaryPositions(16)))
    assert torch.allclose(ours.cos, plain.cos)
    assert torch.allclose(ours.sin, plain.sin)


@pytest.mark.parametrize("method", rope_scaling.METHODS)
def test_scores_still_depend_on_distance_only(method) -> None:
    scheme = scaled(method, trained=4096)  # dynamic: nothing here is longer, or the base would change with the shift
    q, k = normal(1, 1, 5, 16), normal(1, 1, 7, 16, seed=1)

    def scores(query_pos: Tensor, key_pos: Tensor) -> Tensor:
        turned = [rotate(x, scheme.inputs(pos, pos).rotation) for x, pos in ((q, query_pos), (k, key_pos))]
        return turned[0] @ turned[1].mT

    assert shift_change(scores, torch.arange(5), torch.arange(7), 900) < 1e-10


def test_dynamic_reads_each_row_of_a_ragged_batch_by_its_own_length() -> None:
    model = gpt(positions="rope")
    width = model.cfg.block.head_width
    model.positions = rope_scaling.ScaledRotaryPositions(width, method="dynamic", factor=2.0, trained=4)
    tokens = ids(2, 12)
    valid = torch.ones(2, 12, dtype=torch.bool)
    valid[1, 7:] = False
    with torch.no_grad():
        together = model(tokens, valid=valid)
        alone = model(tokens[1:, :7])
    assert (together[1, :7] - alone[0]).abs().max() < 1e-10


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(ValueError, match="method: expected one of 'linear', 'ntk', 'dynamic', 'yarn', got 'pi'"):
        scaled("pi")
