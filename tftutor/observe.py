"""Looking inside: attention weights as they are used, where the parameters sit, what the products cost, the source."""

from __future__ import annotations

import ast
import html
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tftutor.attention import MultiHeadAttention
from tftutor.config import BlockConfig, EncoderDecoderConfig
from tftutor.models.lstm import AdditiveAttention


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the attention weights of every layer during the `with` block.

    Yields a dict from module name to weights (B, H, T, S), filled as the model runs; a layer that runs several times
    leaves its last weights. The weights are those the model used: its layers take the explicit path meanwhile.

    Example:
        >>> with record_attention(model) as maps:
        ...     model(src, tgt)
        >>> maps["decoder.0.cross_attn"].shape
        torch.Size([2, 4, 3, 5])
    """
    maps: dict[str, Tensor] = {}
    kinds = MultiHeadAttention | AdditiveAttention
    layers = {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
    before = {name: layer.observer for name, layer in layers.items()}

    def keep(name: str) -> Callable[[Tensor], None]:
        def observe(weights: Tensor) -> None:
            maps[name] = weights.detach()

        return observe

    try:
        for name, layer in layers.items():
            layer.observer = keep(name)
        yield maps
    finally:
        for name, layer in layers.items():
            layer.observer = before[name]


@contextmanager
def record_states(blocks: nn.ModuleList) -> Iterator[list[Tensor]]:
    """Collect the vectors of every token before the first block and after each block during the `with` block.

    Yields a list that the next pass through the stack fills: what enters block 0, what leaves block 0, 1, ..., each
    (B, T, D). A further pass starts the list anew.

    Example:
        >>> with record_states(model.blocks) as states:
        ...     model.encode(tokens)
        >>> len(states)   # of a model with 6 blocks
        7
    """
    states: list[Tensor] = []

    def enter(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        states[:] = [args[0].detach()]

    def leave(_module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> None:
        states.append(output.detach())

    hooks = [blocks[0].register_forward_pre_hook(enter), *(block.register_forward_hook(leave) for block in blocks)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Table:
    """A small table that shows itself in a notebook and in a terminal; the last row may be a total."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __str__(self) -> str:
        texts = [list(self.columns), *([_cell(value) for value in row] for row in self.rows)]
        widths = [max(len(row[i]) for row in texts) for i in range(len(self.columns))]
        numeric = [all(isinstance(row[i], int | float) for row in self.rows) for i in range(len(self.columns))]
        lines = [
            "  ".join(
                text.rjust(width) if right else text.ljust(width)
                for text, width, right in zip(row, widths, numeric, strict=True)
            ).rstrip()
            for row in texts
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) + "</tr>" for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def column(self, name: str) -> dict[str, Any]:
        """The values of one column by the first entry of their row."""
        i = self.columns.index(name)
        return {row[0]: row[i] for row in self.rows}


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def parameter_table(model: nn.Module, *, depth: int = 1) -> Table:
    """How many parameters each part of `model` holds, and their share of all.

    Args:
        model: any module.
        depth: how many dots deep parts are told apart: 1 gives "encoder", 2 "encoder.0". A list of alike blocks is one
            part at depth 1.

    Returns:
        Columns part, parameters, share (in percent), with a total at the end. A tensor that two parts use (tied
        embeddings) counts once, where it comes first.
    """
    if depth < 1:
        raise ValueError(f"depth: expected at least 1, got {depth}")
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():  # names each shared parameter once
        path = name.split(".")
        part = ".".join(path[: min(depth, len(path) - 1)]) or name
        counts[part] = counts.get(part, 0) + parameter.numel()
    total = sum(counts.values())
    rows = [(part, count, 100 * count / max(total, 1)) for part, count in counts.items()]
    return Table(("part", "parameters", "share (%)"), (*rows, ("total", total, 100.0 if total else 0.0)))


def attention_flops(cfg: BlockConfig, n_queries: int, n_keys: int) -> dict[str, int]:
    """Floating-point operations of one attention layer for one sequence, by step.

    A multiplication and an addition count as two; softmax, biases and norms (which grow with the same sizes, but are
    small beside the products) are left out.

    Args:
        cfg: widths of the layer.
        n_queries: T, positions that ask.
        n_keys: S, positions that are looked at; all of them are projected to keys and values.
    """
    d_model, n_heads, n_kv, d_head = cfg.d_model, cfg.n_heads, cfg.kv_heads, cfg.head_width
    return {
        "query projection": 2 * n_queries * d_model * n_heads * d_head,
        "key and value projections": 2 * 2 * n_keys * d_model * n_kv * d_head,
        "scores": 2 * n_queries * n_keys * n_heads * d_head,
        "weighted values": 2 * n_queries * n_keys * n_heads * d_head,
        "output projection": 2 * n_queries * n_heads * d_head * d_model,
    }


def ffn_flops(cfg: BlockConfig, n_positions: int) -> int:
    """Floating-point operations of one feed-forward layer: two products, three if it is gated."""
    n_products = 3 if cfg.activation in ("swiglu", "geglu") else 2
    return 2 * n_products * n_positions * cfg.d_model * cfg.d_ff


def block_flops(cfg: BlockConfig, n_positions: int, *, n_memory: int | None = None) -> dict[str, int]:
    """Floating-point operations of one block for one sequence; with `n_memory`, of a decoder block that reads it.

    Example:
        >>> block_flops(BlockConfig(d_model=512, n_heads=8, d_ff=2048), 100)["feed-forward"]
        419430400
    """
    flops = {f"self-attention: {step}": n for step, n in attention_flops(cfg, n_positions, n_positions).items()}
    if n_memory is not None:
        flops |= {f"cross-attention: {step}": n for step, n in attention_flops(cfg, n_positions, n_memory).items()}
    return flops | {"feed-forward": ffn_flops(cfg, n_positions)}


def encoder_decoder_flops(cfg: EncoderDecoderConfig, n_src: int, n_tgt: int) -> dict[str, int]:
    """Floating-point operations of one forward pass over a source of `n_src` and a target of `n_tgt` tokens."""
    encoder = sum(block_flops(cfg.block, n_src).values())
    decoder = sum(block_flops(cfg.block, n_tgt, n_memory=n_src).values())
    return {
        "encoder": cfg.n_encoder_layers * encoder,
        "decoder": cfg.n_decoder_layers * decoder,
        "generator": 2 * n_tgt * cfg.block.d_model * cfg.tgt_vocab_size,
    }


def flop_table(flops: dict[str, int]) -> Table:
    """Counts as a table with shares and a total: columns step, FLOPs, share (%)."""
    total = sum(flops.values())
    rows = [(step, n, 100 * n / max(total, 1)) for step, n in flops.items()]
    return Table(("step", "FLOPs", "share (%)"), (*rows, ("total", total, 100.0 if total else 0.0)))


@dataclass(frozen=True)
class Source:
    """Python source that a notebook shows highlighted."""

    code: str

    def __repr__(self) -> str:
        return self.code

    def _repr_markdown_(self) -> str:
        fence = "`" * 3
        while fence in self.code:
            fence += "`"
        return f"{fence}python\n{self.code}\n{fence}"


def show_source(obj: Any, *, docstring: bool = True) -> Source:
    """The source of a function, class or module as it is installed here, so that the text cannot drift from it.

    Args:
        obj: what to show.
        docstring: keep the docstring of `obj` itself.
    """
    try:
        code = textwrap.dedent(inspect.getsource(obj)).strip("\n")
    except (OSError, TypeError):
        raise TypeError(f"obj: expected something written in Python, got {type(obj).__name__}") from None
    return Source(code if docstring else _without_docstring(code))


def _without_docstring(code: str) -> str:
    tree = ast.parse(code)
    node: Any = tree.body[0] if len(tree.body) == 1 else tree
    body: Sequence[ast.stmt] = getattr(node, "body", [])
    if len(body) < 2 or ast.get_docstring(node) is None:
        return code
    lines = code.split("\n")
    first, last = body[0].lineno - 1, body[0].end_lineno
    while last < len(lines) and not lines[last].strip():
        last += 1
    return "\n".join(lines[:first] + lines[last:])
