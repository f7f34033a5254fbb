"""Sentences about positions and length."""

from __future__ import annotations

from tftutor.exercises.clinic.judge import Statement, judging

STATEMENTS = (
    Statement(
        text="In evaluation mode, without mask and positions, reordering the input tokens of self-attention reorders "
        "its output vectors in the same way and changes nothing else, except by rounding.",
        verdict="t",
        hint="this is equivariance, not invariance: write the softmax of one row as a sum over a set of keys",
        why="Each output is a sum over the *set* of keys and values; its own place does not occur in it.",
        code="layer, x = MultiHeadAttention(32, n_heads=4), torch.randn(2, 7, 32)\n"
        "assert properties.permutation_change(layer, x) < 1e-5",
        read="07_positions",
    ),
    Statement(
        text="A Transformer of two layers without positional encodings cannot tell two orders of the same tokens "
        "apart.",
        verdict="d",
        hint="there is a second thing by which a stack can know what comes first",
        why="A bidirectional one cannot, but for the order of its outputs. A causal one can: its mask is not "
        "symmetric.",
        code='model = GPT(small_config(positions="none")).eval()\n'
        "a, b = torch.tensor([[5, 9, 7]]), torch.tensor([[9, 5, 7]])\n"
        "causal = (model(a) - model(b))[0, -1].abs().max()\n"
        "x, y = model.embed(a), model.embed(b)\n"
        "for block in model.blocks:  # no mask\n"
        "    x, y = block(x), block(y)\n"
        "assert causal > 1e-6 and (x - y)[0, -1].abs().max() < causal / 10",
        read="07_positions",
    ),
    Statement(
        text="With RoPE, adding 1,000 to the position of a query and to that of a key leaves their score unchanged, "
        "except by rounding.",
        verdict="t",
        hint="two rotations meet in the dot product: only one angle is left of them",
        why="$R_t^\\top R_s = R_{s-t}$: the score depends on the distance.",
        code="q, k = torch.randn(2, 1, 16, dtype=torch.float64)\n"
        "def score(t, s):\n"
        "    turn = [rope_rotation(torch.tensor([p]), 16) for p in (t, s)]\n"
        "    return (rotate(q, turn[0]) * rotate(k, turn[1])).sum()\n\n"
        "assert abs(score(5, 2) - score(1005, 1002)) < 1e-9",
        read="07_positions",
    ),
    Statement(
        text="Positions made for texts of up to 512 tokens stop with an error when the text has 600.",
        verdict="d",
        hint="which schemes look a position up, and which compute it?",
        why="A learned table has no row 600. Sinusoids, RoPE and ALiBi are formulas, T5 sorts distances into buckets: "
        "they run, which does not say how well.",
        code="table, positions = nn.Embedding(512, 8), torch.arange(600)\n"
        "try:\n"
        "    table(positions)\n"
        "    stopped = False\n"
        "except IndexError:\n"
        "    stopped = True\n"
        "assert stopped and sinusoids(positions, 8).isfinite().all()",
        read="15_longer_than_training",
    ),
    Statement(
        text="A RoPE model with full attention, trained on texts of 64 tokens, meets nothing new in a text of 512, "
        "because its scores depend on distances only.",
        verdict="f",
        hint="which distances occur in a text of 512, and which of them occurred in training?",
        why="Distances from 64 to 511 are new, and with them angles: most pairs had not completed a turn.",
        code="speed = frequencies(16)  # angle per position, for the 8 pairs of a head\n"
        "complete = (63 * speed >= 2 * math.pi).sum()\n"
        "assert complete == 3",
        read="15_longer_than_training",
    ),
    Statement(
        text="For sinusoidal positions and every shift $k$ there is one matrix that turns the vector of $p$ into that "
        "of $p + k$, for all $p$.",
        verdict="t",
        hint="sin(a + b) and cos(a + b) can be written with sin a, cos a and numbers that depend on b only",
        why="It is block-diagonal, with a rotation by $k\\omega_i$ for each pair of features.",
        code="p = sinusoids(torch.arange(30_000), 16)  # more than one longest wave\n"
        "matrix = torch.linalg.lstsq(p[:20_000], p[17:20_017]).solution\n"
        "assert (p[20_000:29_000] @ matrix - p[20_017:29_017]).abs().max() < 1e-8",
        read="07_positions",
    ),
    Statement(
        text="Code LLaMA came to read about 100,000 tokens by position interpolation.",
        verdict="f",
        hint="its paper changed a number inside RoPE, and contrasts that with interpolation. Which number?",
        why="It raised the base of RoPE from 10,000 to 1,000,000 and trained on with 16,384 tokens "
        "{cite:p}`roziere2023`.",
        code="",
        read="15_longer_than_training",
    ),
    Statement(
        text="A character model with relative positions (RoPE or ALiBi), trained on 64 characters, keeps its loss on "
        "texts of 512.",
        verdict="d",
        hint="the two schemes were measured side by side: did they behave alike?",
        why="In our comparison ALiBi's loss rises by less than 0.1 nats, that of RoPE by more than 0.8.",
        code="def rise(scheme):\n"
        '    rows, kind = load_results("lengths")["rows"], ("length", scheme)\n'
        '    mine = [r["nats"] for r in rows if (r["kind"], r.get("scheme")) == kind]\n'
        '    return [nats["512"] - nats["64"] for nats in mine]\n\n'
        'assert max(rise("alibi")) < 0.1 and min(rise("rope")) > 0.8',
        read="15_longer_than_training",
    ),
)

POSITIONS = judging(
    "clinic/judge-positions", "Judge: positions and length", STATEMENTS,
    "Does it run, is it still good, does it use what is far? Three questions, and answers to one of them are often "
    "given for another.",
)  # fmt: skip
