"""The command line as a person meets it: what it prints, and one clear line for everything it cannot do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tftutor.cli import app
from tftutor.config import BlockConfig, EncoderDecoderConfig
from tftutor.data import LETTERS, PHONEMES
from tftutor.models import EncoderDecoder
from tftutor.serialization import save_model

DICTIONARY = "cat\tK AE1 T\nCAT(2)  K AE T S\n;;; a comment\ndog D AO1 G\nnaïve N AY IY V\n"


def run(*args: str, text: str | bytes | None = None):
    return CliRunner().invoke(app, [str(arg) for arg in args], input=text)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained speller on disk."""
    torch.manual_seed(0)
    cfg = EncoderDecoderConfig(
        block=BlockConfig(d_model=12, n_heads=2, d_ff=16),
        src_vocab_size=len(LETTERS),
        tgt_vocab_size=len(PHONEMES),
        n_encoder_layers=1,
        n_decoder_layers=1,
        max_len=72,
    )
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_model(path, EncoderDecoder(cfg), card={"name": "tiny"})
    return f"{path}.safetensors"


def one_line(result) -> str:
    """The single line of a refusal, which has exit code 2 and no traceback."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("tftutor: ")
    return lines[0]


def test_help_names_every_command():
    text = run("--help").output
    for name in ("pronounce", "generate", "train", "evaluate", "data", "exercises", "claims"):
        assert name in text


def test_words_come_from_arguments_file_and_standard_input(checkpoint, tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("cat\ndog bird\n")
    from_args = run("pronounce", "--model", checkpoint, "cat", "dog", "bird")
    assert from_args.exit_code == 0, from_args.output
    assert [line.split("\t")[0] for line in from_args.stdout.splitlines()] == ["cat", "dog", "bird"]
    assert run("pronounce", "--model", checkpoint, "--file", file).stdout == from_args.stdout
    assert run("pronounce", "--model", checkpoint, text="cat dog\nbird").stdout == from_args.stdout


def test_the_n_best_have_falling_probabilities(checkpoint):
    lines = run("pronounce", "-m", checkpoint, "--n-best", 3, "cat").stdout.splitlines()
    assert len(lines) == 3
    probabilities = [float(line.split("\t")[1]) for line in lines]
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("word", ["", "naïve", "x2", "日本", "🙂", "a" * 10_000])
def test_a_word_that_cannot_be_spelled_is_refused_and_the_others_come_out(word, checkpoint):
    result = run("pronounce", "-m", checkpoint, "cat", word, "dog")
    assert len(one_line(result)) < 300
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["cat", "dog"]


def test_bytes_that_are_no_text_are_refused(checkpoint):
    assert "UTF-8" in one_line(run("pronounce", "-m", checkpoint, text=b"caf\xe9\n"))


@pytest.mark.parametrize(
    ("args", "fragment"),
    [
        (["pronounce", "-m", "no-such-model", "cat"], "no-such-model"),
        (["pronounce", "-m", "no/such/file.safetensors", "cat"], "no/such/file"),
        (["pronounce", "--beam", "2", "--n-best", "3", "cat"], "--n-best"),
        (["pronounce", "--file", "no-such-file"], "no-such-file"),
        (["train", "no-such-recipe"], "g2p-small"),
        (["train", "g2p-small", "--train", "no-such-file"], "no-such-file"),
        (["train", "shakespeare", "--train", "words.dict"], "shakespeare"),
        (["evaluate", "no-such-model"], "no-such-model"),
        (["claims", "no-such.ipynb"], "no-such.ipynb"),
        (["exercises", "reset", "no-such-chapter"], "no-such-chapter"),
    ],
)
def test_bad_arguments_get_one_line(args, fragment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fragment in one_line(run(*args))
    assert list(tmp_path.iterdir()) == [] or args[0] == "train"


def test_a_checkpoint_of_another_kind_is_refused(checkpoint):
    assert "GPT" in one_line(run("generate", "-m", checkpoint, "To be"))


def test_generate_hands_on_every_dial(tmp_path, monkeypatch):
    monkeypatch.setattr("tftutor.cli.use.load_checkpoint", lambda *_: (None, {}))
    seen = {}
    monkeypatch.setattr("tftutor.tasks.continue_text", lambda _, prompt, **named: seen.update(named) or "!")
    dials = "--length 7 --temperature 0.5 --top-k 4 --top-p 0.9 --min-p 0.1 --repetition-penalty 1.2 --seed 3"
    result = run("generate", *dials.split(), "To be")
    assert result.stdout == "To be!\n"
    assert seen == {"length": 7, "temperature": 0.5, "top_k": 4, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.2,
                    "seed": 3}  # fmt: skip


def test_a_truncated_checkpoint_is_refused(checkpoint, tmp_path):
    broken = tmp_path / "broken.safetensors"
    content = Path(checkpoint).read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    (tmp_path / "broken.json").write_text(Path(checkpoint).with_suffix(".json").read_text())
    assert "broken.safetensors" in one_line(run("pronounce", "-m", broken, "cat"))


def test_evaluate_uses_the_whole_file_and_lists_what_cannot_be_spelled(checkpoint, tmp_path):
    file = tmp_path / "words.dict"
    file.write_text(DICTIONARY)
    result = run("evaluate", checkpoint, "--data", file)
    assert result.exit_code == 0, result.output
    assert "words 3" in result.stdout
    assert "WER 100.00 %" in result.stdout
    assert "naïve" in result.stdout
    assert "cannot be spelled" in result.stdout


def test_a_malformed_dictionary_names_the_line(checkpoint, tmp_path):
    file = tmp_path / "bad.dict"
    file.write_text("cat K AE T\ndog D XX G\n")
    message = one_line(run("evaluate", checkpoint, "--data", file))
    assert "XX" in message
    assert "2" in message


def test_exercises_are_listed_and_reset(tmp_path, monkeypatch):
    monkeypatch.setenv("TFTUTOR_HOME", str(tmp_path))
    assert "qkv/attention" in run("exercises").stdout
    assert run("exercises", "reset").exit_code == 0


def test_claims_are_measured_again(tmp_path):
    cells = [
        "from tftutor.notebook import claim",
        "claim('fine', 'one is small', 1, '<', 2)",
        "claim('broken', 'three is small', 3, '<', 2)",
    ]
    notebook = {
        "cells": [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in cells],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = tmp_path / "chapter.ipynb"
    path.write_text(json.dumps(notebook))
    result = run("claims", path)
    assert result.exit_code == 1
    assert "holds  chapter  fine" in result.stdout
    assert "FAILS  chapter  broken" in result.stdout


def test_no_command_needs_torch_to_show_its_help():
    code = "import sys; import tftutor.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
