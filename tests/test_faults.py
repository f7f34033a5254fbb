"""Every planted fault is rejected by a property, and every property rejects a planted fault."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from tiny import BOS, EOS, V_SRC, bert, encoder_decoder, gpt, ids, normal, right_padded, shake
from torch import Tensor, nn

import tftutor.attention
import tftutor.data.batching
import tftutor.decoding
import tftutor.masks
import tftutor.positions
import tftutor.training.losses
from tftutor import properties
from tftutor.attention import MultiHeadAttention
from tftutor.faults import FAULTS, planted
from tftutor.faults.catalogue import Fault
from tftutor.properties import Source
from tftutor.serving import Request

ROUNDING = 1e-10


def requests(n: int = 9) -> list[Request]:
    """Prompts of unequal lengths that come at different times, some sampled, some with an end mark."""
    return [
        Request(prompt=ids(1, 1 + 3 * i % 5, seed=i)[0], max_new_tokens=4 + 5 * i % 9, eos_id=EOS if i % 2 else None,
                arrival=2 * i % 5, temperature=0.9 * (i % 3 == 2), seed=i)
        for i in range(n)
    ]  # fmt: skip


def served(**named: int) -> float:
    return properties.serving_error(gpt(positions="rope"), requests(), max_rows=3, **named)


def streamed(**fields: object) -> float:
    return properties.streaming_error(gpt(**fields), ids(2, 17), [3, 6, 8], window=5, sinks=2)


def everything(query: int, key: int) -> bool:
    return 0 <= key <= query


def attention_layer(**fields: int) -> MultiHeadAttention:
    return shake(MultiHeadAttention(24, 4, **fields))


def past_of_gpt(**fields: object) -> float:
    return properties.past_change(gpt(**fields), ids(2, 7), 4)


def leak_of_gpt() -> float:
    return properties.leak_change(gpt(dropout=0.5), ids(2, 7))


def leak_of_block() -> float:
    block, pos = gpt().blocks[0], torch.arange(5)
    return properties.leak_gradient(lambda x: block(x, mask=tftutor.masks.causal_mask(pos, pos)), normal(2, 5, 24))


def past_of_decoder(**fields: object) -> float:
    model, src = encoder_decoder(**fields), ids(2, 7, vocab_size=V_SRC, seed=1)
    return properties.past_change(lambda tgt: model(src, tgt, src_valid=right_padded([7, 5], 7)), ids(2, 7), 4)


def source_padding() -> float:
    model, tgt = encoder_decoder(), ids(2, 5)
    fn = lambda src, valid: model(src, tgt, src_valid=valid)  # noqa: E731
    return properties.padding_change(fn, ids(2, 7, vocab_size=V_SRC), 3, aligned=False)


def prompt_padding(side: str) -> float:
    model = gpt(positions="sinusoidal")
    return properties.padding_change(lambda tokens, valid: model(tokens, valid=valid), ids(2, 6), 3, side=side)


def weights() -> float:
    q, k, mask = normal(2, 4, 5, 6), normal(2, 4, 7, 6, seed=1), torch.rand(2, 4, 5, 7) < 0.6
    values = torch.eye(7, dtype=torch.float64).expand(2, 4, -1, -1)  # mixing unit vectors shows the weights
    return properties.weight_error(tftutor.attention.attend(q, k, values, mask=mask), mask)


def empty_row() -> float:
    mask = torch.ones(1, 1, 3, 5, dtype=torch.bool)
    mask[:, :, 1] = False
    q, k, v = normal(2, 4, 3, 6), normal(2, 4, 5, 6, seed=1), normal(2, 4, 5, 6, seed=2)
    return properties.empty_row_error(tftutor.attention.attend, q, k, v, mask)


def definition(**fields: int) -> float:
    mask = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(0)) < 0.6
    return properties.attention_error(attention_layer(**fields), normal(2, 5, 24), context=normal(2, 7, 24), mask=mask)


def rotated(shift: int = 9) -> float:
    attn, x = attention_layer(), normal(2, 5, 24)
    fn = lambda pos, _: attn(x, rotation=tftutor.positions.rope_rotation(pos, 6))  # noqa: E731
    return properties.shift_change(fn, torch.arange(5), torch.arange(5), shift)


def residual(order: str) -> float:
    block = encoder_decoder(norm_order=order).encoder[0]
    return properties.residual_error(block, normal(2, 5, 24))


def dead() -> float:
    model = gpt(positions="rope")
    return float(len(properties.dead_parameters(model, model(ids(2, 5)).square().sum())))


def losses(check: Callable[..., float], *more: int) -> float:
    loss = tftutor.training.losses.sequence_loss
    return check(loss, normal(3, 6, 11), ids(3, 6), right_padded([6, 2, 5], 6), *more)


def shifted() -> float:
    batch = tftutor.data.batching.collate([tftutor.data.batching.Pair((4, 5), (6, 7, 8)), ((5,), (9,))])
    return properties.shift_error(batch.tgt_in, batch.tgt_out, batch.tgt_valid, bos_id=BOS)


def rearranged() -> float:
    source = Source(ids(3, 7, vocab_size=V_SRC, seed=1), right_padded([7, 4, 5], 7))
    return properties.reorder_error(encoder_decoder(), ids(3, 5), torch.tensor([2, 0, 0]), source=source)


def beam_scores() -> float:
    model, prompt = gpt(), ids(2, 3)
    beams = tftutor.decoding.beam_search(model, prompt, model.new_state(2), n_beams=3, max_new_tokens=6, eos_id=EOS)
    return properties.score_error(model, prompt, beams)


def ragged() -> float:
    model = gpt()

    def decode(prompt: Tensor, valid: Tensor | None) -> tftutor.decoding.Decoded:
        state = model.new_state(len(prompt))
        return tftutor.decoding.greedy(model, prompt, state, max_new_tokens=6, eos_id=EOS, valid=valid)

    return properties.ragged_change(decode, ids(3, 6), right_padded([6, 2, 4], 6))


def ends() -> float:
    model, tokens = Constant(EOS), ids(3, 4)
    decoded = tftutor.decoding.greedy(model, tokens, None, max_new_tokens=5, eos_id=EOS)
    return properties.end_error(decoded, eos_id=EOS)


class Constant(nn.Module):
    """Predicts the same whatever it reads: one token, or fixed logits (V,)."""

    def __init__(self, what: int | Tensor) -> None:
        super().__init__()
        self.logits = torch.eye(11)[what] if isinstance(what, int) else what

    def step(self, tokens: Tensor, state: object, *, valid: Tensor | None = None) -> Tensor:
        return self.logits.expand(*tokens.shape, -1)


def temperature() -> float:
    def draw(logits: Tensor, temperature: float) -> Tensor:
        tokens = torch.zeros(len(logits), 1, dtype=torch.int64)
        return tftutor.decoding.sample(
            Constant(logits[0]), tokens, None, max_new_tokens=1, temperature=temperature
        ).tokens[:, 0]

    return properties.temperature_error(draw, normal(7) * 2, 0.5)


def mode() -> float:
    model = gpt().train()
    model.blocks[0].eval()  # frozen on purpose
    tokens, state = ids(2, 3), model.new_state(2)
    return properties.mode_change(model, lambda: tftutor.decoding.greedy(model, tokens, state, max_new_tokens=1))


def masks() -> float:
    query, key = torch.tensor([3, 4, 5]), torch.tensor([0, 1, 2, -1, 4, 5, 6])
    return properties.mask_error(lambda *pos: tftutor.masks.causal_mask(*pos)[0, 0], query, key, everything)


def window() -> float:
    fn = lambda *pos: tftutor.masks.window_mask(*pos, window=3)[0, 0]  # noqa: E731
    return properties.mask_error(fn, torch.arange(5), torch.arange(7), lambda query, key: query - 3 < key <= query)


# name of a check -> (the property it uses, the check, the largest figure that passes)
CHECKS: dict[str, tuple[str, Callable[[], float], float]] = {
    "causal mask": ("mask_error", masks, 0.0),
    "window mask": ("mask_error", window, 0.0),
    "weights": ("weight_error", weights, ROUNDING),
    "empty row": ("empty_row_error", empty_row, ROUNDING),
    "attention is its definition": ("attention_error", definition, ROUNDING),
    "grouped attention is its definition": ("attention_error", lambda: definition(n_kv_heads=2), ROUNDING),
    "rotated attention ignores a shift": ("shift_change", rotated, ROUNDING),
    "rotated attention ignores a large shift": ("shift_change", lambda: rotated(100_000), 1e-6),
    "residual, pre-norm": ("residual_error", lambda: residual("pre"), ROUNDING),
    "residual, post-norm": ("residual_error", lambda: residual("post"), ROUNDING),
    "generator is linear": (
        "linearity_error",
        lambda: properties.linearity_error(encoder_decoder().generator, normal(2, 3, 24), normal(2, 3, 24, seed=1)),
        ROUNDING,
    ),
    "GPT is causal": ("past_change", lambda: past_of_gpt(dropout=0.5), ROUNDING),
    "no token of GPT leaks": ("leak_change", leak_of_gpt, ROUNDING),
    "no gradient of a block leaks": ("leak_gradient", leak_of_block, 0.0),
    "decoder is causal": ("past_change", past_of_decoder, ROUNDING),
    "steps": ("step_error", lambda: properties.step_error(gpt(positions="sinusoidal"), ids(2, 7), [3, 1, 3]), ROUNDING),
    "source padding": ("padding_change", source_padding, ROUNDING),
    "prompt padding left": ("padding_change", lambda: prompt_padding("left"), ROUNDING),
    "prompt padding right": ("padding_change", lambda: prompt_padding("right"), ROUNDING),
    "neighbours": ("batch_change", lambda: properties.batch_change(gpt(), ids(3, 5)), ROUNDING),
    "order": ("permutation_change", lambda: properties.permutation_change(bert(positions="none"), ids(2, 6)), ROUNDING),
    "same twice": ("rerun_change", lambda: properties.rerun_change(gpt(dropout=0.5), ids(2, 5)), 0.0),
    "inputs untouched": (
        "input_change", lambda: properties.input_change(lambda x: tftutor.decoding.keep_top_k(x, 2), normal(3, 7)), 0.0,
    ),
    "mode": ("mode_change", mode, 0.0),
    "gradients": ("dead_parameters", dead, 0.0),
    "rows change places": ("reorder_error", rearranged, ROUNDING),
    "rows come and go": (
        "turnover_error", lambda: properties.turnover_error(gpt(), ids(3, 8), ids(2, 3, seed=1)), ROUNDING,
    ),
    "loss and padding": ("loss_padding_change", lambda: losses(properties.loss_padding_change, 3), ROUNDING),
    "loss and batches": ("loss_pooling_change", lambda: losses(properties.loss_pooling_change), ROUNDING),
    "shift right": ("shift_error", shifted, 0.0),
    "beam scores": ("score_error", beam_scores, ROUNDING),
    "ragged prompts": ("ragged_change", ragged, 0.0),
    "texts end": ("end_error", ends, 0.0),
    "top k": (
        "top_k_error", lambda: properties.top_k_error(tftutor.decoding.keep_top_k, normal(5, 7), 3), 0.0,
    ),
    "top p": ("top_p_error", lambda: properties.top_p_error(tftutor.decoding.keep_top_p, normal(5, 7), 0.7), 0.0),
    "min p": ("min_p_error", lambda: properties.min_p_error(tftutor.decoding.keep_min_p, normal(5, 7), 0.7), 0.0),
    "repetition penalty": (
        "penalty_error",
        lambda: properties.penalty_error(tftutor.decoding.penalise_repeats, normal(5, 7), ids(5, 3, vocab_size=7), 2.0),
        0.0,
    ),
    "temperature": ("temperature_error", temperature, 0.02),
    "requests": ("serving_error", served, 0.0),
    "requests in chunks": ("serving_error", lambda: served(chunk=2), 0.0),
    "blocks": (
        "paging_error", lambda: properties.paging_error([[3, 4], [5, 1, 1], [2, 2, 9]], n_blocks=9, block_size=3), 0.0,
    ),
    "stream, rope": ("streaming_error", lambda: streamed(positions="rope", n_kv_heads=2), ROUNDING),
    "stream, alibi": ("streaming_error", lambda: streamed(positions="alibi"), ROUNDING),
}  # fmt: skip

LEAKS = ["no token of GPT leaks", "no gradient of a block leaks"]

BATCHES = ["requests", "requests in chunks"]
STREAMS = ["stream, rope", "stream, alibi"]

# fault -> the checks that must reject it
CAUGHT: dict[str, list[str]] = {
    "rows-mixed-up-after-drop": BATCHES,
    "drop-keeps-lengths": BATCHES,
    "admit-restarts-positions": BATCHES,
    "logits-of-last-column": BATCHES,
    "random-numbers-shared": BATCHES,
    "block-freed-too-early": ["blocks"],
    "blocks-in-wrong-order": ["blocks"],
    "sinks-evicted": STREAMS,
    "not-renumbered": STREAMS,
    "rotated-when-cached": ["stream, rope"],
    "causal-off-by-one": ["causal mask", "GPT is causal", "decoder is causal", *LEAKS],
    "causal-without-self": ["causal mask"],
    "causal-forgotten": ["causal mask", "GPT is causal", "decoder is causal", *LEAKS],
    "causal-top-left": ["causal mask", "steps"],
    "window-one-too-wide": ["window mask"],
    "padding-not-masked": ["source padding"],
    "positions-count-padding": ["prompt padding left"],
    "mask-inverted": ["weights", "attention is its definition", "GPT is causal"],
    "softmax-over-queries": ["weights", "attention is its definition", "GPT is causal"],
    "mask-after-softmax": ["weights", "attention is its definition", "GPT is causal"],
    "blocked-scores-zero": ["weights", "attention is its definition", "GPT is causal"],
    "empty-row-nan": ["empty row"],
    "empty-row-uniform": ["empty row"],
    "scale-by-d-model": ["attention is its definition"],
    "scale-forgotten": ["attention is its definition"],
    "split-without-transpose": ["attention is its definition", "GPT is causal", "order"],
    "merge-without-transpose": ["attention is its definition", "GPT is causal", "order"],
    "heads-tiled": ["grouped attention is its definition"],
    "cross-attention-to-self": ["attention is its definition"],
    "keys-detached": ["gradients"],
    "positions-restart": ["steps"],
    "rope-on-values": ["rotated attention ignores a shift"],
    "rope-layouts-differ": ["rotated attention ignores a shift"],
    "rope-in-float32": ["rotated attention ignores a large shift"],
    "norm-over-time": ["GPT is causal"],
    "norm-over-batch": ["GPT is causal", "neighbours"],
    "dropout-in-evaluation": ["same twice"],
    "residual-forgotten": ["residual, pre-norm", "residual, post-norm"],
    "causal-in-training-only": ["GPT is causal"],
    "cross-attention-unmasked": ["source padding"],
    "masks-swapped": ["decoder is causal"],
    "double-softmax": ["generator is linear"],
    "one-length-for-all": ["rows come and go"],
    "cache-not-reordered": ["beam scores", "rows change places"],
    "memory-not-reordered": ["rows change places"],
    "no-shift": ["shift right"],
    "padding-in-loss": ["loss and padding"],
    "mean-of-means": ["loss and batches"],
    "temperature-on-probabilities": ["temperature"],
    "top-k-one-threshold": ["top k"],
    "top-p-without-crossing-token": ["top p"],
    "min-p-bar-for-all": ["min p"],
    "penalty-divides-all": ["repetition penalty"],
    "filter-in-place": ["inputs untouched"],
    "text-after-end": ["texts end"],
    "logits-at-padding": ["ragged prompts"],
    "mode-forgotten": ["mode"],
}  # fmt: skip


def passes(check: str) -> bool:
    """Whether the figure of a check is within its bound; an exception is a rejection too."""
    _, measure, bound = CHECKS[check]
    try:
        return measure() <= bound
    except RuntimeError:  # tensors of the wrong shape met
        return False


@pytest.mark.parametrize("check", CHECKS)
def test_the_package_passes(check) -> None:
    _, measure, bound = CHECKS[check]
    assert measure() <= bound


@pytest.mark.parametrize(("fault", "check"), [(fault, check) for fault, checks in CAUGHT.items() for check in checks])
def test_the_fault_is_rejected(fault, check) -> None:
    with planted(fault):
        assert not passes(check)
    assert passes(check)  # and gone afterwards


def test_every_fault_is_caught() -> None:
    assert set(CAUGHT) == set(FAULTS)


def test_every_check_rejects_a_fault() -> None:
    assert set(CHECKS) <= {check for checks in CAUGHT.values() for check in checks} | {"prompt padding right"}


def test_every_property_rejects_a_fault() -> None:
    measures = {
        name for name in properties.__all__ if not inspect.isclass(getattr(properties, name))
    } - {"full_pass", "fresh_state", "influence", "gradient_influence", "decode_alone", "streaming_reference"}
    assert {CHECKS[check][0] for checks in CAUGHT.values() for check in checks} == measures


def test_planting_reaches_modules_that_imported_the_function() -> None:
    right = tftutor.masks.causal_mask
    with planted("causal-off-by-one") as fault:
        assert fault.where == "tftutor.masks.causal_mask"
        for module in (tftutor.masks, tftutor.models.gpt, tftutor.models.encoder_decoder):
            assert module.causal_mask is not right
    for module in (tftutor.masks, tftutor.models.gpt, tftutor.models.encoder_decoder):
        assert module.causal_mask is right


def test_a_fault_goes_when_the_block_raises() -> None:
    with pytest.raises(KeyError), planted("norm-over-time"):
        raise KeyError
    assert past_of_gpt() <= ROUNDING


def test_faults_say_what_they_are() -> None:
    for name, fault in FAULTS.items():
        assert isinstance(fault, Fault)
        assert fault.name == name
        assert fault.symptom
        assert fault.hint
        assert callable(fault.broken())


def test_unknown_faults_are_refused() -> None:
    with pytest.raises(ValueError, match="name: expected one of 'mask-inverted'"), planted("gremlin"):
        pass
