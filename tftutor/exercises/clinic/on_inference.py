"""Sentences about caches, costs and other families."""

from __future__ import annotations

from tftutor.exercises.clinic.judge import Statement, judging

STATEMENTS = (
    Statement(
        text="With a KV cache and full attention, writing token 1,000 takes as many operations as writing token 10.",
        verdict="f",
        hint="the new query is one. How many keys does it meet?",
        why="Projections and feed-forward do not grow, scores and mixing do: $4LD$ operations for every cached key.",
        code="late, early = (sum(step_flops(gpt2_small(), 1, n).values()) for n in (999, 9))\n"
        "assert late - early == 4 * 12 * 768 * 990",
        read="13_kv_cache",
    ),
    Statement(
        text="When a text gets one more token at its end, the keys and values already computed for the old tokens of "
        "all layers are still right.",
        verdict="d",
        hint="it hangs on whether an old token may look at the new one",
        why="In a causal stack they are. In a bidirectional one they are right in the first layer only.",
        code="block, x = GPT(small_config()).blocks[0].eval(), torch.randn(1, 9, 64)\n"
        "pos = torch.arange(9)\n"
        "causal = causal_mask(pos, pos)\n"
        "def moved(mask):  # of what the second layer's keys are made from\n"
        "    short = block(x[:, :8], mask=None if mask is None else mask[..., :8, :8])\n"
        "    return (block(x, mask=mask)[:, :8] - short).abs().max()\n\n"
        "assert moved(causal) < 1e-5 and moved(None) > 1e-4",
        read="13_kv_cache",
    ),
    Statement(
        text="The KV cache of LLaMA-2 7B (32 layers, 32 key/value heads of width 128) takes 512 KiB per token and "
        "sequence in 16-bit numbers.",
        verdict="t",
        hint="2 for keys and values, times layers, times heads, times width, times bytes: compute it",
        why="$2 \\cdot 32 \\cdot 32 \\cdot 128 \\cdot 2 = 524{,}288$ bytes.",
        code="one = cache_bytes(n_layers=32, n_kv_heads=32, d_head=128, length=1)\nassert one == 512 * 1024",
        read="13_kv_cache",
    ),
    Statement(
        text="FlashAttention is fast because it approximates the softmax with fewer operations.",
        verdict="f",
        hint="a running maximum and a running sum: is anything left out of the softmax that way?",
        why="It is exact and makes the same products; it does not write the table of scores to slow memory.",
        code="q, k, v = torch.randn(3, 1, 2, 100, 8, dtype=torch.float64)\n"
        "blocks = blockwise_attention(q, k, v, block=16)\n"
        "assert (blocks - attend(q, k, v)).abs().max() < 1e-12",
        read="14_cost_of_attention",
    ),
    Statement(
        text="In a dense forward pass over N tokens, scores and mixing of values, the part that grows with $N^2$, are "
        "the larger part of a block's operations.",
        verdict="d",
        hint="compare 4 N N D with 24 N D D: from which N on is the first one larger?",
        why="Only beyond $N = 6D$ (with $F = 4D$): for GPT-2 small that is 4,608 tokens, more than its 1,024.",
        code="def share(n):\n"
        "    cost = step_flops(gpt2_small(), n)\n"
        '    return cost["attention"] / sum(cost[k] for k in cost if k != "logits")\n\n'
        "assert share(1024) < 0.2 and share(16_384) > 0.7",
        read="14_cost_of_attention",
    ),
    Statement(
        text="Causal linear attention (kernel features in place of the exponential) can be computed token by token "
        "from a state of fixed size, with the same outputs, except by rounding, as from the table of all pairs.",
        verdict="t",
        hint="without the exponential the query can be taken out of the sum over the keys. What remains in the sum?",
        why="What is left of the past is $\\sum_s \\phi(k_s)^\\top v_s$ and $\\sum_s \\phi(k_s)$, whose size does not "
        "grow.",
        code="q, k, v = torch.randn(3, 1, 1, 20, 4, dtype=torch.float64)\n"
        "state, steps = None, []\n"
        "for t in range(20):\n"
        "    one = (x[:, :, t : t + 1] for x in (q, k, v))\n"
        "    out, state = linear_attention_step(*one, state)\n"
        "    steps.append(out)\n"
        "whole = linear_attention(q, k, v, causal=True)\n"
        "assert (torch.cat(steps, dim=2) - whole).abs().max() < 1e-12",
        read="19_beyond_attention",
    ),
    Statement(
        text="Retention, the layer of RetNet, takes a number of operations that grows linearly with the number of "
        "tokens.",
        verdict="d",
        hint="it has three forms that give the same numbers. Do they cost the same?",
        why="Chunk by chunk or token by token it does; in the parallel form it fills a table of all pairs.",
        code="def flops(form, n):\n"
        "    q, k, v = torch.randn(3, 1, 1, n, 8)\n"
        "    with FlopCounterMode(display=False) as counter:\n"
        "        form(q, k, v, torch.tensor([0.9]))\n"
        "    return counter.get_total_flops()\n\n"
        "chunks = functools.partial(retention_chunkwise, chunk=16)\n"
        "assert flops(retention_parallel, 256) == 4 * flops(retention_parallel, 128)\n"
        "assert flops(chunks, 256) == 2 * flops(chunks, 128)",
        read="19_beyond_attention",
    ),
    Statement(
        text="With 64 query heads, going from 64 to 8 key/value heads makes the cache an eighth and leaves 64 tables "
        "of attention weights in a layer.",
        verdict="t",
        hint="which of the two numbers of heads counts the tables: queries', or keys'?",
        why="Keys and values are shared by groups of query heads; every query head has scores of its own.",
        code="layer = MultiHeadAttention(128, 64, n_kv_heads=8)\n"
        "with record_attention(layer) as maps:\n"
        "    layer(torch.randn(1, 5, 128))\n"
        "(table,) = maps.values()\n"
        "assert 8 * layer.k_proj.out_features == layer.q_proj.out_features\n"
        "assert table.shape[1] == 64",
        read="13_kv_cache",
    ),
)

INFERENCE = judging(
    "clinic/judge-inference",
    "Judge: caches, costs and families",
    STATEMENTS,
    "A cost is a sentence with three parts: of what, in what, and for which form of the computation.",
)
