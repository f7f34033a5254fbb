"""The pretrained encoder computes what Hugging Face's own model computes with the same file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tftutor.config import BertConfig, BlockConfig
from tftutor.data.wordpiece import load_wordpiece
from tftutor.models import pretrained
from tftutor.models.bert import Bert
from tftutor.packages import DataError, minilm_file

TEXTS = ["He ate a ripe apple after lunch.", "The new apple laptop is expensive, isn't it?", "", "Apple!"]
TINY = BertConfig(
    block=BlockConfig(d_model=12, n_heads=3, d_ff=20, norm_order="post", norm_eps=1e-12, activation="gelu"),
    vocab_size=23, n_layers=2, max_len=9, positions="learned",
)  # fmt: skip


@pytest.fixture(scope="module")
def minilm() -> Bert:
    return pretrained.load_minilm()


@pytest.fixture
def transformers() -> object:
    return pytest.importorskip("transformers")


def their_tiny(transformers: object, **changes: object) -> torch.nn.Module:
    """A small random BertForMaskedLM of Hugging Face with the shape of TINY."""
    config = transformers.BertConfig(
        vocab_size=23, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
        max_position_embeddings=9, hidden_act="gelu", layer_norm_eps=1e-12, **changes,
    )  # fmt: skip
    torch.manual_seed(1)
    model = transformers.BertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too: with zeros and ones a swap would go unnoticed
            parameter.normal_(std=0.5)
    return model


def test_states_equal_those_of_hugging_face(minilm: Bert, transformers: object) -> None:
    folder = str(minilm_file("config.json").parent)
    theirs = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager").eval()
    tokens, valid = load_wordpiece().batch(TEXTS)
    with torch.no_grad():
        ours, reference = (
            minilm.encode(tokens, valid=valid),
            theirs(tokens, attention_mask=valid.long()).last_hidden_state,
        )
        torch.testing.assert_close(ours[valid], reference[valid], rtol=0, atol=1e-5)
        segments = torch.arange(tokens.shape[1]).gt(4).long().expand_as(tokens)
        ours = minilm.encode(tokens, valid=valid, segments=segments)
        second = theirs(tokens, attention_mask=valid.long(), token_type_ids=segments).last_hidden_state
    torch.testing.assert_close(ours[valid], second[valid], rtol=0, atol=1e-5)
    assert (second - reference)[valid].abs().max() > 0.1, "segments make no difference: the comparison is empty"


def test_a_tiny_masked_language_model_of_hugging_face(transformers: object, tmp_path: Path) -> None:
    theirs = their_tiny(transformers)
    save_file({name: x.clone() for name, x in theirs.state_dict().items()}, tmp_path / "tiny.safetensors")
    ours = pretrained.load_bert(tmp_path / "tiny.safetensors", TINY)
    tokens = torch.randint(23, (2, 7), generator=torch.Generator().manual_seed(0))
    valid = torch.arange(7) < torch.tensor([[7], [4]])
    with torch.no_grad():
        reference = theirs.double()(tokens, attention_mask=valid.long()).logits
        logits = ours.double()(tokens, valid=valid)
        torch.testing.assert_close(logits[valid], reference[valid], rtol=0, atol=1e-10)
        assert ours.head.table is ours.embed.weight
        for change in ({"norm_order": "pre"}, {"activation": "gelu_tanh"}, {"norm_eps": 1e-3}):
            block = dataclasses.replace(TINY.block, **change)
            other = Bert(dataclasses.replace(TINY, block=block)).double().eval()
            other.load_state_dict(ours.state_dict(), strict=False)
            assert (other(tokens, valid=valid) - reference)[valid].abs().max() > 1e-6, f"{change} goes unnoticed"
        swapped = Bert(TINY).double().eval()
        state = ours.state_dict()
        for name in list(state):
            if "q_proj" in name:
                other_name = name.replace("q_proj", "k_proj")
                state[name], state[other_name] = state[other_name], state[name]
        swapped.load_state_dict(state)
        assert (swapped(tokens, valid=valid) - reference)[valid].abs().max() > 1e-3, "q and k could be exchanged"


def test_nothing_is_left_without_weights(minilm: Bert) -> None:
    assert all(not x.is_meta and x.isfinite().all() for x in [*minilm.parameters(), *minilm.buffers()])
    assert not minilm.training
    assert sum(x.numel() for x in minilm.parameters()) == 22_565_376


def test_padding_changes_nothing(minilm: Bert) -> None:
    tokens, valid = load_wordpiece().batch(TEXTS)
    with torch.no_grad():
        together = minilm.encode(tokens, valid=valid)
        for row in range(len(TEXTS)):
            alone = minilm.encode(tokens[row : row + 1, : int(valid[row].sum())])
            torch.testing.assert_close(together[row][valid[row]], alone[0], rtol=0, atol=1e-5)
        assert (minilm.encode(tokens) - together)[valid].abs().max() > 0.1, "padding that is seen goes unnoticed"


def test_it_has_no_head(minilm: Bert) -> None:
    with pytest.raises(RuntimeError, match=r"call encode\(\)"):
        minilm(torch.tensor([[101, 102]]))


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tftutor.packages.MINILM_SHA256", "0" * 64)
    with pytest.raises(DataError, match="expected sha256 000000000000"):
        pretrained.load_minilm()
    model = Bert(TINY)
    save_file({"embeddings.word_embeddings.weight": model.embed.weight.detach()}, tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match="got None"):
        pretrained.load_bert(tmp_path / "part.safetensors", TINY)
    with pytest.raises(ValueError, match=r"expected the names of a BERT model, got 'wte\.weight'"):
        pretrained.rename_bert({"wte.weight": torch.zeros(1)})
