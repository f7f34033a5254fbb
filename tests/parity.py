"""Copy weights from reference implementations into ours, and measure how far two results differ."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tftutor.attention import MultiHeadAttention
from tftutor.models import GPT, Bert, EncoderDecoder

FLOAT64, FLOAT32 = 1e-10, 1e-5  # tolerances: the reference computes in float64; it has float32 parts


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference of two tensors of one shape."""
    if ours.shape != theirs.shape:
        raise ValueError(f"ours: expected shape {tuple(theirs.shape)}, got {tuple(ours.shape)}")
    return (ours.detach().double() - theirs.detach().double()).abs().max().item()


@torch.no_grad()
def copy(theirs: nn.Module, ours: nn.Module) -> None:
    """Weight, and bias where there is one; Hugging Face's Conv1D stores its weight transposed."""
    transposed = type(theirs).__name__ == "Conv1D"
    ours.weight.copy_(theirs.weight.T if transposed else theirs.weight)
    copy_bias(theirs, ours)


@torch.no_grad()
def copy_bias(theirs: nn.Module, ours: nn.Module) -> None:
    """The bias, which both must have or both must lack."""
    if (getattr(theirs, "bias", None) is None) != (getattr(ours, "bias", None) is None):
        raise ValueError(f"expected biases on both sides or on neither: {theirs}, {ours}")
    if getattr(ours, "bias", None) is not None:
        ours.bias.copy_(theirs.bias)


@torch.no_grad()
def copy_thirds(weight: Tensor, bias: Tensor | None, ours: MultiHeadAttention) -> None:
    """q, k and v from one matrix (3 D, D) and one vector (3 D,)."""
    projections = (ours.q_proj, ours.k_proj, ours.v_proj)
    for projection, w in zip(projections, weight.chunk(3), strict=True):
        projection.weight.copy_(w)
    if bias is not None:
        for projection, b in zip(projections, bias.chunk(3), strict=True):
            projection.bias.copy_(b)


def copy_named(theirs: nn.Module, ours: nn.Module, names: str) -> None:
    """Several modules: "their.path our.path" pairs, one a line."""
    for line in names.strip().splitlines():
        source, target = line.split()
        copy(theirs.get_submodule(source), ours.get_submodule(target))


def copy_mha(theirs: nn.MultiheadAttention, ours: MultiHeadAttention) -> None:
    """torch's attention layer."""
    copy_thirds(theirs.in_proj_weight, theirs.in_proj_bias, ours)
    copy(theirs.out_proj, ours.o_proj)


def copy_torch_transformer(theirs: nn.Transformer, ours: EncoderDecoder) -> None:
    """Both stacks; `nn.Transformer` has no embeddings and no projection to the vocabulary."""
    for layer, block in zip(theirs.encoder.layers, ours.encoder, strict=True):
        copy_mha(layer.self_attn, block.attn)
        copy_named(layer, block, "norm1 norm_attn\nnorm2 norm_ffn\nlinear1 ffn.up_proj\nlinear2 ffn.down_proj")
    for layer, block in zip(theirs.decoder.layers, ours.decoder, strict=True):
        copy_mha(layer.self_attn, block.attn)
        copy_mha(layer.multihead_attn, block.cross_attn)
        copy_named(layer, block, "norm1 norm_attn\nnorm2 norm_cross\nnorm3 norm_ffn")
        copy_named(layer, block, "linear1 ffn.up_proj\nlinear2 ffn.down_proj")
    copy(theirs.encoder.norm, ours.encoder_norm)
    copy(theirs.decoder.norm, ours.decoder_norm)


def copy_bert(theirs: nn.Module, ours: Bert) -> None:
    """Hugging Face's `BertForMaskedLM`."""
    copy_named(theirs, ours, """
        bert.embeddings.word_embeddings embed
        bert.embeddings.position_embeddings positions.table
        bert.embeddings.token_type_embeddings segments
        bert.embeddings.LayerNorm norm_embed
        cls.predictions.transform.dense head.transform
        cls.predictions.transform.LayerNorm head.norm
    """)  # fmt: skip
    copy_bias(theirs.cls.predictions, ours.head)
    for layer, block in zip(theirs.bert.encoder.layer, ours.blocks, strict=True):
        copy_named(layer, block, """
            attention.self.query attn.q_proj
            attention.self.key attn.k_proj
            attention.self.value attn.v_proj
            attention.output.dense attn.o_proj
            attention.output.LayerNorm norm_attn
            intermediate.dense ffn.up_proj
            output.dense ffn.down_proj
            output.LayerNorm norm_ffn
        """)  # fmt: skip


def copy_gpt2(theirs: nn.Module, ours: GPT) -> None:
    """Hugging Face's `GPT2LMHeadModel`."""
    copy_named(theirs, ours, "transformer.wte embed\ntransformer.wpe positions.table\ntransformer.ln_f norm_final")
    for layer, block in zip(theirs.transformer.h, ours.blocks, strict=True):
        copy_thirds(layer.attn.c_attn.weight.T, layer.attn.c_attn.bias, block.attn)
        copy_named(layer, block, """
            ln_1 norm_attn
            attn.c_proj attn.o_proj
            ln_2 norm_ffn
            mlp.c_fc ffn.up_proj
            mlp.c_proj ffn.down_proj
        """)  # fmt: skip


def copy_llama(theirs: nn.Module, ours: GPT) -> None:
    """Hugging Face's `LlamaForCausalLM`."""
    copy_named(theirs, ours, "model.embed_tokens embed\nmodel.norm norm_final\nlm_head unembed")
    for layer, block in zip(theirs.model.layers, ours.blocks, strict=True):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            copy(layer.self_attn.get_submodule(name), block.attn.get_submodule(name))
        for name in ("gate_proj", "up_proj", "down_proj"):
            copy(layer.mlp.get_submodule(name), block.ffn.get_submodule(name))
        copy_named(layer, block, "input_layernorm norm_attn\npost_attention_layernorm norm_ffn")


def copy_t5(theirs: nn.Module, ours: EncoderDecoder) -> None:
    """Hugging Face's `T5ForConditionalGeneration`, tied (2020) or not (v1.1)."""
    copy_named(theirs, ours, "shared src_embed.tokens\nshared tgt_embed.tokens\nlm_head generator.proj")
    for stack, blocks, embed, norm in (
        (theirs.encoder, ours.encoder, ours.src_embed, ours.encoder_norm),
        (theirs.decoder, ours.decoder, ours.tgt_embed, ours.decoder_norm),
    ):
        copy(stack.final_layer_norm, norm)
        copy(stack.block[0].layer[0].SelfAttention.relative_attention_bias, embed.positions.table)
        for layers, block in zip((b.layer for b in stack.block), blocks, strict=True):
            _copy_t5_attention(layers[0].SelfAttention, block.attn)
            copy(layers[0].layer_norm, block.norm_attn)
            if len(layers) == 3:
                _copy_t5_attention(layers[1].EncDecAttention, block.cross_attn)
                copy(layers[1].layer_norm, block.norm_cross)
            copy(layers[-1].layer_norm, block.norm_ffn)
            dense = layers[-1].DenseReluDense
            if hasattr(dense, "wi"):
                copy_named(dense, block.ffn, "wi up_proj\nwo down_proj")
            else:
                copy_named(dense, block.ffn, "wi_0 gate_proj\nwi_1 up_proj\nwo down_proj")


def _copy_t5_attention(theirs: nn.Module, ours: MultiHeadAttention) -> None:
    copy_named(theirs, ours, "q q_proj\nk k_proj\nv v_proj\no o_proj")


class Measure:
    """Compare with a reference: fail above the tolerance, and keep the figure in the test report."""

    def __init__(self, record_property: Callable[[str, object], None]) -> None:
        self._record = record_property

    def __call__(self, what: str, ours: Tensor, theirs: Tensor, tolerance: float) -> None:
        """Record the largest difference under `what`."""
        if ours.shape != theirs.shape:
            raise AssertionError(f"{what}: expected shape {tuple(theirs.shape)}, got {tuple(ours.shape)}")
        figure = difference(ours, theirs)
        self._record(what, figure)
        assert figure <= tolerance, f"{what}: differs by {figure:.1e}, at most {tolerance:.0e} expected"
