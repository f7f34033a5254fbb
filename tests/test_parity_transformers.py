"""With copied weights our models compute what Hugging Face's BERT, GPT-2, T5 and LLaMA compute.

Tiny random models, no downloads. BERT and GPT-2 compute in float64 when told to; the norms and rotary tables of T5 and
LLaMA are float32 whatever the dtype, so those two are compared in float32.
"""

from __future__ import annotations

import pytest
import torch
import transformers
from parity import FLOAT32, FLOAT64, Measure, copy_bert, copy_gpt2, copy_llama, copy_t5
from tiny import BOS, EOS, PAD, V, bert, encoder_decoder, gpt, ids, left_padded, right_padded, shake
from torch import Tensor, nn

from tftutor.decoding import Decoded, greedy
from tftutor.masks import count_positions
from tftutor.models import GPT, Bert, EncoderDecoder
from tftutor.positions import t5_buckets
from tftutor.training.losses import sequence_loss

B, T, S, N = 3, 6, 8, 12  # rows, tokens, source tokens, new tokens
SPECIAL = dict(pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS)
VALID = {"right": right_padded([6, 2, 4], T), "left": left_padded([6, 2, 4], T)}


@pytest.fixture
def measure(record_property) -> Measure:
    return Measure(record_property)


def their_bert() -> transformers.BertForMaskedLM:
    config = transformers.BertConfig(
        vocab_size=V, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=20,
        max_position_embeddings=40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=PAD,
    )  # fmt: skip
    return shake(transformers.BertForMaskedLM(config))


def their_gpt2(seed: int = 0) -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(
        vocab_size=V, n_embd=24, n_layer=2, n_head=4, n_inner=20, n_positions=40, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, **SPECIAL,
    )  # fmt: skip
    return shake(transformers.GPT2LMHeadModel(config), std=0.8, seed=seed)


def their_llama(n_kv_heads: int, seed: int = 0) -> transformers.LlamaForCausalLM:
    config = transformers.LlamaConfig(
        vocab_size=V, hidden_size=24, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=n_kv_heads, max_position_embeddings=40, rms_norm_eps=1e-5,
        rope_parameters=dict(rope_type="default", rope_theta=500.0), **SPECIAL,
    )  # fmt: skip
    return shake(transformers.LlamaForCausalLM(config), seed=seed).float()


def their_t5(feed_forward: str, *, tied: bool, seed: int = 0) -> transformers.T5ForConditionalGeneration:
    """As published in 2020 (one table, ReLU), or as v1.1 (its own output table, gated GELU)."""
    config = transformers.T5Config(
        vocab_size=V, d_model=24, d_kv=10, d_ff=20, num_layers=3, num_decoder_layers=2, num_heads=4,
        relative_attention_num_buckets=8, relative_attention_max_distance=10, dropout_rate=0.0,
        feed_forward_proj=feed_forward, tie_word_embeddings=tied, decoder_start_token_id=BOS, **SPECIAL,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config)
    if not tied:  # transformers 5 always ties; the published v1.1 weights are not
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.shared.weight))
    return shake(model, seed=seed).float()


def our_bert(theirs: nn.Module) -> Bert:
    ours = bert(positions="learned", activation="gelu", norm_eps=1e-12)
    copy_bert(theirs, ours)
    return ours


def our_gpt2(theirs: nn.Module) -> GPT:
    ours = gpt(positions="learned", activation="gelu_tanh")
    copy_gpt2(theirs, ours)
    return ours


def our_llama(theirs: nn.Module) -> GPT:
    ours = gpt(
        positions="rope", rope_base=500.0, n_kv_heads=theirs.config.num_key_value_heads, bias=False, norm="rms",
        activation="swiglu", tie=False,
    ).float()  # fmt: skip
    copy_llama(theirs, ours)
    return ours


def our_t5(theirs: nn.Module) -> EncoderDecoder:
    gated, tied = theirs.config.is_gated_act, theirs.config.scale_decoder_outputs
    ours = encoder_decoder(
        positions="t5", d_head=10, scale=1.0, bias=False, norm="rms", norm_eps=1e-6, embed_scale=False,
        activation="geglu" if gated else "relu", src_vocab_size=V, tie="all" if tied else "none",
        output_scale=24**-0.5 if tied else 1.0, n_encoder_layers=3, n_decoder_layers=2,
    ).float()  # fmt: skip
    copy_t5(theirs, ours)
    return ours


def mean_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """What Hugging Face calls the loss: nats per token that counts."""
    total, count = sequence_loss(logits, targets, valid)
    return total / count


def expect_same_text(ours: Decoded, theirs: Tensor) -> None:
    """Hugging Face pads to the longest row of its batch, as we do."""
    torch.testing.assert_close(ours.tokens, theirs, rtol=0, atol=0)
    # seeds are chosen so that rows differ and end: agreement on three times the same token for ever would mean little
    assert ours.tokens.unique().numel() > 3
    assert ours.lengths.unique().numel() > 1


@pytest.mark.parametrize("side", ["right", "left"])
def test_bert(measure, side) -> None:
    theirs = their_bert()
    ours, tokens, valid = our_bert(theirs), ids(B, T), VALID[side]
    segments = torch.tensor([0, 0, 0, 1, 1, 1]).expand(B, T)
    position_ids = count_positions(valid).clamp(min=0)
    labels = tokens.masked_fill(~valid | (tokens % 2 == 0), -100)
    with torch.no_grad():
        expected = theirs(
            tokens, attention_mask=valid.long(), token_type_ids=segments, position_ids=position_ids, labels=labels
        )
        states = theirs.bert(
            tokens, attention_mask=valid.long(), token_type_ids=segments, position_ids=position_ids
        ).last_hidden_state
        logits = ours(tokens, valid=valid, segments=segments)
        mine = ours.encode(tokens, valid=valid, segments=segments)
    measure(f"BertModel, states, {side} padding", mine[valid], states[valid], FLOAT64)
    measure(f"BertForMaskedLM, logits, {side} padding", logits[valid], expected.logits[valid], FLOAT64)
    loss = mean_loss(logits, tokens, labels != -100)
    measure(f"BertForMaskedLM, loss, {side} padding", loss, expected.loss, FLOAT64)


def causal_language_model(measure, name: str, theirs: nn.Module, ours: GPT, side: str, tolerance: float) -> None:
    """Logits and loss of a padded batch; greedy generation with a cache, of left-padded prompts."""
    tokens, valid = ids(B, T), VALID[side]
    labels = tokens.masked_fill(~valid, -100)
    with torch.no_grad():
        expected = theirs(
            tokens, attention_mask=valid.long(), position_ids=count_positions(valid).clamp(min=0), labels=labels
        )
        logits = ours(tokens, valid=valid)
    measure(f"{name}, logits, {side} padding", logits[valid], expected.logits[valid], tolerance)
    counts = (labels[:, 1:] != -100) & valid[:, :-1]
    if side == "right":  # with left padding Hugging Face scores a row's first token, predicted from padding
        loss = mean_loss(logits[:, :-1], tokens[:, 1:], counts)
        measure(f"{name}, loss, {side} padding", loss, expected.loss, FLOAT32)  # theirs is float32 whatever the dtype
        return
    new = theirs.generate(
        tokens, attention_mask=valid.long(), do_sample=False, max_new_tokens=N, return_dict_in_generate=True,
        output_logits=True,
    )  # fmt: skip
    with torch.no_grad():
        state = ours.new_state(B)
        decoded = greedy(ours, tokens, state, max_new_tokens=N, eos_id=EOS, valid=valid)
    expect_same_text(decoded, new.sequences[:, T:])
    written = torch.arange(decoded.tokens.shape[1]) < decoded.lengths[:, None]
    steps = torch.stack(new.logits, dim=1).double().log_softmax(dim=-1)
    expected_sum = steps.gather(-1, decoded.tokens[..., None])[..., 0].masked_fill(~written, 0.0).sum(dim=1)
    measure(f"{name}, log-probability of generated text", decoded.log_probs, expected_sum, FLOAT32)  # theirs: float32


@pytest.mark.parametrize("side", ["right", "left"])
def test_gpt2(measure, side) -> None:
    theirs = their_gpt2(seed=8)
    causal_language_model(measure, "GPT2LMHeadModel", theirs, our_gpt2(theirs), side, FLOAT64)


@pytest.mark.parametrize(("n_kv_heads", "seed"), [(1, 2), (2, 11), (4, 7)])
@pytest.mark.parametrize("side", ["right", "left"])
def test_llama(measure, side, n_kv_heads, seed) -> None:
    theirs = their_llama(n_kv_heads, seed)
    name = f"LlamaForCausalLM, G={n_kv_heads}"
    causal_language_model(measure, name, theirs, our_llama(theirs), side, FLOAT32)


@pytest.mark.parametrize(
    ("name", "feed_forward", "tied", "seed"), [("2020", "relu", True, 1), ("v1.1", "gated-gelu", False, 15)]
)
def test_t5(measure, name, feed_forward, tied, seed) -> None:
    theirs = their_t5(feed_forward, tied=tied, seed=seed)
    ours = our_t5(theirs)
    src, src_valid = ids(B, S, seed=3), right_padded([8, 3, 5], S)
    answer, tgt_valid = ids(B, T), VALID["right"]
    labels = answer.masked_fill(~tgt_valid, -100)
    tgt = torch.cat([torch.full((B, 1), BOS), answer[:, :-1]], dim=1)
    with torch.no_grad():
        expected = theirs(src, attention_mask=src_valid.long(), labels=labels)
        states = theirs.encoder(src, attention_mask=src_valid.long()).last_hidden_state
        logits = ours(src, tgt, src_valid=src_valid, tgt_valid=tgt_valid)
        memory = ours.encode(src, src_valid[:, None, None])
    model = f"T5ForConditionalGeneration {name}"
    measure(f"{model}, encoder", memory[src_valid], states[src_valid], FLOAT32)
    measure(f"{model}, logits", logits[tgt_valid], expected.logits[tgt_valid], FLOAT32)
    measure(f"{model}, loss", mean_loss(logits, answer, tgt_valid), expected.loss, FLOAT32)
    new = theirs.generate(src, attention_mask=src_valid.long(), do_sample=False, max_new_tokens=N)
    with torch.no_grad():
        start = torch.full((B, 1), BOS)
        decoded = greedy(ours, start, ours.start(src, src_valid), max_new_tokens=N, eos_id=EOS)
    expect_same_text(decoded, new[:, 1:])


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("n_buckets", "max_distance"), [(8, 10), (32, 128), (64, 1000)])
def test_t5_buckets(measure, bidirectional, n_buckets, max_distance) -> None:
    theirs = transformers.models.t5.modeling_t5.T5Attention._relative_position_bucket
    offsets = torch.arange(-3000, 3001)
    measure(
        f"T5 buckets, {n_buckets} up to {max_distance}, bidirectional={bidirectional}",
        t5_buckets(offsets, n_buckets=n_buckets, max_distance=max_distance, bidirectional=bidirectional),
        theirs(offsets, bidirectional=bidirectional, num_buckets=n_buckets, max_distance=max_distance),
        0.0,
    )


def test_the_comparison_can_fail(measure) -> None:
    theirs = their_llama(2)
    ours = our_llama(theirs)
    ours.positions.layout = "pairs"  # the pair layout of the paper instead of theirs
    tokens = ids(B, T)
    with torch.no_grad(), pytest.raises(AssertionError, match="differs by"):
        measure("wrong layout", ours(tokens), theirs(tokens).logits, FLOAT32)
