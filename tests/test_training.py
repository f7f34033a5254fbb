"""Losses, schedules, averages, settings: the parts of a training."""

from __future__ import annotations

import itertools
import math

import pytest
import tiny_training
import torch
import torch.nn.functional as F
from torch import nn

from tftutor.models import EncoderDecoder
from tftutor.training import runtime
from tftutor.training.ema import EMA
from tftutor.training.loop import build_optimizer
from tftutor.training.losses import sequence_loss
from tftutor.training.schedules import inverse_square_root, warmup_cosine

B, T, V = 3, 5, 11


def example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(B, T, V, generator=generator, dtype=torch.float64)
    targets = torch.randint(V, (B, T), generator=generator)
    valid = torch.arange(T) < torch.tensor([[5], [2], [1]])
    return logits, targets, valid


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_the_loss_is_the_cross_entropy_with_a_smoothed_target(smoothing: float) -> None:
    logits, targets, valid = example()
    target = torch.full((B, T, V), smoothing / V, dtype=torch.float64)
    target.scatter_add_(-1, targets[..., None], torch.full((B, T, 1), 1 - smoothing, dtype=torch.float64))
    expected = -(target * logits.log_softmax(-1)).sum(-1)[valid].sum()
    total, count = sequence_loss(logits, targets, valid, label_smoothing=smoothing)
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-12)
    assert int(count) == 8


def padding_matters(loss) -> bool:
    logits, targets, valid = example()
    changed = torch.where(valid[..., None], logits, logits.roll(1, dims=-1) * 3)
    other = torch.where(valid, targets, (targets + 1) % V)
    return not torch.allclose(loss(logits, targets, valid), loss(changed, other, valid), rtol=0, atol=1e-12)


def batches_matter(loss) -> bool:
    """Whether the loss of two batches together differs from what their losses add up to."""
    logits, targets, valid = example()
    parts = [loss(logits[i], targets[i], valid[i]) for i in (slice(0, 1), slice(1, 3))]
    return not torch.allclose(loss(logits, targets, valid), sum(parts), rtol=0, atol=1e-12)


def test_padding_and_batching_do_not_matter() -> None:
    def ours(*args):
        return sequence_loss(*args, label_smoothing=0.1)[0]

    assert not padding_matters(ours)
    assert not batches_matter(ours)


def test_the_padding_and_batching_checks_can_fail() -> None:
    def without_mask(logits, targets, valid):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")

    def mean(logits, targets, valid):
        return F.cross_entropy(logits[valid], targets[valid])

    assert padding_matters(without_mask)
    assert batches_matter(mean)


def test_no_gradient_reaches_padding_and_none_is_infinite() -> None:
    logits, targets, valid = example()
    logits.requires_grad_()
    valid[2] = False
    sequence_loss(logits, targets, valid, label_smoothing=0.1)[0].backward()
    assert logits.grad[~valid].abs().max() == 0
    assert logits.grad[valid].abs().min() > 0
    total, count = sequence_loss(logits, targets, torch.zeros_like(valid))
    total.backward()
    assert (float(total.detach()), int(count)) == (0, 0)
    assert bool(logits.grad.isfinite().all())


def test_the_loss_of_bfloat16_logits_is_computed_in_float32() -> None:
    logits, targets, valid = example()
    total, _ = sequence_loss(logits.bfloat16(), targets, valid)
    assert total.dtype == torch.float32
    expected, _ = sequence_loss(logits.bfloat16().double(), targets, valid)
    assert abs(float(total) - float(expected)) < 1e-5


def test_the_loss_checks_its_arguments() -> None:
    logits, targets, valid = example()
    with pytest.raises(ValueError, match=r"targets: expected shape \(B=3, T=5\), got \(3, 4\)"):
        sequence_loss(logits, targets[:, 1:], valid)
    with pytest.raises(ValueError, match="valid: expected shape"):
        sequence_loss(logits, targets, valid[:2])
    with pytest.raises(ValueError, match="label_smoothing: expected"):
        sequence_loss(logits, targets, valid, label_smoothing=1.0)


def test_warmup_then_cosine() -> None:
    rates = [warmup_cosine(step, peak=2.0, warmup_steps=4, total_steps=20, floor=0.5) for step in range(1, 21)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    assert max(rates) == rates[3]
    assert all(a > b for a, b in itertools.pairwise(rates[3:]))
    assert rates[11] == pytest.approx((2.0 + 0.5) / 2)  # half way between peak and end
    assert rates[-1] == 0.5
    assert warmup_cosine(20, peak=2.0, warmup_steps=4, total_steps=20) == 0.0
    assert warmup_cosine(25, peak=2.0, warmup_steps=4, total_steps=20) == 0.0
    assert warmup_cosine(1, peak=2.0, warmup_steps=0, total_steps=8) == pytest.approx(1 + math.cos(math.pi / 8))
    assert warmup_cosine(3, peak=2.0, warmup_steps=4, total_steps=3) == 1.5
    with pytest.raises(ValueError, match="step: expected at least 1"):
        warmup_cosine(0, peak=2.0, warmup_steps=4, total_steps=20)


def test_the_schedule_of_the_paper() -> None:
    rates = [inverse_square_root(step, d_model=512) for step in (1, 2000, 4000, 16000)]
    assert rates[2] == pytest.approx(512**-0.5 * 4000**-0.5)
    assert rates[1] == pytest.approx(rates[2] / 2)
    assert rates[3] == pytest.approx(rates[2] / 2)
    assert rates[0] == pytest.approx(rates[2] / 4000)


def test_the_average_is_the_weighted_sum_of_all_weights() -> None:
    model = nn.Linear(3, 2).double()
    average = EMA(model, 0.7)
    expected = model.weight.detach().clone()
    for step in range(1, 9):
        with torch.no_grad():
            model.weight.normal_(generator=torch.Generator().manual_seed(step))
        average.update(step)
        decay = min(0.7, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.model.weight.detach(), expected, rtol=0, atol=1e-12)
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())
    assert average.model.weight is not model.weight


def test_the_average_keeps_weights_tied() -> None:
    model = EncoderDecoder(tiny_training.config())
    average = EMA(model, 0.9)
    model.generator.proj.weight.data.add_(1.0)
    average.update(1)
    assert average.model.generator.proj.weight is average.model.tgt_embed.tokens.weight
    expected = model.tgt_embed.tokens.weight - 2 / 11  # decay 2/11 of the first step
    torch.testing.assert_close(average.model.tgt_embed.tokens.weight, expected)
    with pytest.raises(ValueError, match="decay"):
        EMA(model, 1.0)


def test_matrices_decay_and_vectors_do_not() -> None:
    model = EncoderDecoder(tiny_training.config())
    optimizer = build_optimizer(model, tiny_training.recipe(weight_decay=0.5, learning_rate=0.1))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 0.95 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(before)


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"batch_size": -1}, {"learning_rate": 0.0}, {"clip": 0.0}, {"warmup_steps": -1}, {"seed": -3},
     {"threads": 0}, {"precision": "float8"}, {"weight_decay": -0.1}],
)  # fmt: skip
def test_bad_settings_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(change))}: expected"):
        tiny_training.recipe(**change)


def test_every_step_and_process_has_its_own_random_numbers() -> None:
    seeds = {runtime.step_seed(seed, step, rank) for seed in range(3) for step in range(50) for rank in range(4)}
    assert len(seeds) == 600
    assert runtime.step_seed(1, 2, 3) == runtime.step_seed(1, 2, 3)
    torch.manual_seed(max(seeds))


def test_bfloat16_only_where_the_processor_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert runtime.autocast_dtype("float32", cpu) is None
    assert runtime.autocast_dtype("bfloat16", cpu) is torch.bfloat16
    for capability, flags, expected in (
        ("AVX512", {"avx512_bf16": True}, torch.bfloat16),
        ("AVX512", {"amx_bf16": True}, torch.bfloat16),
        ("AVX512", {"avx512_bf16": False}, None),
        ("AVX2", {"avx512_bf16": True}, None),  # as with ATEN_CPU_CAPABILITY=avx2
        ("DEFAULT", {}, None),
    ):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda c=capability: c)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda f=flags: f, raising=False)
        assert runtime.autocast_dtype("auto", cpu) is expected


def test_threads_come_back() -> None:
    before = torch.get_num_threads()
    with runtime.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
