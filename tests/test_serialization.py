from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tftutor import serialization
from tftutor.config import BlockConfig, EncoderDecoderConfig, GPTConfig
from tftutor.models import GPT, EncoderDecoder
from tftutor.serialization import (
    CheckpointError,
    atomic_write,
    load,
    load_model,
    read_card,
    read_tensors,
    save_model,
    shipped,
    write_tensors,
)


def model(**changes: object) -> EncoderDecoder:
    torch.manual_seed(3)
    cfg = EncoderDecoderConfig(
        block=BlockConfig(d_model=6, n_heads=2, d_ff=10), src_vocab_size=11, tgt_vocab_size=13, n_encoder_layers=1,
        n_decoder_layers=2, max_len=9, tie="target",
    )  # fmt: skip
    return EncoderDecoder(dataclasses.replace(cfg, **changes))


def outputs(network: EncoderDecoder) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.tensor([[3, 4, 5], [6, 7, 8]]), torch.tensor([[1, 3, 4, 5, 9], [1, 12, 3, 4, 7]]))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_model(tmp_path / "m", model(), card={"name": "m"})


def expect_one_line(error: pytest.ExceptionInfo[BaseException]) -> None:
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_model_comes_back_as_it_was_rounded(saved: Path) -> None:
    original = model().eval()
    for parameter in original.parameters():
        parameter.data = parameter.data.half().float()
    loaded, card = load_model(saved)
    assert not loaded.training
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(outputs(loaded), outputs(original), rtol=0, atol=0)
    assert not torch.equal(outputs(loaded), outputs(model().eval())), "float16 was not applied"
    assert card["name"] == "m"
    assert card["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()


def test_float32_is_exact_and_the_ending_does_not_matter(tmp_path: Path) -> None:
    save_model(tmp_path / "v1.2.safetensors", model(), card={}, dtype=torch.float32)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v1.2.json", "v1.2.safetensors"]
    for ending in (".json", ".safetensors"):
        assert torch.equal(outputs(load_model(tmp_path / f"v1.2{ending}")[0]), outputs(model().eval()))


@pytest.mark.parametrize("tie", ["none", "target", "all"])
def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path, tie: str) -> None:
    network = model(tie=tie, src_vocab_size=13)
    path = save_model(tmp_path / "m", network, card={})
    assert sum(t.numel() for t in load_file(path).values()) == sum(p.numel() for p in network.parameters())
    loaded, _ = load_model(path)
    assert (loaded.generator.proj.weight is loaded.tgt_embed.tokens.weight) == (tie != "none")
    assert (loaded.src_embed.tokens.weight is loaded.tgt_embed.tokens.weight) == (tie == "all")


def test_other_families_and_other_classes(tmp_path: Path) -> None:
    cfg = GPTConfig(block=BlockConfig(d_model=6, n_heads=2, d_ff=10), vocab_size=7, n_layers=1, max_len=8)
    path = save_model(tmp_path / "gpt", GPT(cfg), card={})
    assert isinstance(load_model(path)[0], GPT)

    class Other(GPT):
        pass

    assert isinstance(load_model(path, model_class=Other)[0], Other)


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (save_model(tmp_path / name, model(), card={}) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncated_weights(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"m\.safetensors: expected") as error:
        load_model(saved)
    expect_one_line(error)


@pytest.mark.parametrize("where", [0, 7, 40, -1])
def test_one_flipped_bit_is_seen(saved: Path, where: int) -> None:
    content = bytearray(saved.read_bytes())
    content[where] ^= 1
    saved.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_model(saved)
    expect_one_line(error)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"config": 1, "sha256": "x"}', "\x00", '{"config": {}, "sha256": 3}']
)
def test_cards_that_are_none(saved: Path, text: str) -> None:
    saved.with_suffix(".json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"m\.json: expected") as error:
        load_model(saved)
    expect_one_line(error)


def test_a_card_of_another_architecture(saved: Path) -> None:
    card = read_card(saved)
    for change, message in (
        ({"n_decoder_layers": 3}, "got no decoder"),
        ({"n_decoder_layers": 1}, "an unknown decoder"),
        ({"tgt_vocab_size": 12}, r"expected .* of shape \(12, 6\), got \(13, 6\)"),
        ({"class": "Diffusion"}, "expected class"),
        ({"colour": "red"}, "colour"),
        ({"n_decoder_layers": "two"}, r"m\.json"),
        ({"n_decoder_layers": -1}, r"m\.json"),
    ):
        changed = card | {"config": card["config"] | change}
        saved.with_suffix(".json").write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(CheckpointError, match=message) as error:
            load_model(saved)
        expect_one_line(error)


def test_foreign_weights(saved: Path) -> None:
    save_file({"elsewhere": torch.zeros(2)}, saved)
    with pytest.raises(CheckpointError, match="belongs to another card"):
        load_model(saved)
    card = read_card(saved) | {"sha256": hashlib.sha256(saved.read_bytes()).hexdigest()}
    saved.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(CheckpointError, match="tensors of the model"):
        load_model(saved)


def test_files_that_are_not_there(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(CheckpointError, match="no file is"):
        load_model(tmp_path / "nothing")
    with pytest.raises(CheckpointError):
        load_model(tmp_path)
    saved.unlink()
    with pytest.raises(CheckpointError, match="no file is"):
        load_model(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(tmp_path: Path, value: float) -> None:
    network = model()
    network.encoder_norm.bias.data[1] = value
    with pytest.raises(CheckpointError, match=r"encoder_norm\.bias: expected finite"):
        save_model(tmp_path / "m", network, card={})
    assert not list(tmp_path.iterdir())


def test_atomic_write_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    atomic_write(path, lambda file: file.write(b"old"))
    assert path.stat().st_mode & 0o777 == 0o666 & ~serialization._umask()

    def fail(file: object) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        atomic_write(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_the_check_of_atomic_writes_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("wb") as file:  # what people write
        file.write(b"half")
    assert path.read_bytes() != b"old"


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write(path, lambda file: file.write(b"old"))
    child = os.fork()
    if child == 0:  # no torch in here
        atomic_write(path, lambda file: (file.write(b"x" * 100_000), file.flush(), os._exit(9)))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_bytes() == b"old"


def test_tensors_with_a_description(tmp_path: Path) -> None:
    path = tmp_path / "state"
    tensors = {"b": torch.arange(5), "a": torch.randn(2, 3, dtype=torch.float64), "none": torch.zeros(0, 4)}
    write_tensors(path, tensors, {"step": 7, "text": "é"})
    back, about = read_tensors(path)
    assert about == {"step": 7, "text": "é"}
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    content = bytearray(path.read_bytes())
    content[-3] ^= 4  # inside the numbers, where safetensors does not look
    path.write_bytes(content)
    load_file(path)
    with pytest.raises(CheckpointError, match="damaged"):
        read_tensors(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="written by tftutor"):
        read_tensors(path)


def test_shipped_checkpoints_load_and_fit_their_cards() -> None:
    for name in shipped():
        network, card = load(name)
        weights = serialization.CHECKPOINTS / f"{name}.safetensors"
        assert card["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
        assert sum(p.numel() for p in network.parameters()) > 0
    with pytest.raises(CheckpointError, match="expected a shipped checkpoint"):
        load("no such")


