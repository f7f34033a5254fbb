"""Batch norm for sequences against torch's, its mask, and what one token does to another under each kind of norm."""

from __future__ import annotations

import pytest
import torch
from tiny import gpt, normal, shake
from torch import Tensor, nn

from tftutor.layers import LayerNorm, RMSNorm
from tftutor.norms import SequenceBatchNorm, normalise, swap_norms
from tftutor.properties import batch_change, leak_change, past_change

B, T, D = 3, 5, 4
VALID = torch.arange(T) < torch.tensor([5, 2, 4])[:, None]


def trained_norm(**options: float) -> SequenceBatchNorm:
    """In training mode, with weights of its own."""
    return shake(SequenceBatchNorm(D, **options)).train()


def torch_twin(norm: SequenceBatchNorm) -> nn.BatchNorm1d:
    twin = nn.BatchNorm1d(D, eps=norm.eps, momentum=norm.momentum).double()
    twin.load_state_dict(norm.state_dict() | {"num_batches_tracked": torch.tensor(0)})
    return twin.train(norm.training)


@pytest.mark.parametrize(("over", "twin"), [
    ((-1,), nn.LayerNorm(D, elementwise_affine=False)),
    ((1, 2), nn.LayerNorm([T, D], elementwise_affine=False)),
])  # fmt: skip
def test_normalise_is_layer_norm(over, twin) -> None:
    x = normal(B, T, D)
    torch.testing.assert_close(normalise(x, over), twin(x), rtol=0, atol=1e-12)


def test_normalise_over_the_batch_is_a_fresh_batch_norm() -> None:
    x = normal(B, T, D)
    torch.testing.assert_close(normalise(x, (0, 1)), SequenceBatchNorm(D).double()(x), rtol=0, atol=1e-12)


def test_batch_norm_equals_torch_in_both_modes() -> None:
    norm = trained_norm(eps=0.1, momentum=0.3)
    twin = torch_twin(norm)
    for seed in range(3):
        x = normal(B, T, D) * (seed + 1) + seed
        torch.testing.assert_close(norm(x), twin(x.flatten(0, 1)).view_as(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(norm.running_mean, twin.running_mean)
    torch.testing.assert_close(norm.running_var, twin.running_var)
    torch.testing.assert_close(norm.eval()(x), twin.eval()(x.flatten(0, 1)).view_as(x), rtol=0, atol=1e-12)


def padding_change(norm: SequenceBatchNorm, x: Tensor) -> float:
    """How far real tokens move when padding becomes other vectors."""
    other = torch.where(VALID[..., None], x, 100.0)
    return (norm(x, VALID) - norm(other, VALID))[VALID].abs().max().item()


class WithoutMask(SequenceBatchNorm):
    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        return super().forward(x)


class ZeroedPadding(SequenceBatchNorm):
    """Padding set to zero still counts in the averages; that shows when there is more of it."""

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        return super().forward(x * valid[..., None])


def test_masked_padding_does_not_count() -> None:
    x, norm = normal(B, T, D), trained_norm()
    assert padding_change(norm, x) == 0
    assert padding_change(shake(WithoutMask(D)).train(), x) > 0.1
    alone = trained_norm()(x[VALID][None])  # the real tokens in a single row
    torch.testing.assert_close(norm(x, VALID)[VALID], alone[0], rtol=0, atol=1e-12)
    assert (shake(ZeroedPadding(D)).train()(x, VALID)[VALID] - alone[0]).abs().max() > 0.1


def test_running_averages_see_real_tokens_only() -> None:
    x, one, two = normal(B, T, D), trained_norm(), trained_norm()
    one(x, VALID), two(x[VALID][None])
    torch.testing.assert_close(one.running_mean, two.running_mean)
    torch.testing.assert_close(one.running_var, two.running_var)


def test_gradients_equal_torch() -> None:
    norm, x = trained_norm(), normal(B, T, D).requires_grad_()
    direction = normal(B, T, D)
    (ours,) = torch.autograd.grad((norm(x) * direction).sum(), x)
    (theirs,) = torch.autograd.grad((torch_twin(norm)(x.flatten(0, 1)).view_as(x) * direction).sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_who_moves_whom() -> None:
    x = normal(B, T, D)
    for layer in (LayerNorm(D), RMSNorm(D)):
        assert batch_change(layer.double(), x) == 0
        assert leak_change(layer, x) == 0
    norm = trained_norm()
    assert batch_change(norm, x) > 0.1
    assert leak_change(norm, x) > 0.1
    assert past_change(norm.eval(), x, 2) == 0


def test_a_model_with_batch_norm_leaks_in_training_only() -> None:
    tokens = torch.randint(0, 11, (B, T), generator=torch.Generator().manual_seed(0))
    model, plain = swap_norms(gpt(), SequenceBatchNorm), gpt()
    assert past_change(plain.train(), tokens, 3) <= 1e-12
    assert past_change(model.train(), tokens, 3) > 0.01
    assert past_change(model.eval(), tokens, 3) <= 1e-12


def test_swap_replaces_every_norm_and_keeps_the_kind_of_numbers() -> None:
    model = swap_norms(gpt(norm="rms"), SequenceBatchNorm)
    assert not any(isinstance(module, LayerNorm | RMSNorm) for module in model.modules())
    assert sum(isinstance(module, SequenceBatchNorm) for module in model.modules()) == 2 * 2 + 1
    assert model.norm_final.weight.dtype == torch.float64
    assert model.norm_final.running_var.dtype == torch.float64


def test_what_it_refuses() -> None:
    norm = SequenceBatchNorm(D)
    with pytest.raises(ValueError, match=r"x: expected at least 2 tokens to take statistics of, got 1"):
        norm(torch.zeros(1, 1, D))
    with pytest.raises(ValueError, match=r"x: expected three axes"):
        norm(torch.zeros(T, D))
    with pytest.raises(TypeError, match=r"valid: expected bool"):
        norm(torch.zeros(B, T, D), VALID.float())
    assert norm.eval()(torch.zeros(1, 1, D)).isfinite().all()
