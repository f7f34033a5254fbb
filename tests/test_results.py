"""Stored measurements say where they come from, and come from a script that exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tftutor.results import FOLDER, load_results, write_results

ROOT = Path(__file__).resolve().parent.parent


def test_a_result_comes_back_as_it_was_written(tmp_path):
    rows = [{"heads": 4, "seed": 0, "nats": 1.815}]
    settings = {"steps": 600, "seeds": [0]}
    write_results("heads", rows, script="benchmarks/heads.py", settings=settings, minutes=1.26, folder=tmp_path)
    again = load_results("heads", folder=tmp_path)
    assert (again["rows"], again["settings"], again["minutes"]) == (rows, settings, 1.3)


def test_an_unknown_result_names_those_that_exist():
    with pytest.raises(ValueError, match=r"name: expected one of .*, got 'nothing'"):
        load_results("nothing")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_stored_result_can_be_made_again(path):
    result = load_results(path.stem)
    assert (ROOT / result["script"]).is_file()
    assert result["rows"]
    assert result["settings"]
    assert result["processor"]
    assert 0 < result["minutes"] < 600
