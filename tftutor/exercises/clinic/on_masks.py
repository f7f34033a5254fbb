"""Sentences about masks and training."""

from __future__ import annotations

from tftutor.exercises.clinic.judge import Statement, judging

STATEMENTS = (
    Statement(
        text="Under the usual causal mask the first token may attend to nothing, because it has no past.",
        verdict="f",
        hint="look at the diagonal of the mask: may a token see itself?",
        why="It may attend to itself. An empty row would be 0/0 in the softmax.",
        code="pos = torch.arange(5)\nassert causal_mask(pos, pos)[0, 0, 0].tolist() == [True] + 4 * [False]",
        read="05_masks",
    ),
    Statement(
        text='In PyTorch, True in a boolean attention mask means "may be attended to".',
        verdict="d",
        hint="PyTorch offers attention as a function and as a module. Read the documentation of both",
        why="In `F.scaled_dot_product_attention` it does; in `nn.MultiheadAttention` and `nn.Transformer` True is "
        "hidden.",
        code="pos, x = torch.arange(4), torch.randn(1, 4, 8)\n"
        "keep = causal_mask(pos, pos)[0, 0]\n"
        "first = F.scaled_dot_product_attention(x, x, x, attn_mask=keep)[0, 0]\n"
        "module = nn.MultiheadAttention(8, 1, batch_first=True)\n"
        "_, weights = module(x, x, x, attn_mask=keep)\n"
        "assert torch.allclose(first, x[0, 0])  # looks at itself\n"
        "assert abs(weights[0, 0, 1:].sum() - 1) < 1e-5  # looks at the future only",
        read="05_masks",
    ),
    Statement(
        text="A decoding step that reads one new token for every row of a batch, with keys and values in one "
        "rectangular cache, needs an attention mask.",
        verdict="d",
        hint="all cached tokens are in the past, that is settled. But is every place of the cache filled in every row?",
        why="With rows of equal length everything in the cache may be seen. With unequal ones the empty places have to "
        "be hidden.",
        code="q, (k, v) = torch.randn(2, 1, 1, 4), torch.randn(2, 2, 1, 5, 4)\n"
        "filled = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()[:, None, None]\n"
        "change = (attend(q, k, v) - attend(q, k, v, mask=filled)).abs().flatten(1)\n"
        "assert change[0].max() < 1e-6 and change[1].max() > 1e-2",
        read="13_kv_cache",
    ),
    Statement(
        text="Because of its causal mask, a Transformer decoder has to be trained on one position after the other.",
        verdict="f",
        hint="is anything in the mask computed from an earlier position's result?",
        why="The mask is a constant. One pass over T tokens gives what T passes over the prefixes give.",
        code="model, text = GPT(small_config()).eval(), torch.randint(3, 87, (1, 12))\n"
        "one_by_one = torch.stack([model(text[:, : t + 1])[0, -1] for t in range(12)])\n"
        "assert (model(text)[0] - one_by_one).abs().max() < 1e-4",
        read="11_teacher_forcing",
    ),
    Statement(
        text="In a dense causal decoder in evaluation mode, with layer norm and with positions counted from the left, "
        "padding *behind* a text changes the logits at its real tokens by more than rounding, unless a padding mask "
        "hides it.",
        verdict="f",
        hint="padding on the right stands after every real token. Who is allowed to look there?",
        why="For the real tokens the padding lies in the future, which the causal mask hides anyway.",
        code="model, text = GPT(small_config()).eval(), torch.randint(3, 87, (1, 12))\n"
        "padded = F.pad(text, (0, 6))\n"
        "assert (model(padded)[:, :12] - model(text)).abs().max() < 1e-4",
        read="05_masks",
    ),
    Statement(
        text="A deterministic model decodes greedily up to its end mark, without ties and without a limit that cuts it "
        "short. It writes exactly the one reference if and only if, fed with the reference, its best token is the "
        "right one at every position, the end mark included.",
        verdict="t",
        hint="as long as everything so far was right, what do the two ways of reading feed to the model?",
        why="By induction: up to the first mistake both read the same prefix, so they make that mistake at the same "
        "place, or none.",
        code="model, start = GPT(small_config()).eval(), torch.tensor([[5, 9]])\n"
        "y = greedy(model, start, model.new_state(1), max_new_tokens=8).tokens\n"
        "other = y.clone()\n"
        "other[0, 3] = 3 if y[0, 3] != 3 else 4\n"
        "for reference, same in ((y, True), (other, False)):\n"
        "    fed = torch.cat([start, reference[:, :-1]], dim=1)\n"
        "    best = model(fed)[:, 1:].argmax(dim=-1)\n"
        "    assert bool((best == reference).all()) == same",
        read="11_teacher_forcing",
    ),
    Statement(
        text="The mean of the losses per token of two half batches is the loss per token of the whole batch.",
        verdict="d",
        hint="give one half 2 tokens and the other 8, and compute both",
        why="It is if both halves have equally many real tokens (or happen to have the same loss); otherwise tokens of "
        "the smaller half count for more.",
        code="def gap(a, b):\n"
        "    halves = (sum(a) / len(a) + sum(b) / len(b)) / 2\n"
        "    return abs(halves - sum(a + b) / len(a + b))\n\n"
        "assert gap([1.0, 2.0], [4.0, 5.0]) < 1e-9 < 0.5 < gap([1.0, 2.0], [4.0] * 8)",
        read="11_teacher_forcing",
    ),
    Statement(
        text="A decoder that was trained without its causal mask, and cannot write, can have a validation loss near "
        "zero if validation leaves the mask out as well.",
        verdict="t",
        hint="what does the validation pass feed to the model, and where is the answer in it?",
        why="In our measurement it is about 0.1 nats, while the loss on honest prefixes is above 3.",
        code='rows = load_results("masks")["rows"]\n'
        'row = next(r for r in rows if r["mask"] == "none" and r["n_layers"] == 2)\n'
        'assert row["dev_one_pass"] < 0.5 and row["dev_prefix"] > 3',
        read="05_masks",
    ),
)

MASKS = judging(
    "clinic/judge-masks",
    "Judge: masks and training",
    STATEMENTS,
    "Ask of every mask: which keys, for which queries, in which batch, and what does True mean here?",
)
