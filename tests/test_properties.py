"""What must hold of every model family, position scheme and norm order. `test_faults` shows that checks can fail."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import (
    BOS,
    EOS,
    GPT_SCHEMES,
    V_SRC,
    bert,
    encoder_decoder,
    gpt,
    hybrid,
    ids,
    left_padded,
    normal,
    right_padded,
    t5,
)
from torch import Tensor, nn

from tftutor import properties
from tftutor.attention import MultiHeadAttention
from tftutor.decoding import Beams, Decoded, beam_search, greedy
from tftutor.masks import padding_mask
from tftutor.models import GPT, EncoderDecoder, Hybrid
from tftutor.observe import record_attention
from tftutor.properties import Source
from tftutor.training.losses import sequence_loss

pytestmark = pytest.mark.filterwarnings("ignore:Anomaly Detection")
EXACT = 1e-12  # float64; the logits of these models are of order 10
B, T, S = 3, 7, 9
LLAMA = dict(positions="rope", norm="rms", bias=False, activation="swiglu", n_kv_heads=2, tie=False)

GPTS = {f"{p}-{n}": functools.partial(gpt, positions=p, norm_order=n) for p in GPT_SCHEMES for n in ("pre", "post")}
GPTS |= {f"{p}-G{g}": functools.partial(gpt, positions=p, n_kv_heads=g) for p in ("alibi", "rope") for g in (1, 2)}
GPTS["llama"] = functools.partial(gpt, **LLAMA)
GPTS |= {
    "retnet": functools.partial(hybrid, ("retention", "retention")),
    "mamba": functools.partial(hybrid, ("mamba", "mamba")),
    "jamba": functools.partial(hybrid, ("mamba", "attention", "mamba"), mamba_ffn=True, n_kv_heads=2),
    "mixed": functools.partial(hybrid, ("attention", "retention", "mamba"), positions="none"),
    "experts": functools.partial(hybrid, ("attention", "mamba"), n_experts=3, n_active=2),
}
PAIRS = {
    f"{p}-{n}": functools.partial(encoder_decoder, positions=p, norm_order=n)
    for p in GPT_SCHEMES
    for n in ("pre", "post")
}
PAIRS |= {"t5": t5, "t5-v1.1": functools.partial(t5, activation="geglu", tie="none", output_scale=1.0)}
PAIRS["bare"] = functools.partial(encoder_decoder, norm_order="post", final_norm=False, tie="target", n_kv_heads=1)
BERTS = {f"{p}-{n}": functools.partial(bert, positions=p, norm_order=n) for p in GPT_SCHEMES for n in ("pre", "post")}

every_gpt = pytest.mark.parametrize("build", GPTS.values(), ids=GPTS)
every_pair = pytest.mark.parametrize("build", PAIRS.values(), ids=PAIRS)
every_bert = pytest.mark.parametrize("build", BERTS.values(), ids=BERTS)
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def source(lengths: list[int] | None = None, width: int = S, *, seed: int = 1) -> Source:
    """Random sources, of `lengths` if given; short vocabularies are T5's."""
    n_rows = B if lengths is None else len(lengths)
    return Source(ids(n_rows, width, seed=seed), None if lengths is None else right_padded(lengths, width))


# Causality


@every_gpt
@both_modes
def test_gpt_the_future_cannot_change_the_past(build, training) -> None:
    model = build(dropout=0.3, attn_dropout=0.3).train(training)
    assert properties.past_change(model, ids(B, T), 3) <= EXACT


@every_pair
@both_modes
def test_decoder_the_future_cannot_change_the_past(build, training) -> None:
    model, (src, valid) = build(dropout=0.3, attn_dropout=0.3).train(training), source([9, 4, 6])
    assert properties.past_change(lambda tgt: model(src, tgt, src_valid=valid), ids(B, T), 3) <= EXACT
    hidden = model.encode(src)
    assert properties.past_change(lambda tgt: model.decode(tgt, hidden), ids(B, T), 3) <= EXACT


@every_bert
def test_bert_sees_both_sides(build) -> None:
    assert properties.past_change(build(), ids(B, T), 3) > 1e-3


@every_pair
def test_every_answer_depends_on_every_source_token(build) -> None:
    model, tgt = build(), ids(B, T)
    src = source().tokens
    before = model(src, tgt)
    for column in range(S):
        other = src.clone()
        other[:, column] = 3 + (src[:, column] - 2) % 8
        assert (model(other, tgt) - before).abs().amax(dim=-1).min() > 0  # any row, any position


# Step = full pass


@every_gpt
@pytest.mark.parametrize("chunks", [[1] * T, [4, 1, 2], [T]], ids=str)
def test_gpt_steps_equal_the_full_pass(build, chunks) -> None:
    assert properties.step_error(build(), ids(B, T), chunks) <= EXACT


@every_pair
@pytest.mark.parametrize("chunks", [[1] * T, [4, 1, 2], [T]], ids=str)
def test_decoder_steps_equal_the_full_pass(build, chunks) -> None:
    assert properties.step_error(build(), ids(B, T), chunks, source=source([9, 4, 6])) <= EXACT
    assert properties.step_error(build(), ids(B, T), chunks, source=source()) <= EXACT


@pytest.mark.parametrize("positions", GPT_SCHEMES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_chunks_of_any_ragged_batch(positions, data) -> None:
    chunks = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    length = sum(chunks)
    valid = torch.tensor(data.draw(st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=2,
                                            max_size=2)))  # fmt: skip
    model, tokens = cached_gpt(positions), ids(2, length)
    assert properties.step_error(model, tokens, chunks, valid=valid) <= EXACT


@functools.cache
def cached_gpt(positions: str) -> GPT:
    return gpt(positions=positions, n_kv_heads=2)


# Padding, neighbours, order


@every_gpt
@pytest.mark.parametrize("side", ["left", "right"])
def test_gpt_padding_changes_nothing(build, side) -> None:
    model = build()
    assert properties.padding_change(lambda x, valid: model(x, valid=valid), ids(B, T), 4, side=side) <= EXACT


@every_bert
@pytest.mark.parametrize("side", ["left", "right"])
def test_bert_padding_changes_nothing(build, side) -> None:
    model = build()
    assert properties.padding_change(lambda x, valid: model(x, valid=valid), ids(B, T), 4, side=side) <= EXACT


@every_pair
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_of_source_and_target_changes_nothing(build, side) -> None:
    model, src, tgt = build(), source().tokens, ids(B, T)
    for_source = lambda x, valid: model(x, tgt, src_valid=valid)  # noqa: E731
    for_target = lambda x, valid: model(src, x, tgt_valid=valid)  # noqa: E731
    assert properties.padding_change(for_source, src, 4, side=side, aligned=False) <= EXACT
    assert properties.padding_change(for_target, tgt, 4, side=side) <= EXACT


@every_gpt
def test_gpt_rows_do_not_meet(build) -> None:
    model, valid = build(), left_padded([7, 2, 5], T)
    assert properties.batch_change(lambda x, v: model(x, valid=v).where(v[..., None], 0), ids(B, T), valid) <= EXACT


@every_bert
def test_bert_rows_do_not_meet(build) -> None:
    assert properties.batch_change(build(), ids(B, T)) <= EXACT


@every_pair
def test_pairs_do_not_meet(build) -> None:
    model, (src, valid) = build(), source([9, 4, 6])
    fn = lambda src, tgt, valid: model(src, tgt, src_valid=valid)  # noqa: E731
    assert properties.batch_change(fn, src, ids(B, T), valid) <= EXACT


@pytest.mark.parametrize("norm_order", ["pre", "post"])
def test_without_positions_order_does_not_matter(norm_order) -> None:
    assert properties.permutation_change(bert(positions="none", norm_order=norm_order), ids(B, T)) <= EXACT
    model = encoder_decoder(positions="none", norm_order=norm_order)
    assert properties.permutation_change(model.encode, source().tokens) <= EXACT
    src, tgt = source().tokens, ids(B, T)
    assert (model(src, tgt) - model(src.flip(1), tgt)).abs().max() <= EXACT  # a set of letters, not a word


@pytest.mark.parametrize("positions", [p for p in GPT_SCHEMES if p != "none"])
def test_with_positions_order_matters(positions) -> None:
    assert properties.permutation_change(bert(positions=positions), ids(B, T)) > 1e-3
    assert properties.permutation_change(encoder_decoder(positions=positions).encode, source().tokens) > 1e-3


def test_a_causal_mask_makes_order_matter_even_without_positions() -> None:
    assert properties.permutation_change(gpt(positions="none"), ids(B, T)) > 1e-3


@pytest.mark.parametrize("build", [*GPTS.values(), *BERTS.values()])
def test_dropout_only_in_training(build) -> None:
    model = build(dropout=0.3, attn_dropout=0.3)
    assert properties.rerun_change(model, ids(B, T)) == 0
    assert properties.rerun_change(model.train(), ids(B, T)) > 1e-3


# Gradients


def finite_gradients(model: nn.Module, logits: Tensor) -> bool:
    """Whether every gradient of some loss over all positions, padding included, is finite."""
    logits.square().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return bool(logits.isfinite().all()) and all(bool(g.isfinite().all()) for g in gradients)


def has_an_empty_row(side: str) -> Tensor:
    """`valid` (B, T) whose row 1 is all padding."""
    return (left_padded if side == "left" else right_padded)([5, 0, 2], T)


@every_gpt
@pytest.mark.parametrize("side", ["left", "right"])
def test_gpt_empty_rows_leave_gradients_finite(build, side) -> None:
    model = build().train()
    with torch.autograd.detect_anomaly(check_nan=True):
        assert finite_gradients(model, model(ids(B, T), valid=has_an_empty_row(side)))


@every_bert
@pytest.mark.parametrize("side", ["left", "right"])
def test_bert_empty_rows_leave_gradients_finite(build, side) -> None:
    model = build().train()
    with torch.autograd.detect_anomaly(check_nan=True):
        assert finite_gradients(model, model(ids(B, T), valid=has_an_empty_row(side)))


@every_pair
@pytest.mark.parametrize("side", ["left", "right"])
def test_pairs_empty_rows_leave_gradients_finite(build, side) -> None:
    model, valid = build().train(), has_an_empty_row(side)
    with torch.autograd.detect_anomaly(check_nan=True):
        logits = model(source(width=T).tokens, ids(B, T), src_valid=valid, tgt_valid=valid.roll(1, dims=0))
        assert finite_gradients(model, logits)


def unused(model: nn.Module, logits: Tensor) -> list[str]:
    """Parameters without gradient."""
    return properties.dead_parameters(model, (logits * normal(*logits.shape)).sum())


def key_biases(model: nn.Module, *, rotated: bool) -> list[str]:
    """Key biases that cannot learn: b adds q . b to all scores of a query alike, which the softmax does not see.

    Rotation turns b by another angle at each key, so under RoPE it does learn; cross-attention never rotates.
    """
    names = [name for name, _ in model.named_parameters() if name.endswith("k_proj.bias")]
    return [name for name in names if not rotated or "cross_attn" in name]


@every_gpt
def test_gpt_every_parameter_learns(build) -> None:
    model = build()
    assert unused(model, model(ids(B, T))) == key_biases(model, rotated=model.cfg.positions.startswith("rope"))


@every_bert
def test_bert_every_parameter_learns(build) -> None:
    model, segments = build(), torch.arange(T).gt(3).long().expand(B, -1)
    dead = unused(model, model(ids(B, T), segments=segments))
    assert dead == key_biases(model, rotated=model.cfg.positions.startswith("rope"))


@every_pair
def test_pairs_every_parameter_learns(build) -> None:
    model = build()
    dead = unused(model, model(source().tokens, ids(B, T)))
    assert dead == key_biases(model, rotated=model.cfg.positions.startswith("rope"))


# Rows of a batch during generation


@every_gpt
@pytest.mark.parametrize("pad", [left_padded, right_padded])
def test_gpt_ragged_prompts_decode_as_alone(build, pad) -> None:
    model = build()

    def one(prompt: Tensor, valid: Tensor | None) -> Decoded:
        return greedy(model, prompt, model.new_state(len(prompt)), max_new_tokens=6, eos_id=EOS, valid=valid)

    def beams(prompt: Tensor, valid: Tensor | None) -> Beams:
        state = model.new_state(len(prompt))
        return beam_search(model, prompt, state, n_beams=3, max_new_tokens=6, eos_id=EOS, valid=valid)

    for decode in (one, beams):
        assert properties.ragged_change(decode, ids(4, T, seed=5), pad([7, 2, 1, 4], T)) == 0


@every_pair
def test_pairs_ragged_sources_and_prompts_decode_as_alone(build) -> None:
    model, (src, src_valid) = build(), source([9, 4, 6])

    def one(prompt: Tensor, valid: Tensor | None, src: Tensor, src_valid: Tensor) -> Decoded:
        return greedy(model, prompt, trimmed(src, src_valid), max_new_tokens=6, eos_id=EOS, valid=valid)

    def beams(prompt: Tensor, valid: Tensor | None, src: Tensor, src_valid: Tensor) -> Beams:
        state = trimmed(src, src_valid)
        return beam_search(model, prompt, state, n_beams=3, max_new_tokens=6, eos_id=EOS, valid=valid)

    def trimmed(src: Tensor, src_valid: Tensor) -> object:
        """A lone source comes without padding."""
        with torch.no_grad():
            return model.start(src, src_valid) if len(src) > 1 else model.start(src[:, src_valid[0]])

    for decode in (one, beams):
        assert properties.ragged_change(decode, ids(B, 4), left_padded([4, 1, 2], 4), src, src_valid) == 0


@every_gpt
def test_gpt_rows_come_and_go(build) -> None:
    assert properties.turnover_error(build(), ids(3, 8), ids(2, 3, seed=2)) <= EXACT
    assert properties.reorder_error(build(), ids(3, 5), torch.tensor([2, 0, 0, 1])) <= EXACT


@every_pair
def test_pairs_rows_come_and_go(build) -> None:
    for lengths, width in itertools.product(([5, 3], None), (S, 5)):  # the newcomers' sources: as wide, or narrower
        sources = source([9, 4, 6]), source(lengths and [min(n, width) for n in lengths], width, seed=2)
        joining = Source(sources[1].tokens[:2], sources[1].valid)
        assert properties.turnover_error(build(), ids(3, 8), ids(2, 3, seed=2), sources=(sources[0], joining)) <= EXACT
        wide = Source(sources[0].tokens)  # no padding at all in the rows already there
        assert properties.turnover_error(build(), ids(3, 8), ids(2, 3, seed=2), sources=(wide, joining)) <= EXACT
    assert properties.reorder_error(build(), ids(3, 5), torch.tensor([2, 0, 0, 1]), source=source([9, 4, 6])) <= EXACT


@every_gpt
def test_gpt_reported_scores_are_the_models(build) -> None:
    model, prompt = build(), ids(2, 3)
    decoded = greedy(model, prompt, model.new_state(2), max_new_tokens=6, eos_id=EOS)
    beams = beam_search(model, prompt, model.new_state(2), n_beams=4, max_new_tokens=6, eos_id=EOS)
    for result in (decoded, beams):
        assert properties.score_error(model, prompt, result) <= EXACT
        assert properties.end_error(result, eos_id=EOS) == 0


# Observing


@pytest.mark.parametrize("build", [*GPTS.values(), *BERTS.values()])
def test_recording_attention_changes_nothing(build) -> None:
    model, valid = build(), left_padded([7, 2, 5], T)
    attending = sum(isinstance(module, MultiHeadAttention) for module in model.modules())
    with torch.no_grad():
        plain = model(ids(B, T), valid=valid)
        with record_attention(model) as maps:
            recorded = model(ids(B, T), valid=valid)
    assert (plain - recorded).abs().max() <= EXACT
    mask = padding_mask(valid).expand(-1, 4, T, -1)
    if isinstance(model, GPT | Hybrid):
        mask = mask & torch.ones(T, T, dtype=torch.bool).tril()
    assert len(maps) == attending
    for weights in maps.values():
        assert properties.weight_error(weights, mask) <= EXACT


@every_pair
def test_recording_attention_of_pairs_changes_nothing(build) -> None:
    model, (src, valid) = build(), source([9, 4, 6])
    with torch.no_grad():
        plain = model(src, ids(B, T), src_valid=valid)
        with record_attention(model) as maps:
            recorded = model(src, ids(B, T), src_valid=valid)
    assert (plain - recorded).abs().max() <= EXACT
    assert {tuple(w.shape[2:]) for w in maps.values()} == {(S, S), (T, T), (T, S)}
    assert properties.weight_error(maps["decoder.1.cross_attn"], padding_mask(valid)) <= EXACT


# Learning


def train(model: nn.Module, batches: int, step_loss: Callable[[nn.Module], Tensor]) -> float:
    """The loss after `batches` steps of Adam."""
    torch.manual_seed(0)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(batches):
        loss = step_loss(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def copy_loss(model: EncoderDecoder) -> Tensor:
    """Nats per token: the target is the source."""
    src = torch.randint(3, 11, (24, 5))
    tgt = torch.cat([torch.full((24, 1), BOS), src[:, :-1]], dim=1)
    total, count = sequence_loss(model(src, tgt), src, torch.ones_like(src, dtype=torch.bool))
    return total / count


def repeat_loss(model: GPT) -> Tensor:
    """Nats per token of the second half of a text that says everything twice."""
    half = torch.randint(3, 11, (24, 4))
    text = torch.cat([half, half], dim=1)
    total, count = sequence_loss(model(text)[:, 3:-1], text[:, 4:], torch.ones_like(half, dtype=torch.bool))
    return total / count


def fresh(model: nn.Module) -> nn.Module:
    """The same architecture as it is before training, in float32: with weights drawn by its own constructor."""
    torch.manual_seed(0)
    return type(model)(model.cfg)


# Measured after 300 steps, two seeds: at most 0.003 with positions in the embeddings; 0.16 with RoPE and 0.44 with T5's
# bias, which cross-attention does not see; at least 0.91 without positions.
@pytest.mark.parametrize(
    ("positions", "norm_order", "bound"),
    [("sinusoidal", "pre", 0.1), ("sinusoidal", "post", 0.1), ("learned", "pre", 0.1), ("rope", "post", 0.6),
     ("t5", "pre", 0.6)],
)  # fmt: skip
def test_the_encoder_decoder_learns_to_copy(positions, norm_order, bound) -> None:
    shape = dict(positions=positions, norm_order=norm_order, n_encoder_layers=1, n_decoder_layers=1, d_model=32)
    assert train(fresh(encoder_decoder(**shape)), 300, copy_loss) < bound


def test_without_positions_the_encoder_decoder_cannot_copy() -> None:
    shape = dict(positions="none", n_encoder_layers=1, n_decoder_layers=1, d_model=32)
    assert train(fresh(encoder_decoder(**shape)), 300, copy_loss) > 0.75


@pytest.mark.parametrize("positions", ["learned", "rope"])
def test_gpt_learns_to_repeat(positions) -> None:
    assert train(fresh(gpt(positions=positions, d_model=32)), 150, repeat_loss) < 0.1


def test_sources_may_use_their_own_vocabulary() -> None:
    model = encoder_decoder()
    assert model.cfg.src_vocab_size == V_SRC
    assert model(ids(B, S, vocab_size=V_SRC), ids(B, T)).shape == (B, T, 11)
