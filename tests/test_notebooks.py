"""Properties of the chapters that running them does not show, and the tool that keeps them in form."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import nbformat
import notebooks
import pytest

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
KEYS = set(re.findall(r"^@\w+\{(.+?),$", (ROOT / "references.bib").read_text("utf8"), flags=re.M))


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def prose(nb):
    return "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")


def outside_code(markdown):
    """Markdown without fenced code, inline code and comments."""
    markdown = re.sub(r"^(`{3,})(?!\{)[^\n]*\n.*?^\1$", "", markdown, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`|<!--.*?-->", "", markdown)


def draws(cell):
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


# ---- chapters


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_file_is_as_make_notebooks_leaves_it(path):
    assert notebooks.problems(path) == []


def test_claims_are_registered():
    assert notebooks.REGISTRY.read_text("utf8") == notebooks.dumps_claims(notebooks.collect_claims(CHAPTERS))


def test_every_code_cell_was_run_in_order(chapter):
    # nbval is content with a notebook that was never run.
    counts = [cell.execution_count for cell in code_cells(chapter) if not tags(cell) & notebooks.SKIPPED]
    expected = [n for n, cell in enumerate(code_cells(chapter), start=1) if not tags(cell) & notebooks.SKIPPED]
    assert counts == expected


def test_no_cell_ends_in_a_semicolon(chapter):
    # nbval runs cells in a way in which IPython ignores it, so there would be one more output.
    assert [cell.source for cell in code_cells(chapter) if cell.source.rstrip().endswith(";")] == []


def test_no_warnings_and_no_unexpected_errors(chapter):
    for cell in code_cells(chapter):
        assert not any(output.get("name") == "stderr" for output in cell.outputs), cell.source
        if not tags(cell) & {"raises-exception", "nbval-raises-exception"}:
            assert not any(output.output_type == "error" for output in cell.outputs), cell.source


def test_no_output_needs_a_network_or_a_kernel(chapter):
    outputs = json.dumps([cell.outputs for cell in code_cells(chapter)])
    assert re.findall(r"vnd\.jupyter\.widget|vnd\.plotly|<script|https?://", outputs) == []


def test_cells_are_pure_python(chapter):
    for cell in code_cells(chapter):
        assert not re.search(r"^\s*[%!]", cell.source, flags=re.M), cell.source
        assert "transformers" not in re.findall(r"^(?:import|from) (\w+)", cell.source, flags=re.M), "for tests only"


def test_figures_have_caption_name_and_alt_text(chapter):
    for cell in filter(draws, code_cells(chapter)):
        shown = cell.metadata.get("mystnb", {})
        figure = shown.get("figure", {})
        assert len(shown.get("image", {}).get("alt", "")) > 20, f"no alt text: {cell.source}"
        assert figure.get("caption"), f"no caption: {cell.source}"
        assert re.fullmatch(r"fig-[a-z0-9-]+", figure.get("name", "")), f"no name fig-...: {cell.source}"


def test_a_figure_cell_shows_nothing_but_its_figure(chapter):
    # The book gives the caption and its label to every output of such a cell.
    for cell in code_cells(chapter):
        if cell.metadata.get("mystnb", {}).get("figure"):
            shown = [output for output in cell.outputs if output.get("data") or output.get("text")]
            assert len(shown) == 1, f"{len(shown)} outputs: {cell.source}"


def test_pictures_have_alt_text(chapter):
    text = prose(chapter)
    assert re.findall(r"!\[\s*\]\(", text) == []
    for match in re.finditer(r"^(`{3,}|:{3,})\{(?:figure|image)\}.*?^\1", text, flags=re.M | re.S):
        assert re.search(r"^:alt: .{20,}", match[0], flags=re.M), match[0]


def test_no_chapter_is_called_by_its_number(chapter):
    assert re.findall(r"\b[Cc]hapters? +\d+", outside_code(prose(chapter))) == []


def test_claims_name_sources_of_the_bibliography(chapter):
    named = {output.metadata.tftutor.claim.source for cell in code_cells(chapter) for output in cell.outputs
             if output.get("metadata", {}).get("tftutor", {}).get("claim")}  # fmt: skip
    assert named - {None} <= KEYS


def test_a_chapter_has_its_parts(chapter):
    text = prose(chapter)
    assert text.startswith("# ")
    assert "tftutor.notebook" in code_cells(chapter)[0].source
    assert "setup()" in code_cells(chapter)[0].source
    assert "claim" in json.dumps([cell.outputs for cell in code_cells(chapter)]), "no claim"
    assert any(draws(cell) for cell in code_cells(chapter)), "no figure"
    assert len(re.findall(r"\{exercise\}", text)) >= 3, "fewer than three exercises"
    assert re.search(r"^:class: .*\binterview\b", text, flags=re.M), "no interview question"
    assert re.search(r"\{cite", text), "no source"


# ---- the tool


def code(source, outputs=(), **metadata):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=7, metadata=metadata)


def shown(told, text="x"):
    return nbformat.v4.new_output("display_data", data={"text/plain": text}, metadata={"tftutor": told, "other": 1})


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells), metadata={"foreign": 1})


def test_numbers_are_written_before_their_markers():
    values = {"gap": 0.391, "count": 126052, "share": 0.104, "drop": -1.5}
    written = {
        "a 1.00<!--=gap:.2f-->, b 7<!--=count:,-->": "a 0.39<!--=gap:.2f-->, b 126,052<!--=count:,-->",
        "(1%<!--=share:.0%-->)": "(10%<!--=share:.0%-->)",
        "2<!--=drop:.1f--> 1e-3<!--=gap:.0e-->": "-1.5<!--=drop:.1f--> 4e-01<!--=gap:.0e-->",
        "0<!--=gap-->": "0.391<!--=gap-->",
    }
    for before, after in written.items():
        assert notebooks.write_numbers(before, values) == after
        assert notebooks.write_numbers(after, values) == after


@pytest.mark.parametrize("source", ["0.39<!--=unknown:.2f-->", "about <!--=gap:.2f-->", "0.39 <!--=gap:.2f-->"])
def test_a_marker_that_cannot_be_filled_is_refused(source):
    with pytest.raises(notebooks.NotebookError):
        notebooks.write_numbers(source, {"gap": 0.391})


def test_normalising_is_idempotent_and_removes_what_differs_between_runs():
    address = "<object at 0x7f00deadbeef> in /tmp/ipykernel_12/34.py"
    streams = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    nb = notebook(
        nbformat.v4.new_markdown_cell("It is 0.11<!--=gap:.2f-->."),
        code("1", [shown({"record": {"name": "gap", "value": 0.391}}, address)], tags=["t"], collapsed=True),
        code("2", streams),
    )
    once = notebooks.dumps(notebooks.normalise(nb))
    assert notebooks.dumps(notebooks.normalise(nbformat.reads(once, as_version=4))) == once
    assert "foreign" not in once
    assert "deadbeef" not in once
    assert "ipykernel_12" not in once
    assert nb.cells[0].source == "It is 0.39<!--=gap:.2f-->."
    assert [cell.execution_count for cell in nb.cells[1:]] == [1, 2]
    assert nb.cells[1].metadata == {"tags": ["t"]}
    assert nb.cells[1].outputs[0].metadata == {"tftutor": {"record": {"name": "gap", "value": 0.391}}}
    assert len(nb.cells[2].outputs) == 1


def test_volatile_outputs_stay_while_their_code_does():
    old = notebook(code("train()", [shown({}, "12 s")], tags=["nbval-ignore-output"]), code("x", [shown({}, "old")]))
    new = copy.deepcopy(old)
    for cell in new.cells:
        cell.outputs = [shown({}, "new")]
    notebooks.keep_volatile(old, new)
    assert [cell.outputs[0].data["text/plain"] for cell in new.cells] == ["12 s", "new"]
    new.cells[0].source, new.cells[0].outputs = "train(2)", [shown({}, "13 s")]
    notebooks.keep_volatile(old, new)
    assert new.cells[0].outputs[0].data["text/plain"] == "13 s"


def claimed(name, value, bound):
    return shown({"claim": {"id": name, "sentence": "s", "value": value, "op": "<=", "bound": bound}})


def test_claims_are_collected_in_order_and_once(tmp_path):
    made = {"02_b": [claimed("three", 1.0, 2.0)], "01_a": [claimed("one", 0, 0), claimed("two", 1, 2)]}
    for stem, outputs in made.items():
        nbformat.write(notebook(code("c", outputs)), tmp_path / f"{stem}.ipynb")
    claims = notebooks.collect_claims(list(tmp_path.glob("*.ipynb")))
    assert [(claim.id, claim.chapter) for claim in claims] == [("one", "01_a"), ("two", "01_a"), ("three", "02_b")]
    assert notebooks.dumps_claims(claims).endswith("]\n")
    nbformat.write(notebook(code("c", [claimed("two", 1, 2)])), tmp_path / "03_c.ipynb")
    with pytest.raises(notebooks.NotebookError, match="two"):
        notebooks.collect_claims(list(tmp_path.glob("*.ipynb")))


def test_a_claim_stored_as_broken_is_refused(tmp_path):
    nbformat.write(notebook(code("c", [claimed("one", 3, 2)])), tmp_path / "01_a.ipynb")
    with pytest.raises(notebooks.NotebookError, match="one"):
        notebooks.collect_claims([tmp_path / "01_a.ipynb"])
