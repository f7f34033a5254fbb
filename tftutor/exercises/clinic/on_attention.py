"""Sentences about scores, heads and values."""

from __future__ import annotations

from tftutor.exercises.clinic.judge import Statement, judging

STATEMENTS = (
    Statement(
        text="In self-attention with $W_Q = W_K$, whose scores are just the dot products of $xW_Q$ and $xW_K$ (no "
        "biases, nothing added, rotated or normalised), token 1 can score token 2 higher than token 2 scores token 1.",
        verdict="f",
        hint="one score is x1 W W' x2', the other x2 W W' x1'. What does transposing do to a single number?",
        why="$x_1 W W^\\top x_2^\\top$ is a number, so it equals its transpose: the table of scores is symmetric.",
        code="q = k = torch.randn(7, 32) @ torch.randn(32, 8)\nassert torch.allclose(q @ k.T, (q @ k.T).T, atol=1e-4)",
        read="03_queries_keys_values",
    ),
    Statement(
        text="In a head whose scores are just the dot products of $xW_Q$ and $xW_K$ (no biases, nothing rotated or "
        "normalised), replacing $W_Q$ by $W_Q A$ and $W_K$ by $W_K A^{-\\top}$, with any invertible $A$, changes no "
        "attention weight except by rounding.",
        verdict="t",
        hint="write down the product of the new query and the new key, and look at what stands in the middle",
        why="The scores are $x W_Q A A^{-1} W_K^\\top x^\\top$: $A$ cancels. Only the product $W_Q W_K^\\top$ counts.",
        code="q, k, a = (torch.randn(n, 8).double() for n in (5, 6, 8))\n"
        "assert torch.allclose((q @ a) @ (k @ a.inverse().T).T, q @ k.T)",
        read="03_queries_keys_values",
    ),
    Statement(
        text="Doubling the number of heads doubles the weights of an attention layer (biases left out).",
        verdict="d",
        hint="the sentence does not say how wide the heads are afterwards. There are two customs",
        why="It does if each head keeps its width (a configuration may set it freely), and does not with the usual "
        "$D_h = D/H$.",
        code="def size(h, width):\n"
        "    layer = MultiHeadAttention(64, h, d_head=width, bias=False)\n"
        "    return sum(p.numel() for p in layer.parameters())\n\n"
        "assert size(8, 16) == 2 * size(4, 16) and size(8, 8) == size(4, 16)",
        read="06_many_heads",
    ),
    Statement(
        text="If all $d_k$ entries of $q$ and all of $k$ are independent, with mean 0 and variance 1, then $q \\cdot "
        "k$ has variance $d_k$, whatever their distribution.",
        verdict="t",
        hint="each product of two entries has mean 0 and variance 1: which rule adds up the variances?",
        why="Each $q_i k_i$ has mean 0 and variance $1 \\cdot 1$; uncorrelated terms add their variances.",
        code="q = torch.randint(2, (50_000, 64)) * 2.0 - 1  # not even normal\n"
        "k = torch.randn(50_000, 64)\n"
        "assert abs((q * k).sum(dim=1).var() / 64 - 1) < 0.05",
        read="04_scores_and_scaling",
    ),
    Statement(
        text="A model trained without the factor $1/\\sqrt{d_k}$ ends up worse than the same model with it.",
        verdict="d",
        hint="the factor is about the size of scores at the start. What else decides that size?",
        why="In our measurement it does with unit-variance queries and keys, and does not with a small start; T5 has "
        "no factor at all, having moved it into the first weights.",
        code="def nats(score, start):\n"
        '    rows, kind = load_results("score_functions")["rows"], (score, 64, start)\n'
        '    fits = [r for r in rows if (r["score"], r["d_head"], r["start"]) == kind]\n'
        '    return [r["nats"] for r in fits]\n\n'
        'assert min(nats("dot", "unit")) > max(nats("scaled dot", "unit")) + 0.1\n'
        'assert sum(nats("dot", "small")) < sum(nats("scaled dot", "small")) + 3 * 0.05',
        read="04_scores_and_scaling",
    ),
    Statement(
        text="For one query, the dot product and the cosine put the keys into the same order.",
        verdict="d",
        hint="the cosine is the dot product divided by two lengths. Which of the two differs from key to key?",
        why="They do if all keys are equally long. Otherwise a long key can win by its length alone.",
        code="q, keys = torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0], [5.0, 9.0]])\n"
        "units = F.normalize(keys, dim=1)\n"
        "assert (units @ q).argmax() == 0 != (keys @ q).argmax()  # [5, 9] is long\n"
        "dots, cosines = units @ q, F.cosine_similarity(units, q[None])\n"
        "assert torch.equal(dots.argsort(), cosines.argsort())  # equally long",
        read="04_scores_and_scaling",
    ),
    Statement(
        text="In `torch.nn.MultiheadAttention` with 8 heads, the first head is handed only the first eighth of "
        "the features of the input.",
        verdict="f",
        hint="what is cut into 8 parts: the input, or what the projection makes of it?",
        why="Every head projects the whole vector; the reshape comes after the projection.",
        code="layer = nn.MultiheadAttention(64, 8, batch_first=True)\n"
        "x = torch.randn(1, 5, 64)\n"
        "other = x.clone()\n"
        "other[..., -1] += 1  # the last feature\n"
        "tables = [layer(y, y, y, average_attn_weights=False)[1] for y in (x, other)]\n"
        "assert not torch.allclose(tables[0][0, 0], tables[1][0, 0])  # head 0",
        read="06_many_heads",
    ),
    Statement(
        text="There is no attention layer with $W_K = W_V$ that puts its weight on the right token and hands over what "
        "stands there.",
        verdict="f",
        hint="take three one-hot tokens and K = V = x: which matrix sends each query to its neighbour?",
        why="Three tokens that each want the next one: $W_Q$ does the turning, and keys may well be the values.",
        code="x, turn = torch.eye(3), torch.eye(3).roll(1, dims=0)\n"
        "weights = (x @ turn * 30 @ x.T).softmax(dim=1)\n"
        "assert torch.allclose(weights @ x, turn, atol=1e-6)",
        read="03_queries_keys_values",
    ),
)

ATTENTION = judging(
    "clinic/judge-attention", "Judge: scores, heads and values", STATEMENTS,
    "Three of the eight depend on something that the sentence leaves out: the width of a head, the start, the length "
    "of keys. In an interview, say it.",
)  # fmt: skip
