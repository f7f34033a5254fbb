"""Four families of one size, and a task that tells them apart."""

from __future__ import annotations

import pytest
import torch

from tftutor.models import Hybrid
from tftutor.training.families import FAMILIES, copying_config, family_config, train_copying
from tftutor.training.small import train_small


def test_the_families_have_one_size() -> None:
    sizes = {name: sum(p.numel() for p in Hybrid(family_config(name)).parameters()) for name in FAMILIES}
    assert max(sizes.values()) < 1.02 * min(sizes.values()), sizes
    wider = Hybrid(family_config("hybrid", d_state=64))  # what another state would cost
    assert sum(p.numel() for p in wider.parameters()) > 1.05 * sizes["hybrid"]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_learns(name) -> None:
    torch.manual_seed(0)
    losses = train_small(Hybrid(family_config(name)), steps=12, batch_size=8, window=16)
    assert losses[-1] < losses[0] - 0.3


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(ValueError, match="family: expected one of 'transformer', 'retnet', 'mamba', 'hybrid'"):
        family_config("rwkv")


def test_copying_is_learned_when_the_place_says_it_all() -> None:
    torch.manual_seed(0)
    model = Hybrid(copying_config("retention", n_symbols=3))
    easy = {"length": 2, "n_data": 2, "n_symbols": 3}  # no blanks: copy what stands two places back
    assert train_copying(model, steps=120, **easy) > 0.9
    assert not model.training
    torch.manual_seed(0)
    assert train_copying(Hybrid(copying_config("retention", n_symbols=3)), steps=1, **easy) < 0.7
