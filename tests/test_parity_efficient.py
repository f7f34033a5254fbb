"""Longformer, BigBird and Reformer: with copied weights our attention is that of Hugging Face's layers."""

from __future__ import annotations

import pytest
import torch
import transformers
from parity import FLOAT32, FLOAT64, Measure
from tiny import normal, shake
from torch import Tensor, nn
from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention, BigBirdModel
from transformers.models.longformer.modeling_longformer import LongformerSelfAttention
from transformers.models.reformer.modeling_reformer import LSHSelfAttention

from tftutor.attention import attend, merge_heads, split_heads
from tftutor.efficient import bigbird_attention, longformer_attention, lsh_attention, lsh_buckets

B, D, H = 2, 24, 4


@pytest.fixture
def measure(record_property) -> Measure:
    return Measure(record_property)


def heads(layer: nn.Module, x: Tensor) -> Tensor:
    return split_heads(layer(x), H)


@pytest.mark.parametrize("n_global", [0, 1, 3])
def test_longformer(n_global, measure) -> None:
    config = transformers.LongformerConfig(
        hidden_size=D, num_attention_heads=H, attention_window=[8], attention_probs_dropout_prob=0.0)  # fmt: skip
    theirs = shake(LongformerSelfAttention(config, layer_id=0))
    x = normal(B, 40, D)
    valid = torch.ones(B, 40, dtype=torch.bool)
    valid[1, 33:] = False
    marks = torch.zeros(B, 40, dtype=x.dtype).masked_fill(~valid, -10000.0)
    marks[:, :n_global] = 10000.0
    wanted = theirs(x, attention_mask=marks, is_index_masked=marks < 0, is_index_global_attn=marks > 0,
                    is_global_attn=n_global > 0)[0]  # fmt: skip
    q, k, v = (heads(layer, x) for layer in (theirs.query, theirs.key, theirs.value))
    ours = longformer_attention(q, k, v, reach=4, n_global=n_global, key_valid=valid)
    if n_global:  # its global rows have projections of their own
        q, k, v = (heads(layer, x) for layer in (theirs.query_global, theirs.key_global, theirs.value_global))
        ours[:, :, :n_global] = attend(q[:, :, :n_global], k, v, mask=valid[:, None, None])
    # Their softmax is float32, whatever the dtype.
    measure("heads", merge_heads(ours)[valid], wanted[valid], FLOAT32)


@pytest.mark.parametrize("n_random", [1, 2])
def test_bigbird(n_random, measure, monkeypatch) -> None:
    """In training, where it draws random blocks; in evaluation its lists are all zeros, and block 0 counts twice."""
    config = transformers.BigBirdConfig(
        hidden_size=D, num_attention_heads=H, block_size=4, num_random_blocks=n_random, max_position_embeddings=64,
        attention_probs_dropout_prob=0.0)  # fmt: skip
    theirs = shake(BigBirdBlockSparseAttention(config, seed=3)).train()
    drawn = []
    draw = theirs._bigbird_block_rand_mask_with_head

    def remember(*args, **kwargs) -> list:
        drawn.extend(draw(*args, **kwargs))
        return drawn

    monkeypatch.setattr(theirs, "_bigbird_block_rand_mask_with_head", remember)
    x = normal(B, 60, D)
    valid = torch.ones(B, 60, dtype=torch.bool)
    valid[1, 50:] = False
    blocked, band, rows, columns = BigBirdModel.create_masks_for_block_sparse_attn(valid.to(x.dtype), 4)
    wanted, _ = theirs(x, band_mask=band, from_mask=rows, to_mask=columns, from_blocked_mask=blocked,
                       to_blocked_mask=blocked)  # fmt: skip
    q, k, v = (heads(layer, x) for layer in (theirs.query, theirs.key, theirs.value))
    ours = []
    for h, random_blocks in enumerate(drawn):  # every head has its own random blocks
        rows = []
        for i in range(15):
            near = [j for j in (i - 1, i, i + 1) if 0 < j < 14]
            extra = random_blocks[i - 1].tolist() if 0 < i < 14 else []
            row = [0, 14, *near, *extra]
            rows.append(row + [-1] * (5 + n_random - len(row)))
        part = slice(h, h + 1)
        ours.append(bigbird_attention(q[:, part], k[:, part], v[:, part], torch.tensor(rows), block=4, key_valid=valid))
    assert len(ours) == H
    measure("heads", merge_heads(torch.cat(ours, dim=1))[valid], wanted[valid], FLOAT64)


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_reformer(rounds, causal, measure) -> None:
    config = transformers.ReformerConfig(
        hidden_size=D, num_attention_heads=H, attention_head_size=6, lsh_attn_chunk_length=4, num_hashes=rounds,
        num_buckets=8, hash_seed=5, is_decoder=causal, lsh_attention_probs_dropout_prob=0.0,
        lsh_num_chunks_before=1, lsh_num_chunks_after=0)  # fmt: skip
    theirs = shake(LSHSelfAttention(config))
    x = normal(B, 32, D)
    wanted = theirs(x).hidden_states
    qk, v = (heads(layer, x) for layer in (theirs.query_key, theirs.value))
    torch.manual_seed(5)
    rotations = torch.randn(H, 6, rounds, 4, dtype=x.dtype)
    ours = lsh_attention(qk, v, lsh_buckets(qk, rotations), chunk=4, causal=causal)
    measure("heads", merge_heads(ours), wanted, FLOAT64)
