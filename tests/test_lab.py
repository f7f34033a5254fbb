"""The reader's copy of the chapters is brought up to date without losing anything the reader wrote."""

from pathlib import Path

import lab
import pytest


@pytest.fixture
def course(tmp_path: Path) -> Path:
    (tmp_path / "course" / "chapters").mkdir(parents=True)
    (tmp_path / "course" / "images").mkdir()
    (tmp_path / "course" / "chapters" / "01_a.ipynb").write_text("one")
    (tmp_path / "course" / "chapters" / "claims.md").write_text("{collected-claims}")
    (tmp_path / "course" / "images" / "a.svg").write_text("<svg/>")
    (tmp_path / "course" / "images" / "a.py").write_text("draw()")
    return tmp_path / "course"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_a_first_run_copies_chapters_and_pictures(course, work):
    assert lab.update(course, work) == ["new: chapters/01_a.ipynb", "new: images/a.svg"]
    assert (work / "chapters" / "01_a.ipynb").read_text() == "one"
    assert not (work / "images" / "a.py").exists()
    assert not (work / "chapters" / "claims.md").exists()
    assert lab.update(course, work) == []


def test_an_update_adds_and_renews(course, work):
    lab.update(course, work)
    (course / "chapters" / "01_a.ipynb").write_text("one, better")
    (course / "chapters" / "02_b.ipynb").write_text("two")
    assert lab.update(course, work) == ["renewed: chapters/01_a.ipynb", "new: chapters/02_b.ipynb"]
    assert (work / "chapters" / "01_a.ipynb").read_text() == "one, better"


def test_an_edited_chapter_is_never_written_to(course, work):
    lab.update(course, work)
    mine = work / "chapters" / "01_a.ipynb"
    mine.write_text("my answers")
    assert lab.update(course, work) == []
    for version in ("second", "third"):
        (course / "chapters" / "01_a.ipynb").write_text(version)
        assert [line.split(":")[0] for line in lab.update(course, work)] == ["kept as you left it"]
        assert mine.read_text() == "my answers"


def test_nothing_is_overwritten_when_the_memory_is_lost(course, work):
    lab.update(course, work)
    (work / "chapters" / "01_a.ipynb").write_text("my answers")
    for damage in ("", "[]", "{not json"):
        (work / lab.MEMORY).write_text(damage)
        (course / "chapters" / "01_a.ipynb").write_text(f"new {damage}")
        lab.update(course, work)
        assert (work / "chapters" / "01_a.ipynb").read_text() == "my answers"


def test_a_page_that_became_a_notebook_goes_unless_it_was_edited(course, work):
    for name in ("02_b.md", "03_c.md"):
        (course / "chapters" / name).write_text("to come")
    lab.update(course, work)
    (work / "chapters" / "03_c.md").write_text("my notes")
    for name in ("02_b.md", "03_c.md"):
        (course / "chapters" / name).unlink()
    assert lab.update(course, work) == ["gone: chapters/02_b.md"]
    assert (work / "chapters" / "03_c.md").read_text() == "my notes"
    assert lab.update(course, work) == []
