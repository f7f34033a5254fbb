"""What the book's extensions make of chapters and docstrings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the book's packages are not installed")

import tfapi
import tfcollect
import yaml

ROOT = Path(__file__).resolve().parent.parent

CHAPTER = """
# Title

:::{admonition} Myth: this is so
:class: myth
:name: myth-this

The *experiment*.

**Verdict: wrong.** It is not,
as 0.39<!--=gap:.2f--> shows.
:::

````{admonition} Why?
:class: interview dropdown

Because:

```python
x = 1
```
````

:::{note}
Not a box.
:::
"""


def test_boxes_are_found_with_their_options_and_bodies():
    myth, question = tfcollect.boxes(CHAPTER)
    assert myth.title == "Myth: this is so"
    assert myth.options == {"class": "myth", "name": "myth-this"}
    assert myth.body.startswith("The *experiment*.")
    assert myth.body.endswith("shows.")
    assert question.has_class("interview")
    assert not question.has_class("myth")
    assert question.body.endswith("```")


@pytest.mark.parametrize(
    ("value", "text"), [(True, "yes"), (0.123456, "0.123"), (126052, "126,052"), ("a b", "a b"), (1e-7, "1e-07")]
)
def test_values_are_shown_short(value, text):
    assert tfcollect.show(value) == text


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("Calls `attend` once", "Calls ``attend`` once"),
        ("Already ``attend``", "Already ``attend``"),
        ("Kept as *.corrupt", r"Kept as \*.corrupt"),
        ("`a * b` and |q|", r"``a * b`` and \|q\|"),
        (":func:`x` stays", ":func:`x` stays"),
    ],
)
def test_docstrings_mean_what_they_say(line, plain):
    assert tfapi.plain_lines([line]) == [plain]


def test_examples_in_docstrings_are_left_alone():
    lines = ["Example:", "    >>> f(*args)", "    `x`", "", "    then `y`", "Table::", "", "    a * b", "", "end *"]
    kept = tfapi.plain_lines(lines)
    assert kept[1:3] == lines[1:3]
    assert kept[4] == "    then ``y``"
    assert kept[7] == lines[7]
    assert kept[9] == r"end \*"


def test_defaults_that_are_objects_do_not_reach_the_page():
    signature = "(*, a: int = <factory>, b = <function C.<lambda>>, c = <function read>, d = PosixPath('/x/y'))"
    shown, _ = tfapi.readable_defaults(None, "class", "C", None, None, signature, None)
    assert shown == "(*, a: int = ..., b = ..., c = read, d = ...)"


def toc_files() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))
    files = [toc["root"]]
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            files += [chapter["file"], *(section["file"] for section in chapter.get("sections", []))]
    return files


def test_the_table_of_contents_holds_every_page_once():
    there = {path.relative_to(ROOT).with_suffix("") for path in (ROOT / "chapters").rglob("*") if path.suffix in
             {".md", ".ipynb"} and not any(part.startswith(".") for part in path.parts)}  # fmt: skip
    assert sorted(toc_files()) == sorted(path.as_posix() for path in there)


def test_no_page_is_there_twice():
    stems = [path.stem for path in (ROOT / "chapters").glob("*") if path.suffix in {".md", ".ipynb"}]
    assert sorted(stems) == sorted(set(stems)), "a chapter replaces the page that held its place: delete that"


def test_the_course_has_twenty_chapters_in_five_parts_and_a_map_of_them():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))["parts"][:5]
    chapters = [chapter["file"].removeprefix("chapters/") for part in parts for chapter in part["chapters"]]
    assert [name[:2] for name in chapters] == [f"{number:02}" for number in range(1, 21)]
    cards = re.findall(r"^:link: (\S+)$", (ROOT / "chapters" / "index.md").read_text("utf8"), flags=re.M)
    assert cards == chapters
