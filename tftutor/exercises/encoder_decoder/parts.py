"""The parts of an encoder-decoder, for the exercises in which learners wire them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.config import BlockConfig, EncoderDecoderConfig
from tftutor.models.encoder_decoder import EncoderDecoder

N_IDS = 13  # ids drawn for both sides; either embedding table holds them


class Parts(nn.Module):
    """The parts of an `EncoderDecoder`, under the same names, not yet wired: no `encode`, no `decode`."""

    def __init__(self) -> None:
        super().__init__()
        block = BlockConfig(d_model=8, n_heads=2, d_ff=12, norm_order="pre")
        cfg = EncoderDecoderConfig(block=block, src_vocab_size=17, tgt_vocab_size=N_IDS, n_encoder_layers=2,
                                   n_decoder_layers=2, max_len=32)  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            whole = EncoderDecoder(cfg).eval()
            for name, weight in whole.named_parameters():
                if "norm" in name or name.endswith("bias"):  # so that no two norms do the same
                    nn.init.normal_(weight, mean=float(name.endswith("norm.weight")), std=0.5)
        for name, part in whole.named_children():
            self.add_module(name, part)
        self.requires_grad_(False).eval()


def lengths_to_valid(lengths: Sequence[int]) -> Tensor:
    """Bool (B, S): True for the first lengths[b] positions of row b."""
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def variant_of(solution: Callable[..., Tensor], **changes: Any) -> Callable[..., Tensor]:
    """A function like `solution` with some of its choices changed."""
    return lambda *args: solution(*args, **changes)
