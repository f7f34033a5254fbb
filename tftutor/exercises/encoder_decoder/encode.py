"""Exercise: wire the encoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tftutor.exercises.encoder_decoder.parts import N_IDS, Parts, lengths_to_valid, variant_of
from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, has_shape, named_case
from tftutor.masks import causal_mask, padding_mask


def encode(model: nn.Module, src: Tensor, src_mask: Tensor | None) -> Tensor:
    """Memory (B, S, D): one vector per source token, from the parts of `model`.

    model.src_embed(tokens, positions): token vectors (B, S, D), scaled, with
        positions (S,) added.
    model.encoder: the list of blocks, called as block(x, mask=...).
    model.encoder_norm: the norm after the last block.
    src: ids (B, S).
    src_mask: (B, 1, 1, S), True = a real token.
    """
    x = model.src_embed(src, torch.arange(src.shape[1]))
    for block in model.encoder:
        x = block(x, mask=src_mask)
    return model.encoder_norm(x)


def _encode_cases(generator: torch.Generator) -> list[Case]:
    cases, model = [], Parts()
    for lengths in ([2], [3, 2], [5, 3, 4], [2, 7, 4, 6]):
        valid = lengths_to_valid(lengths)
        src = torch.randint(N_IDS, valid.shape, generator=generator).masked_fill(~valid, 0)
        cases.append(named_case(model=model, src=src, src_mask=padding_mask(valid)))
    return cases


def _real(output: Tensor, src_mask: Tensor) -> Tensor:
    """Vectors of real tokens only, (n, D): what an encoder says about padding is nobody's business."""
    return output[src_mask[:, 0, 0]]


def _padding_does_not_matter(trial: Trial) -> Mismatch | None:
    model, src, mask = trial.args
    other = torch.where(mask[:, 0, 0], src, (src + 5) % N_IDS)
    return compare(_real(trial.output, mask), _real(trial.call(model, other, mask), mask))


def _first_sees_last(trial: Trial) -> Mismatch | None:
    model, src, mask = trial.args
    last = mask[0, 0, 0].sum() - 1
    other = src.clone()
    other[0, last] = (src[0, last] + 1) % N_IDS
    change = float((trial.output - trial.call(model, other, mask))[0, 0].abs().max())
    return None if change > 1e-4 else Mismatch("another first vector when the last token changes", "the same vector")


def _equals_encode(trial: Trial) -> Mismatch | None:
    model, src, mask = trial.args
    return compare(_real(encode(model, src, mask), mask), _real(trial.output, mask))


def _run_encoder(
    model: nn.Module, src: Tensor, src_mask: Tensor | None, *, embed: str = "src", blocks: str = "encoder",
    norm: str = "encoder", mask: Callable[[Tensor], Tensor | None] = lambda m: m, chained: bool = True, first: int = 0,
    n_blocks: int | None = None, keep: str = "result",
) -> Tensor:  # fmt: skip
    """`encode` with slips: other parts, another mask, blocks that do not continue each other's work."""
    pos = torch.arange(src.shape[1]) + first
    table = model.tgt_embed if embed == "tgt" else model.src_embed
    x = start = {
        "no scale": lambda: table.positions.embed(table.tokens(src), pos),
        "no positions": lambda: table.tokens(src) * table.scale,
        "tokens only": lambda: table.tokens(src),
    }.get(embed, lambda: table(src, pos))()
    for block in getattr(model, blocks)[:n_blocks]:
        into = x if chained else start
        if blocks == "decoder":
            x = block(into, memory=block.cross_attn.project_kv(into), memory_mask=src_mask, mask=mask(src_mask))
        else:
            out = block(into, mask=mask(src_mask))
            x = {"result": out, "nothing": into, "sum": into + out, "normed": model.encoder_norm(out)}[keep]
    return x if norm == "none" else getattr(model, f"{norm}_norm")(x)


def _causal_too(src_mask: Tensor) -> Tensor:
    pos = torch.arange(src_mask.shape[-1])
    return src_mask & causal_mask(pos, pos)


ENCODE = Exercise(
    id="encoder-decoder/encode",
    title="Wire the encoder",
    answer="encode",
    solution=encode,
    cases=_encode_cases,
    properties=(
        has_shape("there is one vector per source token", lambda model, src, mask: (*src.shape, 8)),
        Property(
            sentence="other ids in the padding leave the vectors of real tokens as they are",
            test=_padding_does_not_matter,
            hint="every block needs to know which tokens are real",
        ),
        Property(
            sentence="the first token's vector depends on the last token",
            test=_first_sees_last,
            hint="the encoder reads in both directions",
        ),
        Property(
            sentence="vectors of real tokens equal those of EncoderDecoder.encode",
            test=_equals_encode,
            hint="embed, then every block in turn, then the norm: print x after each of them",
        ),
    ),
    wrong=(
        Wrong(
            name="a copy of decode",
            answer=variant_of(_run_encoder, embed="tgt", blocks="decoder", norm="decoder"),
            hint="this is decode under another name: the encoder has its own embedding, blocks and norm, and no "
            "memory to look at",
        ),
        Wrong(
            name="the decoder's blocks",
            answer=variant_of(_run_encoder, blocks="decoder"),
            hint="the tokens are embedded well, then they run through the decoder's blocks",
        ),
        Wrong(
            name="the target's embedding",
            answer=variant_of(_run_encoder, embed="tgt"),
            hint="letters and phonemes are different alphabets: whose table do the source ids belong to?",
        ),
        Wrong(
            name="no positions",
            answer=variant_of(_run_encoder, embed="no positions"),
            hint="without positions the encoder reads a bag of letters: call src_embed itself, not only its table",
        ),
        Wrong(
            name="no embedding scale",
            answer=variant_of(_run_encoder, embed="no scale"),
            hint="the token vectors are sqrt(d_model) times too small beside the positions: call src_embed itself",
        ),
        Wrong(
            name="the bare table",
            answer=variant_of(_run_encoder, embed="tokens only"),
            hint="src_embed does more than look up: it scales the vectors and adds positions",
        ),
        Wrong(
            name="no final norm",
            answer=variant_of(_run_encoder, norm="none"),
            hint="in a pre-norm stack nothing has normalised the sum yet when the last block is done",
        ),
        Wrong(
            name="the decoder's norm",
            answer=variant_of(_run_encoder, norm="decoder"),
            hint="each stack ends in a norm of its own",
        ),
        Wrong(
            name="no mask",
            answer=variant_of(_run_encoder, mask=lambda m: None),
            hint="real tokens look at padding: hand the mask to every block",
        ),
        Wrong(
            name="causal mask",
            answer=variant_of(_run_encoder, mask=_causal_too),
            hint="nothing has to be hidden from the encoder but padding: the whole source is known from the start",
        ),
        Wrong(
            name="one vector for the whole source",
            answer=lambda model, src, src_mask: encode(model, src, src_mask).mean(dim=1),
            hint="this squeezes the source through one vector, whatever its length: the decoder wants one per token, "
            "to choose from",
        ),
        Wrong(
            name="the vector of the last token",
            answer=lambda model, src, src_mask: encode(model, src, src_mask)[:, -1],
            hint="the last vector has read everything, but so have the others: the decoder wants all of them, to "
            "choose from",
        ),
        Wrong(
            name="only the first block",
            answer=variant_of(_run_encoder, n_blocks=1),
            hint="only one block has worked: does the return stand inside the loop, or is there no loop?",
        ),
        Wrong(
            name="results thrown away",
            answer=variant_of(_run_encoder, keep="nothing"),
            hint="the blocks run and nobody keeps what they return: calling a block does not change x",
        ),
        Wrong(
            name="residual added a second time",
            answer=variant_of(_run_encoder, keep="sum"),
            hint="a block adds to the stream by itself: what it returns is the new stream already",
        ),
        Wrong(
            name="norm after every block",
            answer=variant_of(_run_encoder, keep="normed", norm="none"),
            hint="each block has norms of its own inside; encoder_norm stands once, behind the last of them",
        ),
        Wrong(
            name="mask inverted",
            answer=variant_of(_run_encoder, mask=lambda m: ~m),
            hint="tokens look at padding alone: True means that a position may be looked at",
        ),
        Wrong(
            name="positions from one",
            answer=variant_of(_run_encoder, first=1),
            hint="all positions are one too high: the first token stands at position 0",
        ),
        Wrong(
            name="blocks side by side",
            answer=variant_of(_run_encoder, chained=False),
            hint="every block gets the embeddings again, so only the last one counts: each continues from the one "
            "before",
        ),
    ),
    notice="The result is not one vector but one per token; it is computed once, however long the answer becomes.",
)
