"""Recurrent sequence-to-sequence: equal to its definition, whatever the padding, the batch and the size of steps."""

from __future__ import annotations

import re

import pytest
import torch
from tiny import BOS, EOS, V_SRC, V, ids, left_padded, normal, right_padded, shake

from tftutor.config import RecurrentConfig, config_from_dict, config_to_dict
from tftutor.decoding import beam_search, greedy
from tftutor.models import RecurrentSeq2Seq
from tftutor.models.lstm import AdditiveAttention, run_recurrent, set_forget_bias
from tftutor.observe import record_attention
from tftutor.properties import (
    Source,
    batch_change,
    dead_parameters,
    empty_row_error,
    end_error,
    input_change,
    padding_change,
    past_change,
    permutation_change,
    ragged_change,
    reorder_error,
    rerun_change,
    score_error,
    step_error,
    turnover_error,
    weight_error,
)
from tftutor.serialization import build_model, load, load_model, save_model
from tftutor.state import KV, DecoderState
from tftutor.tasks import pronounce

B, T, S = 3, 5, 6
EXACT = 1e-12
VARIANTS = [(cell, attention, n) for cell in ("lstm", "gru") for attention in (True, False) for n in (1, 2)]
every_variant = pytest.mark.parametrize(("cell", "attention", "n_layers"), VARIANTS)


def config(cell: str = "lstm", attention: bool = True, n_layers: int = 1, **changes: object) -> RecurrentConfig:
    sizes = dict(d_embed=9, d_encoder=7, d_decoder=10, d_attn=8) | changes
    return RecurrentConfig(src_vocab_size=V_SRC, tgt_vocab_size=V, cell=cell, attention=attention, n_layers=n_layers,
                           **sizes)  # fmt: skip


def network(*args: object, **changes: object) -> RecurrentSeq2Seq:
    return shake(RecurrentSeq2Seq(config(*args, **changes)), std=0.6)


SRC, TGT = ids(B, S, vocab_size=V_SRC, seed=1), ids(B, T)
SRC_VALID = right_padded([6, 2, 4], S)
SOURCE = Source(SRC, SRC_VALID)


@every_variant
def test_steps_of_any_size_make_the_full_pass(cell, attention, n_layers) -> None:
    model = network(cell, attention, n_layers)
    for chunks in ([1] * T, [2, 3], [1, 4], [T]):
        assert step_error(model, TGT, chunks, source=SOURCE) <= EXACT
        for valid in (left_padded([5, 3, 1], T), right_padded([2, 5, 4], T)):
            assert step_error(model, TGT, chunks, valid=valid, source=SOURCE) <= EXACT


@every_variant
def test_padding_and_neighbours_change_nothing(cell, attention, n_layers) -> None:
    model = network(cell, attention, n_layers)
    for side in ("left", "right"):
        assert padding_change(lambda x, v: model(x, TGT, src_valid=v), SRC, 3, side=side, aligned=False) <= EXACT
        assert padding_change(lambda x, v: model(SRC, x, tgt_valid=v), TGT, 2, side=side) <= EXACT
    assert batch_change(lambda s, v, t: model(s, t, src_valid=v), SRC, SRC_VALID, TGT) <= EXACT
    assert past_change(lambda t: model(SRC, t), TGT, 2) == 0
    assert rerun_change(model, SRC, TGT) == input_change(model, SRC, TGT) == 0


@every_variant
def test_rows_leave_join_and_change_places(cell, attention, n_layers) -> None:
    model = network(cell, attention, n_layers)
    other = Source(ids(2, 4, vocab_size=V_SRC, seed=5), left_padded([4, 1], 4))
    assert reorder_error(model, TGT, torch.tensor([2, 0, 0, 1]), source=SOURCE) <= EXACT
    assert turnover_error(model, TGT, ids(2, 4, seed=2), sources=(SOURCE, other)) <= EXACT
    assert turnover_error(model, TGT, ids(2, 4, seed=2), sources=(SOURCE, Source(other.tokens))) <= EXACT


@every_variant
def test_text_comes_out_of_a_ragged_batch_as_alone(cell, attention, n_layers) -> None:
    model = network(cell, attention, n_layers)
    prompt = torch.full((B, 1), BOS)

    def by_greedy(prompt, valid, src, src_valid):
        state = model.start(src, src_valid)
        return greedy(model, prompt, state, max_new_tokens=7, eos_id=EOS, valid=valid)

    def by_beam(prompt, valid, src, src_valid):
        state = model.start(src, src_valid)
        return beam_search(model, prompt, state, n_beams=3, max_new_tokens=7, eos_id=EOS, valid=valid)

    for decode in (by_greedy, by_beam):
        assert ragged_change(decode, prompt, torch.ones_like(prompt, dtype=torch.bool), SRC, SRC_VALID) == 0
        decoded = decode(prompt, None, SRC, SRC_VALID)
        assert score_error(model, prompt, decoded, source=SOURCE) <= EXACT
        assert end_error(decoded, eos_id=EOS) == 0


@every_variant
def test_every_parameter_learns_and_the_config_survives_the_disk(cell, attention, n_layers, tmp_path) -> None:
    model = network(cell, attention, n_layers)
    assert dead_parameters(model, model(SRC, TGT).logsumexp(-1).sum()) == []
    assert config_from_dict(config_to_dict(model.cfg)) == model.cfg
    save_model(tmp_path / "m", model.float(), card={}, dtype=torch.float32)
    back, _ = load_model(tmp_path / "m")
    assert torch.equal(back(SRC, TGT), model(SRC, TGT))


def lstm_by_hand(layer: torch.nn.LSTM, suffix: str, x: torch.Tensor) -> tuple[list, torch.Tensor, torch.Tensor]:
    """The states of one direction over x (T, D), from Hochreiter and Schmidhuber's equations with a forget gate."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w_x, w_h, b_x, b_h = (getattr(layer, f"{name}_l0{suffix}") for name in names)
    h = c = torch.zeros(layer.hidden_size, dtype=x.dtype)
    states = []
    for x_t in x:
        gate_in, forget, new, out = (w_x @ x_t + b_x + w_h @ h + b_h).chunk(4)
        c = forget.sigmoid() * c + gate_in.sigmoid() * new.tanh()
        h = out.sigmoid() * c.tanh()
        states.append(h)
    return states, h, c


@pytest.mark.parametrize("attention", [True, False])
def test_the_model_is_its_definition(attention) -> None:
    """One word, one gate and one letter at a time."""
    model = network("lstm", attention)
    letters, n = model.src_embed(SRC[1]), S
    forward, last_forward, _ = lstm_by_hand(model.encoder, "", letters)
    backward, last_backward, _ = lstm_by_hand(model.encoder, "_reverse", letters.flip(0))
    memory = torch.stack([torch.cat([forward[i], backward[n - 1 - i]]) for i in range(n)])
    first = model.bridge(torch.cat([last_forward, last_backward])).tanh()
    h, c = first.chunk(2)
    logits = []
    rnn = model.decoder
    for x_t in model.tgt_embed(TGT[1]):
        gates = rnn.weight_ih_l0 @ x_t + rnn.bias_ih_l0 + rnn.weight_hh_l0 @ h + rnn.bias_hh_l0
        gate_in, forget, new, out = gates.chunk(4)
        c = forget.sigmoid() * c + gate_in.sigmoid() * new.tanh()
        h = out.sigmoid() * c.tanh()
        seen = h
        if attention:
            score = model.attention
            scores = torch.stack([score.v @ (score.q_proj(h) + score.k_proj(m)).tanh() for m in memory])
            seen = torch.cat([scores.softmax(0) @ memory, h])
        logits.append(model.generator(model.combine(seen).tanh()))
    torch.testing.assert_close(model(SRC[1:2], TGT[1:2])[0], torch.stack(logits), rtol=0, atol=EXACT)


def test_without_attention_one_vector_is_all_there_is() -> None:
    model = network("lstm", False)
    reading = model.encode(SRC)
    state = model.start(SRC)
    assert (reading.last.shape, state.memory, state.src_valid) == ((B, 14), [], None)
    changed = reading._replace(states=reading.states + 1.0)
    assert all(map(torch.equal, model.first_states(reading), model.first_states(changed)))
    assert "attention" not in {name.split(".")[0] for name, _ in model.named_parameters()}


def test_attention_is_a_distribution_over_real_letters_and_moves_with_them() -> None:
    model = network()
    with record_attention(model) as maps:
        model(SRC, TGT, src_valid=SRC_VALID)
    weights = maps["attention"]
    assert weights.shape == (B, 1, T, S)
    assert weight_error(weights, SRC_VALID[:, None, None]) <= EXACT
    attention, query = model.attention, normal(B, T, 10)
    read = lambda memory: attention(query, attention.project(memory)).weights[:, 0].mT  # noqa: E731
    assert permutation_change(read, normal(B, S, 14, seed=2)) <= EXACT
    mask = torch.rand(B, 1, T, S, generator=torch.Generator().manual_seed(0)) > 0.5
    mask[1, :, 2] = False

    def read_masked(q, k, v, *, mask):
        return attention(q[:, 0], KV(attention.k_proj(k[:, 0])[:, None], v), mask).heads[:, None]

    assert empty_row_error(read_masked, query[:, None], normal(B, 1, S, 14), normal(B, 1, S, 14), mask) == 0


def test_sources_and_targets_without_a_real_token() -> None:
    model = network()
    nothing = torch.zeros(B, S, dtype=torch.bool)
    logits = model(SRC, TGT, src_valid=nothing)
    assert logits.isfinite().all()
    assert torch.equal(logits, model(SRC.roll(1, 0), TGT, src_valid=nothing))
    state = model.start(SRC)
    before = state.layers[0].states
    model.step(TGT, state, valid=torch.zeros_like(TGT, dtype=torch.bool))
    assert all(map(torch.equal, before, state.layers[0].states))
    assert state.lengths.tolist() == [0, 0, 0]
    assert model(SRC[:0], TGT[:0]).shape == (0, T, V)


def test_dropout_is_for_training() -> None:
    model = network(dropout=0.4, n_layers=2)
    assert rerun_change(model, SRC, TGT) == 0
    assert rerun_change(model.train(), SRC, TGT) > 1e-3


def test_recurrent_layers_begin_remembering() -> None:
    model = RecurrentSeq2Seq(config())
    for name, bias in model.encoder.named_parameters():
        if name.startswith("bias"):
            assert (bias[7:14] == (1.0 if "ih" in name else 0.0)).all()
            assert (bias[:7] != 1.0).all()
    gru = torch.nn.GRU(3, 4)
    before = gru.bias_ih_l0.clone()
    set_forget_bias(gru, 1.0)
    assert torch.equal(gru.bias_ih_l0, before)


def test_no_length_is_too_long() -> None:
    model = network("gru", False, d_embed=2, d_encoder=2, d_decoder=2)
    long = ids(1, 3000)
    assert model(long, long).shape == (1, 3000, V)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: config(cell="rnn"), ValueError, "cell: expected one of 'lstm', 'gru', got 'rnn'"),
        (lambda: config(d_embed=0), ValueError, "d_embed: expected a positive number, got 0"),
        (lambda: config(dropout=1.0), ValueError, "dropout: expected a probability"),
        (lambda: network()(SRC + 20, TGT), ValueError, "src: expected ids in 0..12, got"),
        (lambda: network()(SRC, TGT + 20), ValueError, "tgt: expected ids in 0..10, got"),
        (lambda: network()(SRC, TGT, src_valid=TGT > 0), ValueError, "src_valid: expected the shape of the tokens"),
        (lambda: network()(SRC, TGT, tgt_valid=TGT), TypeError, "tgt_valid: expected bool"),
        (lambda: network().step(TGT[:2], network().start(SRC)), ValueError, "tokens: expected 3 rows as in the state"),
        (lambda: config_from_dict({"class": "RecurrentConfig", "heads": 2}), ValueError,
         "config: expected the fields of RecurrentConfig"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(call, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_it_learns_to_copy() -> None:
    torch.manual_seed(0)
    model = build_model(config(d_embed=16, d_encoder=16, d_decoder=32))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(150):
        src = ids(32, 4, seed=step)
        tgt = torch.cat([torch.full((32, 1), BOS), src[:, :-1]], dim=1)
        loss = torch.nn.functional.cross_entropy(model(src, tgt).mT, src)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize("name", ["g2p-lstm", "g2p-lstm-attention"])
def test_the_shipped_models_pronounce_a_ragged_batch(name) -> None:
    model, card = load(name)
    assert card["recipe"]["epochs"] == 20
    words = ["school", "photograph", "cat"]
    for n_beams in (1, 5):
        together = [best.phonemes for best, *_ in pronounce(model, words, n_beams=n_beams)]
        assert together == [pronounce(model, [word], n_beams=n_beams)[0][0].phonemes for word in words]
        assert together[2] == ("K", "AE", "T")


# ---- what the tests above must reject


def broken(monkeypatch, name: str) -> None:
    """Break the model in a way people do."""
    if name == "padding read":
        monkeypatch.setattr("tftutor.models.lstm.run_recurrent",
                            lambda layer, x, valid, *rest, **named: run_recurrent(layer, x, None, *rest, **named))
    elif name == "attention unmasked":
        forward = AdditiveAttention.forward
        monkeypatch.setattr(AdditiveAttention, "forward", lambda self, q, kv, mask=None: forward(self, q, kv))
    elif name == "softmax over the batch":
        forward = AdditiveAttention.forward

        def over_batch(self, query, kv, mask=None):
            attended = forward(self, query, kv, mask)
            weights = attended.weights.log().softmax(dim=0)
            return attended._replace(heads=(weights @ kv.values)[:, 0], weights=weights)

        monkeypatch.setattr(AdditiveAttention, "forward", over_batch)
    elif name == "states forgotten between steps":
        step = RecurrentSeq2Seq.step

        def forgetful(self, tokens, state, *, valid=None):
            before = state.layers[0].states
            logits = step(self, tokens, state, valid=valid)
            state.layers[0].states = before
            return logits

        monkeypatch.setattr(RecurrentSeq2Seq, "step", forgetful)
    elif name == "states not reordered":
        monkeypatch.setattr("tftutor.models.lstm.Carry.reorder", lambda self, rows: None)
    elif name == "sources not reordered":
        reorder = DecoderState.reorder

        def partly(self, rows):
            memory, src_valid = self.memory, self.src_valid
            reorder(self, rows)
            if len(rows) == len(memory[0].keys):
                self.memory, self.src_valid = memory, src_valid

        monkeypatch.setattr(DecoderState, "reorder", partly)
    elif name == "sees what it is to write":
        write = RecurrentSeq2Seq._write

        def both_ways(self, tgt, states, valid, **named):
            hidden, states = write(self, tgt, states, valid, **named)
            return hidden + hidden.flip(1), states

        monkeypatch.setattr(RecurrentSeq2Seq, "_write", both_ways)


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("padding read", lambda m: padding_change(lambda x, v: m(x, TGT, src_valid=v), SRC, 3, aligned=False)),
        ("attention unmasked", lambda m: padding_change(lambda x, v: m(x, TGT, src_valid=v), SRC, 3, aligned=False)),
        ("softmax over the batch", lambda m: batch_change(lambda s, t: m(s, t), SRC, TGT)),
        ("states forgotten between steps", lambda m: step_error(m, TGT, [1] * T, source=SOURCE)),
        ("states not reordered", lambda m: reorder_error(m, TGT, torch.tensor([2, 0, 1]), source=SOURCE)),
        ("sources not reordered", lambda m: reorder_error(m, TGT, torch.tensor([2, 0, 1]), source=SOURCE)),
        ("sees what it is to write", lambda m: past_change(lambda t: m(SRC, t), TGT, 2)),
    ],
)
def test_broken_models_are_rejected(monkeypatch, name, measure) -> None:
    model = network()
    assert measure(model) <= EXACT
    broken(monkeypatch, name)
    assert measure(model) > 1e-3
