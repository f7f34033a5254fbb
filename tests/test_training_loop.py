"""The loop as a whole: it learns, it can be killed at any time, and bad files end in one line."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny_training
import torch

from tftutor.serialization import CheckpointError, read_tensors, write_tensors
from tftutor.training import loop, snapshots
from tftutor.training.recipes import SpellingTask
from tftutor.training.snapshots import read_position


def state(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / loop.STATE_FILE)[0]


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / loop.LOG_FILE).read_text(encoding="utf-8").splitlines()]


def expect_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different, different[:3]


def test_it_learns(tmp_path: Path) -> None:
    fitted = tiny_training.run(tmp_path, epochs=60, config=tiny_training.config(dropout=0.0), eval_every=180, clip=5.0)
    lines = log(tmp_path)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[0] > 2.5
    assert losses[-1] < 1.0  # label smoothing alone costs 0.6
    assert lines[-1] == {"step": 540, "epoch": 59, "dev_wer": 0.0, "dev_per": 0.0}
    assert fitted.total_steps == fitted.position.step == 60 * 9
    assert not fitted.stopped
    assert not fitted.average.training


def test_a_resumed_training_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    tiny_training.run(tmp_path / "whole")
    assert len(log(tmp_path / "whole")) == 45 // 4 + 2
    for stops in ((1, 2, 9, 10, 44), (20,)):  # 9 steps an epoch, so 9 and 10 are around its end
        folder = tmp_path / str(len(stops))
        for stop in (*stops, None):
            tiny_training.run(folder, resume=True, max_steps=stop)
        expect_equal(state(folder), state(tmp_path / "whole"))
        kept, whole = (
            [{k: v for k, v in line.items() if k not in ("steps_per_s", "wall_s")} for line in log(where)]
            for where in (folder, tmp_path / "whole")
        )
        assert kept == whole


@pytest.mark.parametrize("forget", ["average/", "exp_avg/", "exp_avg_sq/"])
def test_the_resume_check_can_fail(tmp_path: Path, forget: str) -> None:
    tiny_training.run(tmp_path / "whole")
    tiny_training.run(tmp_path / "broken", max_steps=20)
    path = tmp_path / "broken" / loop.STATE_FILE
    tensors, about = read_tensors(path)
    source = {"average/": "model/"}.get(forget)
    for name in tensors:
        if name.startswith(forget):
            old = tensors[source + name.removeprefix(forget)] if source else torch.zeros_like(tensors[name])
            tensors[name] = old.clone()
    write_tensors(path, tensors, about)
    tiny_training.run(tmp_path / "broken", resume=True)
    with pytest.raises(AssertionError):
        expect_equal(state(tmp_path / "broken"), state(tmp_path / "whole"))


@pytest.mark.parametrize("lost", ["step", "epoch", "index"])
def test_a_lost_position_is_noticed(tmp_path: Path, lost: str) -> None:
    tiny_training.run(tmp_path / "whole")
    tiny_training.run(tmp_path / "broken", max_steps=21)
    path = tmp_path / "broken" / loop.STATE_FILE
    tensors, about = read_tensors(path)
    about["position"][lost] -= 1
    write_tensors(path, tensors, about)
    tiny_training.run(tmp_path / "broken", resume=True)
    with pytest.raises(AssertionError):
        expect_equal(state(tmp_path / "broken"), state(tmp_path / "whole"))


def test_checking_more_often_changes_nothing(tmp_path: Path) -> None:
    tiny_training.run(tmp_path / "a", epochs=2)
    tiny_training.run(tmp_path / "b", epochs=2, eval_every=1, log_every=1, save_every=5, save_minutes=0.0)
    expect_equal(state(tmp_path / "a"), state(tmp_path / "b"))
    tiny_training.run(tmp_path / "c", epochs=2, seed=1)
    with pytest.raises(AssertionError):
        expect_equal(state(tmp_path / "a"), state(tmp_path / "c"))


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, tiny_training.__file__, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=os.environ | {"TFTUTOR_QUIET": "1"},
    )  # fmt: skip


def wait_for_step(folder: Path, process: subprocess.Popen, step: int) -> None:
    for _ in range(1200):
        path = folder / loop.STATE_FILE
        if process.poll() is not None or (path.exists() and read_position(path).step >= step):
            return
        time.sleep(0.05)
    raise AssertionError("no progress in 60 s")


def test_killed_at_random_points_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    folder, reached = tmp_path / "killed", []
    for target in (1, 120):
        process = start(folder)
        wait_for_step(folder, process, target)
        time.sleep(random.uniform(0, 0.1))  # anywhere in a step or a save
        if process.poll() is None:
            (folder / f".{loop.STATE_FILE}.left.tmp").write_bytes(b"part")  # as a kill within a save leaves
        process.kill()
        process.wait()
        reached.append(read_position(folder / loop.STATE_FILE).step)
    assert 1 <= reached[0] < reached[1] < 360, reached
    process = start(folder)
    assert process.wait() == 0, process.stderr.read()
    assert sorted(path.name for path in folder.iterdir()) == [loop.LOG_FILE, loop.STATE_FILE]
    tiny_training.run(tmp_path / "whole", epochs=40)
    expect_equal(state(folder), state(tmp_path / "whole"))
    steps = [line["step"] for line in log(folder) if "loss" in line]
    assert steps == list(range(4, 361, 4))


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends(tmp_path: Path, kind: signal.Signals) -> None:
    def soon() -> None:
        time.sleep(0.4)
        os.kill(os.getpid(), kind)

    before = signal.getsignal(kind)
    threading.Thread(target=soon).start()
    fitted = tiny_training.run(tmp_path / "a", epochs=2000)
    assert fitted.stopped
    assert 0 < fitted.position.step < fitted.total_steps
    assert read_position(tmp_path / "a" / loop.STATE_FILE) == fitted.position
    assert signal.getsignal(kind) is before
    tiny_training.run(tmp_path / "b", epochs=2000, max_steps=fitted.position.step)
    expect_equal(state(tmp_path / "a"), state(tmp_path / "b"))


def test_a_short_training_warms_up_for_a_tenth_of_it(tmp_path: Path) -> None:
    tiny_training.run(tmp_path, warmup_steps=500, log_every=1)
    rates = [line["rate"] for line in log(tmp_path) if "rate" in line]
    assert rates.index(max(rates)) == 45 // 10 - 1
    assert max(rates) == 5e-3
    assert rates[-1] == 0


def test_time_adds_up_over_runs(tmp_path: Path) -> None:
    first = tiny_training.run(tmp_path, max_steps=20).position
    second = tiny_training.run(tmp_path, resume=True).position
    assert second.wall_s > first.wall_s > 0
    assert second.cpu_s > first.cpu_s > 0


def test_a_state_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    tiny_training.run(tmp_path, max_steps=3)
    before = (tmp_path / loop.STATE_FILE).read_bytes()
    with pytest.raises(CheckpointError, match="resume it or choose another folder"):
        tiny_training.run(tmp_path)
    assert (tmp_path / loop.STATE_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [({"learning_rate": 0.1}, "settings learning_rate=0.1, got 0.005"), ({"epochs": 6}, "settings epochs=6, got 5"),
     ({"config": tiny_training.config(d_ff=25)}, "config block="), ({"precision": "bfloat16"}, "precision"),
     ({"words": tiny_training.entries(60)}, "expected data")],
)  # fmt: skip
def test_a_state_of_another_training_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    tiny_training.run(tmp_path, max_steps=3)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=message) as error:
        tiny_training.run(tmp_path, resume=True, **change)
    assert "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_may_change_between_runs(tmp_path: Path) -> None:
    tiny_training.run(tmp_path, max_steps=3)
    tiny_training.run(tmp_path, resume=True, max_steps=6, **dict.fromkeys(snapshots.NEUTRAL, 2))


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "text", "foreign", "position"])
def test_damaged_states(tmp_path: Path, damage: str) -> None:
    tiny_training.run(tmp_path, max_steps=3)
    path = tmp_path / loop.STATE_FILE
    content = path.read_bytes()
    tensors, about = read_tensors(path)
    if damage == "foreign":
        write_tensors(path, {"x": torch.zeros(2)}, {"kind": "something else"})
    elif damage == "position":
        write_tensors(path, tensors, about | {"position": {"pace": 3}})
    else:
        changed = bytearray(content)
        changed[-5] ^= 16
        contents = {"empty": b"", "truncated": content[:-7], "flipped": bytes(changed), "text": b"hello" * 9}
        path.write_bytes(contents[damage])
    before = path.read_bytes()
    with pytest.raises(CheckpointError) as error:
        tiny_training.run(tmp_path, resume=True)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_a_torn_line_in_the_log_is_dropped(tmp_path: Path) -> None:
    tiny_training.run(tmp_path, max_steps=10)
    with (tmp_path / loop.LOG_FILE).open("a", encoding="utf-8") as file:
        file.write('{"step": 12, "loss": 1.0}\n{"step": 8, "lo')
    tiny_training.run(tmp_path, resume=True, max_steps=12)
    assert [line["step"] for line in log(tmp_path)] == [4, 8, 12]
    assert log(tmp_path)[-1]["loss"] != 1.0


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="loss: expected a finite number, got nan"):
        tiny_training.run(tmp_path, task_class=Exploding)
    assert not (tmp_path / loop.STATE_FILE).exists()


class Exploding(SpellingTask):
    def loss(self, model, batch, *, label_smoothing):
        nats, tokens = super().loss(model, batch, label_smoothing=label_smoothing)
        return nats * float("nan"), tokens


def test_the_bar_is_silent_when_asked(tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch) -> None:
    for quiet, show, expected in (("1", True, False), ("0", False, False), ("0", True, True)):
        monkeypatch.setenv("TFTUTOR_QUIET", quiet)
        journal = loop.Journal(tmp_path / "log", done=0, total=4, write=False, show=show)
        journal.step()
        journal.measures(1, 0, {"dev_wer": 0.5})
        journal.close()
        out, err = capfd.readouterr()
        assert out == ""
        assert ("dev_wer 0.5000" in err) == expected


def test_each_epoch_shows_every_example_once_in_another_order() -> None:
    words = tiny_training.entries()
    task = SpellingTask(words, words[:5], batch_size=7, seed=0)
    epochs = [task.plan(epoch) for epoch in (0, 1, 0)]
    assert epochs[0] == epochs[2] != epochs[1]
    for plan in epochs:
        assert sorted(itertools.chain(*plan)) == list(range(61))
