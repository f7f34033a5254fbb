"""Pages that are collected from the chapters while the book is built, so that they cannot disagree with them.

* `{collected-claims}`: every claim of `tftutor/claims.json`, chapter by chapter.
* `{collected-interview}`: the admonitions of class `interview`: questions, with their answers folded.
* `{collected-myths}`: the admonitions of class `myth`: the popular sentence, and the paragraph with the verdict.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package, which need not be installed to build the book

from tftutor.claims import REGISTRY, Claim, load_claims  # noqa: E402

CHAPTER = re.compile(r"\d\d_\w+")
OPENING = re.compile(r"(?P<fence>:{3,}|`{3,})\{admonition\} +(?P<title>.+)")
OPTION = re.compile(r":(?P<key>[\w-]+): *(?P<value>.*)")
MARKER = re.compile(r"<!--=.*?-->")
SIGNS = {"<=": "≤", ">=": "≥", "==": "=", "<": "<", ">": ">"}


@dataclass(frozen=True)
class Box:
    """An admonition in a chapter."""

    title: str
    options: dict[str, str]
    body: str

    def has_class(self, name: str) -> bool:
        """Whether the box is of that class."""
        return name in self.options.get("class", "").split()


def boxes(markdown: str) -> Iterator[Box]:
    """The admonitions in Markdown text, in order."""
    lines = iter(markdown.splitlines())
    for line in lines:
        if not (opening := OPENING.fullmatch(line.rstrip())):
            continue
        options: dict[str, str] = {}
        body: list[str] = []
        for inner in lines:
            if inner.rstrip() == opening["fence"]:
                break
            option = OPTION.fullmatch(inner.rstrip())
            if option and not body:
                options[option["key"]] = option["value"]
            else:
                body.append(inner)
        yield Box(opening["title"].strip(), options, "\n".join(body).strip())


def chapter_markdown(path: Path) -> str:
    """The prose of a chapter, a notebook or a page."""
    if path.suffix != ".ipynb":
        return path.read_text("utf8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def chapter_title(markdown: str) -> str:
    """The first heading."""
    return next((line[2:].strip() for line in markdown.splitlines() if line.startswith("# ")), "")


def show(value: object) -> str:
    """A claim's value or bound, as short as it can be read."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show_bound(claim: Claim) -> str:
    """What the value has to satisfy."""
    if claim.op == "in":
        return f"{show(claim.bound[0])} to {show(claim.bound[1])}"
    return f"{SIGNS[claim.op]} {show(claim.bound)}"


class Collected(SphinxDirective):
    """A page part that is made from the chapters."""

    nothing = ""

    def run(self) -> list[nodes.Node]:
        """One section a chapter, in order."""
        sections: list[nodes.Node] = []
        for path in self.chapters():
            markdown = chapter_markdown(path)
            content = self.of_chapter(path, markdown)
            if not content:
                continue
            section = nodes.section(ids=[nodes.make_id(f"{self.name}-{path.stem}")])
            title = chapter_title(markdown)
            section += nodes.title(title, title)
            section += self.parse(f"From {{doc}}`/chapters/{path.stem}`.")
            section += content
            sections.append(section)
        return sections or self.parse(self.nothing)

    def chapters(self) -> list[Path]:
        """The chapters, in order; the page is built anew when one of them changes."""
        found = sorted(path for path in (ROOT / "chapters").iterdir() if CHAPTER.fullmatch(path.stem))
        found = [path for path in found if path.suffix in {".md", ".ipynb"}]
        for path in [*found, REGISTRY]:
            self.env.note_dependency(str(path))
        return found

    def parse(self, markdown: str) -> list[nodes.Node]:
        """Nodes of Markdown text."""
        holder = nodes.Element()
        self.state.nested_parse(StringList(markdown.splitlines(), self.env.docname), 0, holder)
        return holder.children

    def of_chapter(self, path: Path, markdown: str) -> list[nodes.Node]:
        """What this page takes from a chapter."""
        raise NotImplementedError


class CollectedClaims(Collected):
    """All claims, in tables."""

    nothing = "The chapters that measure are still being written: there are no claims yet."

    def of_chapter(self, path: Path, markdown: str) -> list[nodes.Node]:
        """A table of the chapter's claims."""
        claims = [claim for claim in load_claims() if claim.chapter == path.stem]
        if not claims:
            return []
        widths = (56, 14, 14, 16)
        group = nodes.tgroup(cols=len(widths))
        group += [nodes.colspec(colwidth=width) for width in widths]
        head = [nodes.paragraph(text, text) for text in ("Claim", "Measured", "Has to be", "Source")]
        group += nodes.thead("", self.row([[cell] for cell in head]))
        body = nodes.tbody()
        for claim in claims:
            unit = f" {claim.unit}" if claim.unit else ""
            sentence = self.parse(claim.sentence)
            self.anchor(f"claim-{claim.id}", sentence[0])
            source = self.parse(f"{{cite}}`{claim.source}`") if claim.source else []
            body += self.row([sentence, self.parse(show(claim.value) + unit), self.parse(show_bound(claim)), source])
        group += body
        return [nodes.table("", group, classes=["claims"])]

    def anchor(self, name: str, node: nodes.Element) -> None:
        """Let other pages link here with {ref}."""
        node["names"].append(name)
        self.state.document.note_explicit_target(node, node)

    def row(self, cells: list[list[nodes.Node]]) -> nodes.row:
        """A table row."""
        return nodes.row("", *[nodes.entry("", *cell) for cell in cells])


class CollectedInterview(Collected):
    """All interview questions; the answers are folded."""

    nothing = "The chapters are still being written: there are no questions yet."

    def of_chapter(self, path: Path, markdown: str) -> list[nodes.Node]:
        """The chapter's questions."""
        parts = []
        for box in boxes(markdown):
            if box.has_class("interview"):
                body = MARKER.sub("", re.sub(r"^\([\w-]+\)=$", "", box.body, flags=re.M))
                fence = ":" * 9  # longer than any fence inside
                parts.append(f"{fence}{{admonition}} {box.title}\n:class: interview dropdown\n\n{body}\n{fence}")
        return self.parse("\n\n".join(parts)) if parts else []


class CollectedMyths(Collected):
    """All myths with their verdicts."""

    nothing = "The chapters are still being written: there are no verdicts yet."

    def of_chapter(self, path: Path, markdown: str) -> list[nodes.Node]:
        """The chapter's myths."""
        parts = []
        for box in boxes(markdown):
            if box.has_class("myth"):
                title = re.sub(r"^Myth: *", "", box.title)
                title = title[:1].upper() + title[1:]
                name = box.options.get("name")
                linked = f"{{ref}}`{title} <{name}>`" if name else title
                paragraphs = [part.strip() for part in box.body.split("\n\n")]
                verdict = next((part for part in paragraphs if part.startswith("**Verdict")), "")
                verdict = MARKER.sub("", " ".join(verdict.split()))
                parts.append(f"{linked}\n: {verdict}")
        return self.parse("\n\n".join(parts)) if parts else []


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.add_directive("collected-claims", CollectedClaims)
    app.add_directive("collected-interview", CollectedInterview)
    app.add_directive("collected-myths", CollectedMyths)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
