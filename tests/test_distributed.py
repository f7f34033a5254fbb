"""Two processes under torchrun, with unequal shares of every batch, compute what one process computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import distributed_worker
import pytest
import tiny_training
import torch

from tftutor.serialization import read_tensors
from tftutor.training.distributed import Processes, processes
from tftutor.training.loop import LOG_FILE, STATE_FILE
from tftutor.training.snapshots import read_position


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left their states."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               distributed_worker.__file__, str(folder)]  # fmt: skip
    launcher = subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        _, errors = launcher.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        launcher.terminate()  # it ends its workers
        launcher.communicate()
        raise
    assert launcher.returncode == 0, errors[-3000:]
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one process left its state."""
    folder = tmp_path_factory.mktemp("one")
    torch.set_default_dtype(torch.float64)
    try:
        distributed_worker.run(folder / "right")
    finally:
        torch.set_default_dtype(torch.float32)
    distributed_worker.run(folder / "float32")
    return folder


def difference(ours: Path, theirs: Path, part: str = "") -> float:
    """The largest difference between the tensors of two training states."""
    a, b = (read_tensors(folder / STATE_FILE)[0] for folder in (ours, theirs))
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a if name.startswith(part))


def test_two_processes_equal_one(one: Path, two: Path) -> None:
    assert read_position(two / "right" / STATE_FILE).step == distributed_worker.STEPS
    assert difference(one / "right", two / "right") < 1e-9


def test_in_float32_they_are_equal_up_to_rounding(one: Path, two: Path) -> None:
    """Biases of keys are left out: their gradient is 0 but for rounding, which AdamW blows up to a step."""
    a, b = (read_tensors(folder / "float32" / STATE_FILE)[0] for folder in (one, two))
    assert max(float((a[n] - b[n]).abs().max()) for n in a if not n.endswith("k_proj.bias")) < 1e-5


@pytest.mark.parametrize("mistake", ["mean-of-means", "without-world-size"])
def test_the_comparison_can_fail(one: Path, two: Path, mistake: str) -> None:
    assert difference(one / "right", two / mistake, "model/") > 1e-4


def test_resuming_two_processes_changes_nothing(two: Path) -> None:
    assert difference(two / "resumed", two / "right") == 0.0
    assert difference(two / "dropout-resumed", two / "dropout") == 0.0
    assert difference(two / "dropout", two / "right") > 1e-4


def test_one_process_goes_on_where_two_stopped(one: Path, two: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    torch.set_default_dtype(torch.float64)
    try:
        for where, last in ((two / "right", 40), (one / "right", 40)):
            folder.mkdir(exist_ok=True)
            (folder / STATE_FILE).write_bytes((where / STATE_FILE).read_bytes())
            distributed_worker.run(folder, resume=True, max_steps=last)
            folder = tmp_path / "stayed"
    finally:
        torch.set_default_dtype(torch.float32)
    assert difference(tmp_path / "moved", tmp_path / "stayed") < 1e-9


def test_a_signal_to_one_process_stops_both(two: Path) -> None:
    reports = [json.loads((two / f"report{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)]
    assert reports[0] == reports[1]
    stopped, step = reports[0]["stopped"]
    assert stopped
    assert read_position(two / "stopped" / STATE_FILE).step == step > 0
    assert reports[0]["sum"] == [2.0, 10.0]


def test_a_bad_state_ends_both(two: Path) -> None:
    for rank in (0, 1):
        report = json.loads((two / f"report{rank}.json").read_text(encoding="utf-8"))
        assert "expected a whole safetensors file" in report["damaged"]
        assert "resume it or choose another folder" in report["right"]


def test_the_log_is_written_once_and_counts_all_tokens(one: Path, two: Path) -> None:
    logs = []
    for folder in (one, two):
        lines = (folder / "right" / LOG_FILE).read_text(encoding="utf-8").splitlines()
        logs.append([json.loads(line) for line in lines])
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]]
    for ours, theirs in zip(*logs, strict=True):
        assert ours.get("loss") == pytest.approx(theirs.get("loss"), abs=2e-5)


def test_one_process_alone() -> None:
    with processes("cpu") as procs:
        assert procs == Processes()
        assert procs.is_main
        assert procs.share([5, 6, 7]) == [5, 6, 7]
        assert procs.total(1.5, 2.0) == [1.5, 2.0]
        assert procs.from_main({"a": 1}) == {"a": 1}
        model = torch.nn.Linear(2, 3)
        assert procs.wrap(model) is model


def test_shares_cover_each_batch() -> None:
    batch = list(range(7))
    shares = [Processes(rank=rank, world_size=3).share(batch) for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]
    assert [Processes(rank=rank, world_size=3).share([4]) for rank in range(3)] == [[4], [], []]
    plan = tiny_training.SpellingTask(tiny_training.entries(), tiny_training.entries(5), batch_size=3, seed=0).plan(0)
    assert min(map(len, plan)) == 1  # as the comparison of two processes needs
