"""What a model costs, by formula and by counting: parameters, floating-point operations, products that must wait.

The formulas need a config only, so that they hold for models too large to build; a test holds them to models that were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tftutor.config import BertConfig, BlockConfig, EncoderDecoderConfig, GPTConfig
from tftutor.observe import block_flops

Config = EncoderDecoderConfig | GPTConfig | BertConfig


def attention_parameters(cfg: BlockConfig) -> int:
    """Weights (and biases) of the four projections of one attention layer."""
    queries, keys = cfg.n_heads * cfg.head_width, cfg.kv_heads * cfg.head_width
    weights = 2 * cfg.d_model * queries + 2 * cfg.d_model * keys
    return weights + (queries + 2 * keys + cfg.d_model if cfg.bias else 0)


def ffn_parameters(cfg: BlockConfig) -> int:
    """Weights (and biases) of one feed-forward layer: two matrices, three if it is gated."""
    n_up = 2 if cfg.activation in ("swiglu", "geglu") else 1
    return (n_up + 1) * cfg.d_model * cfg.d_ff + (n_up * cfg.d_ff + cfg.d_model if cfg.bias else 0)


def norm_parameters(cfg: BlockConfig) -> int:
    """Gains of one norm, and shifts if it is a LayerNorm."""
    return cfg.d_model * (2 if cfg.norm == "layer" else 1)


def block_parameters(cfg: BlockConfig, *, cross: bool = False) -> dict[str, int]:
    """Parameters of one block by part; `cross`: of a decoder block that reads a memory.

    Example:
        >>> block_parameters(BlockConfig(d_model=512, n_heads=8, d_ff=2048, bias=False))
        {'attention': 1048576, 'feed-forward': 2097152, 'norms': 2048}
    """
    return {
        "attention": (1 + cross) * attention_parameters(cfg),
        "feed-forward": ffn_parameters(cfg),
        "norms": (2 + cross) * norm_parameters(cfg),
    }


def model_parameters(cfg: Config) -> dict[str, int]:
    """Parameters of a whole model by part; a table that is used twice (tied) counts once, as an embedding.

    Returns:
        "embeddings" (tokens, segments, learned positions), "attention" (with learned relative biases), "feed-forward",
        "norms", "output" (what stands behind the last block and is not tied).

    Example:
        >>> from tftutor.config import gpt2_small
        >>> sum(model_parameters(gpt2_small()).values())
        124439808
    """
    if not isinstance(cfg, Config):
        raise TypeError(f"cfg: expected the config of a Transformer, got {type(cfg).__name__}")
    block, d_model = cfg.block, cfg.block.d_model
    norm, learned = norm_parameters(block), cfg.max_len * d_model if cfg.positions == "learned" else 0
    n_stacks = 1
    if isinstance(cfg, EncoderDecoderConfig):
        layers = [(cfg.n_encoder_layers, False), (cfg.n_decoder_layers, True)]
        n_stacks = 2
        n_tables = {"none": 2, "target": 2, "all": 1}[cfg.tie]
        sizes = [cfg.src_vocab_size, cfg.tgt_vocab_size][:n_tables]
        embeddings, extra_norms = sum(sizes) * d_model, 2 * norm * cfg.final_norm
        output = cfg.tgt_vocab_size * d_model if cfg.tie == "none" else 0
    elif isinstance(cfg, GPTConfig):
        layers = [(cfg.n_layers, False)]
        embeddings, extra_norms = cfg.vocab_size * d_model, norm * cfg.final_norm
        output = 0 if cfg.tie else cfg.vocab_size * d_model
    else:
        layers = [(cfg.n_layers, False)]
        embeddings = (cfg.vocab_size + cfg.n_segments) * d_model
        extra_norms = norm * cfg.norm_embed + norm * (block.norm_order == "pre")
        output = d_model * d_model + d_model + 2 * d_model + cfg.vocab_size  # the head of `Bert`, its table is tied
    parts = {"embeddings": embeddings + n_stacks * learned, "attention": 0, "feed-forward": 0, "norms": 0}
    for n_layers, cross in layers:
        for part, count in block_parameters(block, cross=cross).items():
            parts[part] += n_layers * count
    parts["attention"] += n_stacks * cfg.n_buckets * block.n_heads if cfg.positions == "t5" else 0
    parts["norms"] += extra_norms
    return parts | {"output": output}


def forward_flops(cfg: Config, n_tokens: int, n_source: int | None = None) -> dict[str, int]:
    """Floating-point operations of one forward pass over one sequence, by kind of product.

    A multiplication and an addition count as two. Scores that a mask hides are counted, as a dense product computes
    them. Softmax, norms, activations, biases, rotations and looking rows up in a table are left out.

    Args:
        cfg: any Transformer of the course.
        n_tokens: tokens read; for an encoder-decoder, of the target.
        n_source: tokens of the source, for an encoder-decoder only.

    Returns:
        "projections" (of attention), "attention" (scores and weighted values), "feed-forward", "output".
    """
    block, d_model = cfg.block, cfg.block.d_model
    if isinstance(cfg, EncoderDecoderConfig) != (n_source is not None):
        wanted = "a number for an encoder-decoder, None for other models"
        raise ValueError(f"n_source: expected {wanted}, got {n_source} for {type(cfg).__name__}")
    output = 2 * n_tokens * d_model * (cfg.tgt_vocab_size if n_source is not None else cfg.vocab_size)
    if isinstance(cfg, EncoderDecoderConfig):
        stacks = [
            (cfg.n_encoder_layers, block_flops(block, n_source)),
            (cfg.n_decoder_layers, block_flops(block, n_tokens, n_memory=n_source)),
        ]
    else:
        stacks = [(cfg.n_layers, block_flops(block, n_tokens))]
        output += 2 * n_tokens * d_model * d_model if isinstance(cfg, BertConfig) else 0  # the transform of its head
    flops = {"projections": 0, "attention": 0, "feed-forward": 0}
    for n_layers, steps in stacks:
        for step, count in steps.items():
            kind = "feed-forward" if step == "feed-forward" else "projections" if "projection" in step else "attention"
            flops[kind] += n_layers * count
    return flops | {"output": output}


def quadratic_share(cfg: BlockConfig, n_tokens: float) -> float:
    """Share of scores and weighted values in the operations of one block that reads `n_tokens`.

    N / (6 D + N) for the plain block with a feed-forward layer four times as wide as the stream.
    """
    width = cfg.n_heads * cfg.head_width
    n_products = 3 if cfg.activation in ("swiglu", "geglu") else 2
    linear = 2 * cfg.d_model * (2 * width + 2 * cfg.kv_heads * cfg.head_width + n_products * cfg.d_ff)
    return 4 * width * n_tokens / (linear + 4 * width * n_tokens)


def training_flops(n_parameters: float, n_tokens: float) -> float:
    """Operations of training, 6 N D: two for each weight and token forward, four backward.

    Holds where N counts the weights of matrix products (a table that is only looked up is none), texts are short beside
    6 times the width, every weight works for every token, and nothing is computed twice.

    Source: Kaplan et al. 2020, section 2.1.

    Example:
        >>> f"{training_flops(175e9, 300e9):.2e}"   # GPT-3
        '3.15e+23'
    """
    return 6.0 * n_parameters * n_tokens


def count_flops(run: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products that `run()` really makes, as torch counts them.

    Also counts on the meta device, where tensors have shapes and no values: sizes that fit into no memory are free.
    Fused attention, which hides its products from torch's counter on some processors, is taken apart meanwhile.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops()


_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "linear", "matmul")


class _Depths(TorchDispatchMode):
    """Follows every tensor through a pass: how many products, one after the other, led to it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, tuple[Tensor, int]] = {}  # by id; the tensor is kept, so that no id is used twice
        self.deepest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        out = func(*args, **(kwargs or {}))
        depth = max((self.seen[id(x)][1] for x in inputs if id(x) in self.seen), default=0)
        name = func.overloadpacket.__name__
        depth += 2 if "scaled_dot_product" in name else name in _PRODUCTS  # fused attention makes two products
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self.seen[id(x)] = (x, depth)
        self.deepest = max(self.deepest, depth)
        return out


def product_depth(run: Callable[[], object]) -> int:
    """How many matrix products in `run()` have to wait for one another: the longest chain.

    Products that do not need each other's results count once, as if they ran at the same time. What no machine can
    shorten by working in parallel is this number.

    Example:
        >>> x, w = torch.ones(3, 3), torch.ones(3, 3)
        >>> product_depth(lambda: (x @ w) @ w), product_depth(lambda: x @ w + w @ x)
        (2, 1)
    """
    with torch.no_grad(), _Depths() as depths:
        run()
    return depths.deepest
