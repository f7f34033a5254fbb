"""What a step computes and what a cache weighs, by formula."""

from __future__ import annotations

from dataclasses import dataclass

from tftutor.config import GPTConfig


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What decides the size of a published model's cache."""

    name: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    context: int  # tokens it was made for
    source: str  # key in the bibliography

    def bytes_per_token(self, *, n_kv_heads: int | None = None, bytes_per_number: int = 2) -> int:
        """Bytes that one token of one sequence adds; with `n_kv_heads`, if the model had another number of them."""
        return cache_bytes(
            n_layers=self.n_layers, n_kv_heads=n_kv_heads or self.n_kv_heads, d_head=self.d_head, length=1,
            bytes_per_number=bytes_per_number,
        )  # fmt: skip


def _shape(name: str, layers: int, heads: int, kv_heads: int, d_head: int, context: int, source: str) -> ModelShape:
    return ModelShape(name=name, n_layers=layers, n_heads=heads, n_kv_heads=kv_heads, d_head=d_head, context=context,
                      source=source)  # fmt: skip


# Brown et al. 2020, table 2.1; Chowdhery et al. 2022, section 2 and table 1; Touvron et al. 2023 ("LLaMA"), table 2,
# with "Llama 2", table 1 and appendix A.2.1; Jiang et al. 2023, table 1; Grattafiori et al. 2024, table 3.
MODEL_SHAPES = (
    _shape("GPT-3 175B", 96, 96, 96, 128, 2048, "brown2020"),
    _shape("PaLM 540B", 118, 48, 1, 256, 2048, "chowdhery2022"),
    _shape("LLaMA-2 7B", 32, 32, 32, 128, 4096, "touvron2023llama2"),
    _shape("LLaMA-2 70B", 80, 64, 8, 128, 4096, "touvron2023llama2"),
    _shape("Mistral 7B", 32, 32, 8, 128, 8192, "jiang2023"),
    _shape("Llama 3 8B", 32, 32, 8, 128, 131_072, "grattafiori2024"),
    _shape("Llama 3 405B", 126, 128, 8, 128, 131_072, "grattafiori2024"),
)


def cache_bytes(
    *, n_layers: int, n_kv_heads: int, d_head: int, length: int, batch_size: int = 1, bytes_per_number: int = 2
) -> int:
    """Bytes of the keys and values of `batch_size` sequences of `length` tokens.

    Example:
        >>> cache_bytes(n_layers=32, n_kv_heads=32, d_head=128, length=4096) / 2**30   # LLaMA-2 7B, 16-bit numbers
        2.0
    """
    return 2 * n_layers * n_kv_heads * d_head * length * batch_size * bytes_per_number


def step_flops(cfg: GPTConfig, n_new: int, n_past: int = 0) -> dict[str, int]:
    """Floating-point operations of one step of a GPT that reads `n_new` tokens after `n_past` cached ones.

    A multiplication and an addition count as two. Attention counts every score, masked ones included, as a dense
    product computes them. Softmax, norms, biases and rotations are left out.

    Example:
        >>> block = BlockConfig(d_model=128, n_heads=4, d_ff=512)
        >>> small = GPTConfig(block=block, vocab_size=84, n_layers=4, max_len=64)
        >>> step_flops(small, 1, 31)
        {'projections': 524288, 'attention': 65536, 'feed-forward': 1048576, 'logits': 21504}
    """
    block = cfg.block
    heads, kv_heads = block.n_heads * block.head_width, block.kv_heads * block.head_width
    n_products = 3 if block.activation in ("swiglu", "geglu") else 2
    return {
        "projections": cfg.n_layers * 2 * n_new * block.d_model * (2 * heads + 2 * kv_heads),
        "attention": cfg.n_layers * 2 * 2 * n_new * (n_past + n_new) * heads,
        "feed-forward": cfg.n_layers * 2 * n_products * n_new * block.d_model * block.d_ff,
        "logits": 2 * n_new * block.d_model * cfg.vocab_size,
    }
