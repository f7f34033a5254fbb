"""Exercise: wire the decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tftutor.exercises.encoder_decoder.parts import N_IDS, Parts, lengths_to_valid, variant_of
from tftutor.exercises.exercise import (
    Case,
    Exercise,
    Mismatch,
    Property,
    Trial,
    Wrong,
    compare,
    equals,
    has_shape,
    named_case,
)
from tftutor.exercises.values import number_text
from tftutor.masks import causal_mask, padding_mask


def decode(model: nn.Module, tgt: Tensor, memory: Tensor, src_mask: Tensor, tgt_mask: Tensor) -> Tensor:
    """States (B, T, D) of the target prefix, which reads `memory`.

    model.tgt_embed(tokens, positions): token vectors (B, T, D), scaled, with
        positions (T,) added.
    model.decoder: the list of blocks, called as
        block(x, mask=..., memory=..., memory_mask=...); each makes its own keys
        and values of the memory with block.cross_attn.project_kv(memory).
    model.decoder_norm: the norm after the last block.
    tgt: ids (B, T).
    memory: (B, S, D).
    src_mask: (B, 1, 1, S), True = a real source token.
    tgt_mask: (1, 1, T, T), True = may attend.
    """
    x = model.tgt_embed(tgt, torch.arange(tgt.shape[1]))
    for block in model.decoder:
        kv = block.cross_attn.project_kv(memory)
        x = block(x, mask=tgt_mask, memory=kv, memory_mask=src_mask)
    return model.decoder_norm(x)


def _encoder_blocks(model: nn.Module, tgt: Tensor, tgt_mask: Tensor) -> Tensor:
    x = model.tgt_embed(tgt, torch.arange(tgt.shape[1]))
    for block in model.encoder:
        x = block(x, mask=tgt_mask)
    return model.decoder_norm(x)


def _decode_case(generator: torch.Generator, lengths: Sequence[int], n_tgt: int, model: Parts) -> Case:
    valid = lengths_to_valid(lengths)
    pos = torch.arange(n_tgt)
    return named_case(
        model=model,
        tgt=torch.randint(N_IDS, (len(lengths), n_tgt), generator=generator),
        memory=torch.randn(*valid.shape, 8, generator=generator),
        src_mask=padding_mask(valid),
        tgt_mask=causal_mask(pos, pos),
    )


def _decode_cases(generator: torch.Generator) -> list[Case]:
    model = Parts()
    shapes = (([2], 3), ([4, 3], 3), ([5, 2, 4], 6), ([3, 6, 2, 5], 7))
    cases = [_decode_case(generator, lengths, n_tgt, model) for lengths, n_tgt in shapes]
    return [*cases, _decode_case(generator, [5, 3], 5, model)]  # S = T: masks can be swapped without an error


def _future_does_not_matter(trial: Trial) -> Mismatch | None:
    model, tgt, *rest = trial.args
    other = torch.cat([tgt[:, :-1], (tgt[:, -1:] + 1) % N_IDS], dim=1)
    change = float((trial.output - trial.call(model, other, *rest))[:, :-1].abs().max())
    got = f"changed by {number_text(change)}"
    return None if change < 1e-4 else Mismatch("the same earlier states when the last target token changes", got)


def _memory_matters(trial: Trial) -> Mismatch | None:
    model, tgt, memory, *rest = trial.args
    change = float((trial.output - trial.call(model, tgt, memory * 2, *rest)).abs().max())
    return None if change > 1e-4 else Mismatch("other states when the memory changes", "the same states")


def _padded_memory_does_not_matter(trial: Trial) -> Mismatch | None:
    model, tgt, memory, src_mask, tgt_mask = trial.args
    other = torch.where(src_mask[:, 0, 0, :, None], memory, memory + 1.0)
    return compare(trial.output, trial.call(model, tgt, other, src_mask, tgt_mask))


def _run_decoder(
    model: nn.Module, tgt: Tensor, memory: Tensor, src_mask: Tensor, tgt_mask: Tensor, *, embed: str = "tgt",
    masks: Callable[[Tensor, Tensor], tuple[Tensor | None, Tensor | None]] = lambda s, t: (t, s),
    kv: Callable[..., Any] = lambda model, block, x, memory: block.cross_attn.project_kv(memory), norm: str = "decoder",
    keep: Callable[[nn.Module, Tensor, Tensor], Tensor] = lambda model, start, out: out,
) -> Tensor:  # fmt: skip
    """`decode` with slips; `masks` gives (mask of self-attention, mask of cross-attention)."""
    pos = torch.arange(tgt.shape[1])
    x = {
        "src": lambda: model.src_embed(tgt, pos),
        "no scale": lambda: model.tgt_embed.positions.embed(model.tgt_embed.tokens(tgt), pos),
        "no positions": lambda: model.tgt_embed.tokens(tgt) * model.tgt_embed.scale,
        "tokens only": lambda: model.tgt_embed.tokens(tgt),
    }.get(embed, lambda: model.tgt_embed(tgt, pos))()
    mask, memory_mask = masks(src_mask, tgt_mask)
    start = x
    for block in model.decoder:
        out = block(x, mask=mask, memory=kv(model, block, x, memory), memory_mask=memory_mask)
        x = keep(model, start, out)
    return x if norm == "none" else getattr(model, f"{norm}_norm")(x)


class _Listening(nn.Module):
    """A block that notes what it is given as memory, and does nothing."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.cross_attn, self.heard = attention, []

    def forward(self, x: Tensor, **given: Any) -> Tensor:
        self.heard.append(given.get("memory"))
        return x


def _hands_over_the_memory_itself(answer: Callable[..., Any]) -> bool:
    model, *args = _decode_case(torch.Generator().manual_seed(0), [4, 3], 3, Parts()).args
    model.decoder = nn.ModuleList(_Listening(block.cross_attn) for block in model.decoder)
    answer(model, *args)
    return any(isinstance(memory, Tensor) for block in model.decoder for memory in block.heard)


DECODE = Exercise(
    id="encoder-decoder/decode",
    title="Wire the decoder",
    answer="decode",
    solution=decode,
    cases=_decode_cases,
    properties=(
        has_shape("there is one state per target token", lambda model, tgt, *rest: (*tgt.shape, 8)),
        Property(
            sentence="a target token does not change the states before it",
            test=_future_does_not_matter,
            hint="which mask hides the future, and does self-attention get it?",
        ),
        Property(
            sentence="the memory is read",
            test=_memory_matters,
            hint="keys and values of cross-attention come from the memory",
        ),
        Property(
            sentence="memory at padded positions does not matter",
            test=_padded_memory_does_not_matter,
            hint="the source's mask is needed a second time, in cross-attention",
        ),
        equals(
            "the states equal those of EncoderDecoder.decode",
            decode,
            hint="embed, then every block in turn, then the norm: print x after each of them",
        ),
    ),
    wrong=(
        Wrong(
            name="masks swapped",
            answer=variant_of(_run_decoder, masks=lambda s, t: (s, t)),
            hint="the two masks have changed places, which only goes unnoticed when S equals T: a mask's last axis "
            "counts keys, so which keys does each site look at?",
        ),
        Wrong(
            name="target mask at both sites",
            answer=variant_of(_run_decoder, masks=lambda s, t: (t, t)),
            hint="cross-attention looks at the source, which has no future: there only padding is hidden",
        ),
        Wrong(
            name="source mask at both sites",
            answer=variant_of(_run_decoder, masks=lambda s, t: (s, s)),
            hint="self-attention looks at target tokens: the mask of the source has nothing to say about them",
        ),
        Wrong(
            name="no target mask",
            answer=variant_of(_run_decoder, masks=lambda s, t: (None, s)),
            hint="each position sees the tokens it should predict: self-attention runs without its mask",
        ),
        Wrong(
            name="no source mask",
            answer=variant_of(_run_decoder, masks=lambda s, t: (t, None)),
            hint="encoding without padding is not enough: cross-attention reads the memory of padding unless told "
            "not to",
        ),
        Wrong(
            name="no masks",
            answer=variant_of(_run_decoder, masks=lambda s, t: (None, None)),
            hint="neither mask is used: one hides the future in self-attention, the other padding in cross-attention",
        ),
        Wrong(
            name="keys and values of the target",
            answer=variant_of(_run_decoder, kv=lambda model, block, x, memory: block.cross_attn.project_kv(x)),
            hint="the decoder looks at itself a second time: whose keys and values should cross-attention use?",
        ),
        Wrong(
            name="projected by self-attention",
            answer=variant_of(_run_decoder, kv=lambda model, block, x, memory: block.attn.project_kv(memory)),
            hint="each block holds two attention layers: the memory goes through the projections of the other one",
        ),
        Wrong(
            name="one projection for all blocks",
            answer=variant_of(
                _run_decoder, kv=lambda model, block, x, memory: model.decoder[0].cross_attn.project_kv(memory)
            ),
            hint="all blocks read the same memory, but each through keys and values of its own",
        ),
        Wrong(
            name="the source's embedding",
            answer=variant_of(_run_decoder, embed="src"),
            hint="target ids are looked up in the source's table",
        ),
        Wrong(
            name="no positions",
            answer=variant_of(_run_decoder, embed="no positions"),
            hint="the target tokens do not know where they stand: call tgt_embed itself, not only its table",
        ),
        Wrong(
            name="no embedding scale",
            answer=variant_of(_run_decoder, embed="no scale"),
            hint="the token vectors are sqrt(d_model) times too small beside the positions: call tgt_embed itself",
        ),
        Wrong(
            name="the bare table",
            answer=variant_of(_run_decoder, embed="tokens only"),
            hint="tgt_embed does more than look up: it scales the vectors and adds positions",
        ),
        Wrong(
            name="the memory itself",
            answer=variant_of(_run_decoder, kv=lambda model, block, x, memory: memory),
            hint="a block wants keys and values, not the memory they are made of: which part of the block makes them?",
            recognise=_hands_over_the_memory_itself,
        ),
        Wrong(
            name="source mask mixed into the target's",
            answer=variant_of(_run_decoder, masks=lambda s, t: (t & s, s)),
            hint="src_mask says which source tokens are real, and self-attention looks at target tokens: each site "
            "has one mask",
        ),
        Wrong(
            name="target mask inverted",
            answer=variant_of(_run_decoder, masks=lambda s, t: (~t, s)),
            hint="self-attention sees the future and nothing else: True means that a position may be looked at",
        ),
        Wrong(
            name="memory normalised again",
            answer=variant_of(
                _run_decoder,
                kv=lambda model, block, x, memory: block.cross_attn.project_kv(model.encoder_norm(memory)),
            ),
            hint="encode has normalised the memory already: use it as it comes",
        ),
        Wrong(
            name="norm after every block",
            answer=variant_of(_run_decoder, keep=lambda model, start, out: model.decoder_norm(out), norm="none"),
            hint="each block has norms of its own inside; decoder_norm stands once, behind the last of them",
        ),
        Wrong(
            name="results thrown away",
            answer=variant_of(_run_decoder, keep=lambda model, start, out: start),
            hint="the blocks run and nobody keeps what they return: calling a block does not change x",
        ),
        Wrong(
            name="residual added a second time",
            answer=variant_of(_run_decoder, keep=lambda model, start, out: start + out),
            hint="a block adds to the stream by itself: what it returns is the new stream already",
        ),
        Wrong(
            name="the encoder's blocks",
            answer=lambda model, tgt, memory, src_mask, tgt_mask: _encoder_blocks(model, tgt, tgt_mask),
            hint="these blocks have no cross-attention to read the memory with: there are others in the model",
        ),
        Wrong(
            name="logits",
            answer=lambda model, *args: model.generator(decode(model, *args)),
            hint="this goes one step too far: decode stops at the states, and the generator makes logits of them",
        ),
        Wrong(
            name="no final norm",
            answer=variant_of(_run_decoder, norm="none"),
            hint="the generator expects normalised states: something follows the last block",
        ),
        Wrong(
            name="the encoder's norm",
            answer=variant_of(_run_decoder, norm="encoder"),
            hint="each stack ends in a norm of its own",
        ),
    ),
    notice="Had every test used S = T, the swapped masks would have passed unseen.",
)
