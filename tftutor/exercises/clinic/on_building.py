"""Sentences about norms, feed-forward layers, embeddings and losses."""

from __future__ import annotations

from tftutor.exercises.clinic.judge import Statement, judging

STATEMENTS = (
    Statement(
        text="`nn.LayerNorm(D)`, applied to a tensor (B, T, D), computes the output of each token from that token "
        "alone.",
        verdict="t",
        hint="over which axes are its mean and variance taken?",
        why="The statistics are those of one token's D features.",
        code="norm, x = nn.LayerNorm(8), torch.randn(2, 5, 8)\n"
        "other = x.clone()\n"
        "other[:, -1] *= 10\n"
        "assert torch.equal(norm(x)[:, :-1], norm(other)[:, :-1])",
        read="08_residuals_and_normalisation",
    ),
    Statement(
        text="With batch norm over all tokens of a batch, the output for a token depends on the other tokens.",
        verdict="d",
        hint="batch norm has two modes, and they take their statistics from different places",
        why="In training mode it does, through the batch statistics; in evaluation mode it uses stored averages.",
        code="norm, x = SequenceBatchNorm(8), torch.randn(2, 5, 8)\n"
        "other = x.clone()\n"
        "other[:, -1] *= 10\n"
        "moved = {}\n"
        "for mode in (True, False):\n"
        "    norm.train(mode)\n"
        "    moved[mode] = (norm(x) - norm(other))[:, :-1].abs().max()\n"
        "assert moved[True] > 0.1 and moved[False] < 1e-6",
        read="08_residuals_and_normalisation",
    ),
    Statement(
        text="In the standard (serial) block, attention and the feed-forward layer of one layer can be computed at the "
        "same time for one input, since neither needs the other's result.",
        verdict="f",
        hint="what is added to the stream before the feed-forward layer reads it?",
        why="The feed-forward layer reads what attention wrote. The parallel block of GPT-J and PaLM is another "
        "function.",
        code="block, x, seen = GPT(small_config()).blocks[0], torch.randn(1, 5, 64), []\n"
        "block.ffn.register_forward_pre_hook(lambda _, args: seen.append(args[0]))\n"
        "block(x)\n"
        "nn.init.zeros_(block.attn.o_proj.weight)\n"
        "block(x)\n"
        "assert not torch.allclose(*seen)",
        read="09_feed_forward",
    ),
    Statement(
        text="Without its activation and without biases, a feed-forward layer of any width computes what one matrix "
        "$D \\times D$ computes, except by rounding.",
        verdict="t",
        hint="two matrix products with nothing between them: which rule lets you multiply the matrices first?",
        why="$(xW_1)W_2 = x(W_1W_2)$.",
        code="x, up, down = (torch.randn(*s).double() for s in ((3, 8), (8, 32), (32, 8)))\n"
        "assert torch.allclose((x @ up) @ down, x @ (up @ down))",
        read="09_feed_forward",
    ),
    Statement(
        text="At the start of training, multiplying token embeddings of width 512 by $\\sqrt{512}$ brings their root "
        "mean square within a factor of 2 of that of sinusoidal positions.",
        verdict="d",
        hint="the factor is fixed, and what it multiplies is not: from which distribution are the rows drawn?",
        why="Drawn with standard deviation $1/\\sqrt{D}$: 1.0 against 0.71, yes. Drawn from N(0, 1), PyTorch's "
        "default: 22.6 against 0.71, no.",
        code="places = sinusoids(torch.arange(512), 512).square().mean().sqrt()\n"
        "rows = torch.randn(1000, 512)\n"
        "default = 512**0.5 * rows.square().mean().sqrt()\n"
        "small = default / 512**0.5  # rows drawn with standard deviation 1 / sqrt(512)\n"
        "assert small / places < 2 and default / places > 30",
        read="02_symbols_to_probabilities",
    ),
    Statement(
        text="Handing `F.cross_entropy` the log-softmax of the logits in place of the logits changes the loss by more "
        "than rounding.",
        verdict="f",
        hint="what is the log-softmax of a log-softmax?",
        why="Log-probabilities are logits too, with $\\log Z = 0$: the second log-softmax changes nothing. A *softmax* "
        "before it does harm.",
        code="z, y = torch.randn(6, 9), torch.arange(6)\n"
        "change = F.cross_entropy(z.log_softmax(dim=1), y) - F.cross_entropy(z, y)\n"
        "assert abs(change) < 1e-6",
        read="02_symbols_to_probabilities",
    ),
    Statement(
        text="A model puts probability 1, up to rounding, on a wrong class. Plain cross-entropy on that one example "
        "then still gives the right class's logit a gradient of about -1.",
        verdict="t",
        hint="write down the gradient with respect to the logits, and put in p = 0 for the right class",
        why="The gradient is $p - y$. The saturated softmax and the steep logarithm cancel.",
        code="z = torch.tensor([[1.0, 2.0, 100.0]], requires_grad=True)\n"
        "with torch.enable_grad():\n"
        "    F.cross_entropy(z, torch.tensor([0])).backward()\n"
        "assert torch.allclose(z.grad, torch.tensor([[-1.0, 0.0, 1.0]]))",
        read="02_symbols_to_probabilities",
    ),
    Statement(
        text="A decoder block has more weights than an encoder block of the same width, heads and feed-forward width.",
        verdict="d",
        hint="which of its three sub-layers does the decoder of a GPT not have?",
        why="With cross-attention it has (by a third, in the usual proportions); a block of a decoder-only model is "
        "built like an encoder's, only its mask differs.",
        code="def size(cross):\n"
        "    return sum(block_parameters(small_config().block, cross=cross).values())\n\n"
        "mine = sum(p.numel() for p in GPT(small_config()).blocks[0].parameters())\n"
        "assert size(True) > size(False) == mine",
        read="09_feed_forward",
    ),
)

BUILDING = judging(
    "clinic/judge-building",
    "Judge: norms, layers and losses",
    STATEMENTS,
    "Where it depends, it was a mode, an initialisation and a family that decided.",
)
