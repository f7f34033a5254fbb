"""Properties of serving: what a request gets may not depend on who else is served, nor on where its memory lies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tftutor.attention import attend_with_weights, merge_heads, share_kv_heads, split_heads
from tftutor.decoding import greedy, sample
from tftutor.positions import rope_rotation, rotate
from tftutor.properties.running import largest, run
from tftutor.serving import BlockPool, PagedKV, Request, serve
from tftutor.state import KV


def serving_error(
    model: nn.Module, requests: Sequence[Request], *, max_rows: int, chunk: int | None = None
) -> float:
    """Does each request get the tokens it would get alone? The share of requests that do not."""
    served = serve(model, requests, max_rows=max_rows, chunk=chunk)
    wrong = 0
    for request, one in zip(requests, served, strict=True):
        wrong += one.tokens.tolist() != decode_alone(model, request).tolist()
    return wrong / max(len(requests), 1)


def decode_alone(model: nn.Module, request: Request) -> Tensor:
    """The tokens (N,) of a request that has the model to itself, by `tftutor.decoding`."""
    prompt, named = request.prompt[None], {"max_new_tokens": request.max_new_tokens, "eos_id": request.eos_id}
    if request.temperature == 0:
        decoded = greedy(model, prompt, model.new_state(1), **named)
    else:
        draw = torch.Generator(device=prompt.device).manual_seed(request.seed)
        decoded = sample(model, prompt, model.new_state(1), temperature=request.temperature, generator=draw, **named)
    return decoded.tokens[0, : int(decoded.lengths[0])]


def streaming_error(model: nn.Module, tokens: Tensor, chunks: Sequence[int], *, window: int, sinks: int) -> float:
    """Do steps with a sliding state give the logits of the definition? tokens (B, T) read in `chunks`, a GPT."""
    state = run(model.new_state, len(tokens), window=window, sinks=sinks)
    steps = torch.cat([run(model.step, part, state) for part in tokens.split(list(chunks), dim=1)], dim=1)
    return largest(steps - run(streaming_reference, model, tokens, window=window, sinks=sinks))


def streaming_reference(model: nn.Module, tokens: Tensor, *, window: int, sinks: int) -> Tensor:
    """Logits (B, T, V) of a sliding window with sinks by an explicit mask, no cache: each query is a row of its own.

    Query t may look at key s <= t if s < sinks or s > t - window; positions count what it may look at.
    """
    n = tokens.shape[1]
    query, key = torch.arange(n)[:, None], torch.arange(n)
    evicted = (query + 1 - sinks - window).clamp(min=0)  # (T, 1) tokens gone when query t is read
    seen = (key <= query) & ((key < sinks) | (key >= sinks + evicted))  # (T, S)
    inside = torch.where(key < sinks, key, key - evicted).masked_fill(~seen, -1)  # (T, S) positions in the cache
    query_pos = query - evicted  # (T, 1)
    out = []
    for row in tokens:
        x = model.positions.embed(model.embed(row)[None], query_pos[:, 0])
        for block in model.blocks:
            x = block.add(x, block.norm_attn, lambda h, attn=block.attn: _attend(model, attn, h, query_pos, inside))
            x = block.add(x, block.norm_ffn, block.ffn)
        out.append(model.unembed(model.norm_final(x)))
    return torch.cat(out)


def _attend(model: nn.Module, attn: nn.Module, x: Tensor, query_pos: Tensor, inside: Tensor) -> Tensor:
    """Self-attention of x (1, T, D) where query t meets keys at positions inside[t] (S,), -1 = not to be seen."""
    n = x.shape[1]
    q = split_heads(attn.q_proj(x), attn.n_heads).transpose(0, 2)  # (T, H, 1, Dh): a batch of T single queries
    kv = (split_heads(p(x), attn.n_kv_heads).expand(n, -1, -1, -1) for p in (attn.k_proj, attn.v_proj))
    k, v = (share_kv_heads(t, attn.n_heads) for t in kv)  # (T, H, S, Dh)
    if model.cfg.positions in ("rope", "rope_pairs"):
        layout = {"rope": "halves", "rope_pairs": "pairs"}[model.cfg.positions]
        q, k = (rotate(t, rope_rotation(pos, attn.d_head, base=model.cfg.rope_base, layout=layout))
                for t, pos in ((q, query_pos), (k, inside)))  # fmt: skip
    bias = model.positions.inputs(query_pos, inside).bias  # (T, H, 1, S) or None
    heads = attend_with_weights(q, k, v, mask=(inside >= 0)[:, None, None], bias=bias, scale=attn.scale).heads
    return attn.o_proj(merge_heads(heads.transpose(0, 2)))


def paging_error(lengths: Sequence[Sequence[int]], *, n_blocks: int, block_size: int, seed: int = 0) -> float:
    """Do sequences in blocks read back what they wrote? Counts errors of content and of ownership as 1, else 0.

    Each sequence of `lengths` grows by its numbers, in turns; it leaves after its last, and the next sequences that
    come find its blocks free.
    """
    draw = torch.Generator().manual_seed(seed)
    pool = BlockPool(n_blocks, block_size)
    store, error = PagedKV(pool, 2, 3, like=torch.zeros(1)), 0.0
    tables: list[list[int]] = [[] for _ in lengths]
    grown = [torch.zeros(2, 0, 3) for _ in lengths]
    for turn in range(max(len(steps) for steps in lengths)):
        for table, steps, i in zip(tables, lengths, range(len(lengths)), strict=True):
            if turn >= len(steps):
                pool.release(table)
                continue
            new, start = torch.randn(2, steps[turn], 3, generator=draw), grown[i].shape[1]
            pool.extend(table, start + steps[turn])
            store.write(table, start, KV(new, -new))
            grown[i] = torch.cat([grown[i], new], dim=1)
        owned = [block for table in tables for block in table]
        error = max(error, float(len(set(owned)) != len(owned) or len(owned) + pool.n_free != n_blocks))
        for table, wanted in zip(tables, grown, strict=True):
            if table:
                keys, values = store.read(table, wanted.shape[1])
                error = max(error, float(not torch.equal(keys, wanted) or not torch.equal(values, -wanted)))
    return error
