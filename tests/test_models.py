"""What the models offer: shapes, names learners know, counted tokens only, and one clear line for bad input."""

from __future__ import annotations

import re

import pytest
import torch
from tiny import BOS, V_SRC, V, bert, encoder_decoder, gpt, ids, normal, right_padded, t5

from tftutor.masks import causal_mask, count_positions, padding_mask
from tftutor.models import GPT
from tftutor.properties import linearity_error

B, T, S, D = 2, 3, 5, 24


def sources(seed: int = 1) -> torch.Tensor:
    return ids(B, S, vocab_size=V_SRC, seed=seed)


def test_shapes() -> None:
    model, src, tgt = encoder_decoder(), sources(), ids(B, T)
    memory = model.encode(src)
    assert memory.shape == (B, S, D)
    hidden = model.decode(tgt, memory)
    assert hidden.shape == (B, T, D)
    assert model.generator(hidden).shape == model(src, tgt).shape == (B, T, V)
    assert gpt()(tgt).shape == bert()(tgt).shape == (B, T, V)
    assert bert().encode(tgt).shape == (B, T, D)


def test_forward_is_encode_decode_generator() -> None:
    model, src, tgt, src_valid = encoder_decoder(), sources(), ids(B, T), right_padded([5, 2], S)
    mask = padding_mask(src_valid)
    hidden = model.decode(tgt, model.encode(src, mask), src_mask=mask)
    assert torch.equal(model(src, tgt, src_valid=src_valid), model.generator(hidden))


def test_a_target_mask_of_ones_and_zeros_for_the_causal_one() -> None:
    model, tgt, memory = encoder_decoder(), ids(B, T), normal(B, S, D)
    pos = torch.arange(T)
    explicit = model.decode(tgt, memory, tgt_mask=causal_mask(pos, pos))
    assert torch.equal(explicit, model.decode(tgt, memory))
    everything = model.decode(tgt, memory, tgt_mask=torch.ones(1, 1, T, T, dtype=torch.bool))
    assert (everything - explicit).abs().max() > 1e-3


def test_the_encoder_does_not_see_the_target_and_is_run_once() -> None:
    model, src = encoder_decoder(), sources()
    calls = []
    model.encoder[0].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        state = model.start(src)
        steps = [model.step(token, state) for token in ids(B, T).split(1, dim=1)]
    assert len(calls) == 1
    torch.testing.assert_close(torch.cat(steps, dim=1), model(src, ids(B, T)).detach(), rtol=0, atol=1e-12)


def test_the_generator_gives_log_probabilities_on_request() -> None:
    model, hidden = encoder_decoder(), normal(B, T, D)
    torch.testing.assert_close(
        model.generator.log_probs(hidden).exp().sum(dim=-1), torch.ones(B, T, dtype=torch.float64), rtol=0, atol=1e-12
    )
    assert linearity_error(model.generator, hidden, normal(B, T, D, seed=1)) <= 1e-12


def test_embeddings_are_scaled_by_the_root_of_their_width() -> None:
    scaled, plain = encoder_decoder(positions="none"), encoder_decoder(positions="none", embed_scale=False)
    tokens, pos = ids(B, T), torch.arange(T)
    expected = plain.src_embed(tokens, pos) * 24**0.5
    torch.testing.assert_close(scaled.src_embed(tokens, pos), expected, rtol=0, atol=1e-12)


def test_tied_models_share_their_table() -> None:
    assert encoder_decoder(tie="none").generator.proj.weight is not encoder_decoder().tgt_embed.tokens.weight
    one = encoder_decoder(tie="target")
    assert one.generator.proj.weight is one.tgt_embed.tokens.weight
    every = t5()
    assert every.src_embed.tokens.weight is every.tgt_embed.tokens.weight is every.generator.proj.weight
    model = gpt()
    assert model.unembed.weight is model.embed.weight
    assert gpt(tie=False).unembed.weight.shape == (V, D)
    model = bert()
    assert model.head.table is model.embed.weight


def test_final_norms_belong_to_the_config() -> None:
    names = lambda model: {name for name, _ in model.named_parameters()}  # noqa: E731
    with_norm, without = names(encoder_decoder()), names(encoder_decoder(final_norm=False))
    assert with_norm - without == {f"{s}_norm.{p}" for s in ("encoder", "decoder") for p in ("weight", "bias")}


def test_every_relative_stack_owns_one_table() -> None:
    tables = [name for name, _ in t5().named_parameters() if "positions" in name]
    assert tables == ["src_embed.positions.table.weight", "tgt_embed.positions.table.weight"]


def test_a_stack_that_sees_both_sides_tells_them_apart() -> None:
    pairs = t5()
    sides = {"gpt": gpt(positions="t5").positions, "bert": bert(positions="t5").positions,
             "encoder": pairs.src_embed.positions, "decoder": pairs.tgt_embed.positions}  # fmt: skip
    ahead = {name: scheme.inputs(torch.tensor([2]), torch.tensor([1, 3])).bias for name, scheme in sides.items()}
    behind_only = {name: bool((bias[..., 1] == sides[name].table.weight[0].view(1, 4, 1)).all())
                   for name, bias in ahead.items()}  # fmt: skip
    assert behind_only == {"gpt": True, "bert": False, "encoder": False, "decoder": True}


def test_bert_segments_count() -> None:
    model, tokens = bert(), ids(B, T)
    zeros = torch.zeros_like(tokens)
    assert torch.equal(model(tokens), model(tokens, segments=zeros))
    assert (model(tokens, segments=zeros + 1) - model(tokens)).abs().max() > 1e-3
    assert bert(n_segments=0).segments is None
    assert bert(n_segments=0)(tokens).shape == (B, T, V)


@pytest.mark.parametrize("norm_order", ["pre", "post"])
def test_bert_ends_each_stack_with_one_norm(norm_order) -> None:
    states = bert(norm_order=norm_order)
    with torch.no_grad():
        for norm in (states.norm_final, states.blocks[-1].norm_ffn):
            for name, p in norm.named_parameters():
                p.fill_(1.0 if name == "weight" else 0.0)
    out = states.encode(ids(B, T))
    torch.testing.assert_close(out.mean(dim=-1), torch.zeros(B, T).double(), rtol=0, atol=1e-12)


def test_positions_count_real_tokens_only() -> None:
    """Left padding in the middle of a batch: the first real token stands at position 0."""
    model, tokens = gpt(positions="learned"), ids(1, 4)
    with torch.no_grad():
        model.positions.table.weight[4:] = float("nan")  # never to be looked up
        valid = torch.tensor([[False, False, False, True, True, True, True]])
        padded = torch.cat([torch.zeros(1, 3, dtype=torch.int64), tokens], dim=1)
        logits = model(padded, valid=valid)
    assert count_positions(valid).max() == 3
    assert logits.isfinite().all()


def test_max_len_counts_what_is_there() -> None:
    assert bert(max_len=6)(ids(1, 6)).shape[1] == 6
    assert encoder_decoder(max_len=6)(ids(1, 6), ids(1, 6)).shape[1] == 6
    model = gpt(max_len=6)
    with torch.no_grad():
        assert model(ids(1, 6)).shape[1] == 6
        with pytest.raises(ValueError, match="tokens: expected at most max_len=6 positions, got 7"):
            model(ids(1, 7))
        state = model.new_state(1)
        model.step(ids(1, 4), state)
        with pytest.raises(ValueError, match="tokens: expected at most 6 positions in the state, got 7"):
            model.step(ids(1, 3), state)
        model.step(ids(1, 2), state)  # a refused step leaves the state usable
        assert state.lengths.tolist() == [6]


SRC, TGT = sources(), ids(B, T)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: encoder_decoder()(SRC.int(), TGT), TypeError, "src: expected token ids of dtype torch.int64"),
        (lambda: encoder_decoder()(SRC + 20, TGT), ValueError, "src: expected ids in 0..12, got"),
        (lambda: encoder_decoder()(SRC, TGT + 9), ValueError, "tgt: expected ids in 0..10, got"),
        (lambda: encoder_decoder()(SRC, TGT - 9), ValueError, "tgt: expected ids in 0..10, got -"),
        (lambda: encoder_decoder()(SRC, TGT[0]), ValueError, "tgt: expected shape (B, T), got (3,)"),
        (lambda: encoder_decoder()(SRC, TGT, src_valid=TGT > 0), ValueError,
         "src_valid: expected the shape of the tokens (2, 5), got (2, 3)"),
        (lambda: encoder_decoder()(SRC, TGT, tgt_valid=TGT), TypeError,
         "tgt_valid: expected bool (True = a real token), got torch.int64"),
        (lambda: encoder_decoder(max_len=4)(SRC, TGT), ValueError,
         "src: expected at most max_len=4 positions, got 5"),
        (lambda: encoder_decoder(max_len=4)(SRC[:, :4], ids(B, 5)), ValueError,
         "tgt: expected at most max_len=4 positions, got 5"),
        (lambda: encoder_decoder().encode(SRC, SRC > 0), ValueError, "src_mask: expected shape (B=2, H=1, T=1, S=5)"),
        (lambda: encoder_decoder().encode(SRC, torch.ones(B, 1, 1, S)), TypeError, "mask: expected bool"),
        (lambda: encoder_decoder().decode(TGT, normal(B, S, D), src_mask=torch.ones(B, 1, 1, T, dtype=torch.bool)),
         ValueError, "src_mask: expected shape (B=2, H=1, T=1, S=5), got (2, 1, 1, 3)"),
        (lambda: encoder_decoder().decode(TGT, normal(B, S, D), tgt_mask=torch.ones(T, T, dtype=torch.bool)),
         ValueError, "mask: expected axes (B, H, T, S), got (3, 3)"),
        (lambda: encoder_decoder().decode(TGT[0], normal(B, S, D)), ValueError, "tgt: expected shape (B, T), got (3,)"),
        (lambda: encoder_decoder().step(TGT[0, :2], encoder_decoder().start(SRC)), ValueError,
         "tgt: expected shape (B, T), got (2,)"),
        (lambda: gpt()(TGT + 9), ValueError, "tokens: expected ids in 0..10, got"),
        (lambda: gpt()(TGT, valid=TGT), TypeError, "valid: expected bool"),
        (lambda: bert()(TGT + 9), ValueError, "tokens: expected ids in 0..10, got"),
        (lambda: bert()(ids(1, 41)), ValueError, "tokens: expected at most max_len=40 positions, got 41"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(call, error, message) -> None:
    with torch.no_grad(), pytest.raises(error, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_empty_batches_pass() -> None:
    with torch.no_grad():
        assert gpt()(ids(0, T)).shape == (0, T, V)
        assert bert()(ids(0, T)).shape == (0, T, V)
        assert encoder_decoder()(ids(0, S), ids(0, T)).shape == (0, T, V)
        model = gpt(positions="learned")
        state = model.new_state(0)
        for part in ids(0, 5).split([3, 2], dim=1):
            assert model.step(part, state).shape == (0, part.shape[1], V)


def test_state_dicts_hold_no_position_tables() -> None:
    """Sines, slopes and angles are computed, so a checkpoint fits any length."""
    for positions in ("sinusoidal", "alibi", "rope", "none"):
        assert not [name for name in gpt(positions=positions).state_dict() if "positions" in name]


def test_half_precision_runs() -> None:
    for positions in ("sinusoidal", "t5", "alibi", "rope"):
        model = GPT(gpt(positions=positions).cfg).bfloat16().eval()
        with torch.no_grad():
            state = model.new_state(B)
            logits = torch.cat([model.step(part, state) for part in ids(B, 6).split(2, dim=1)], dim=1)
            full = model(ids(B, 6))
        assert logits.dtype == torch.bfloat16
        assert (logits - full).abs().max() < 0.02


def test_the_first_target_is_bos_by_agreement() -> None:
    """Nothing in the model forces it: what the decoder reads first is the caller's."""
    model, src = encoder_decoder(), sources()
    with torch.no_grad():
        assert not torch.equal(model(src, torch.full((B, 1), BOS)), model(src, torch.full((B, 1), 5)))
