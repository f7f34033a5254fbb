"""API pages: make the package importable for autodoc, and let docstrings be read as what they are.

The package's docstrings are plain text with Google sections: single backticks mean code, stars and bars nothing.
reStructuredText would read them otherwise.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CODE = re.compile(r"(?<![`:\w])`(?!`)([^`]+?)`(?!`)_?")
LITERAL = re.compile(r"(``.*?``|:\w+:`.*?`)")


def plain(line: str) -> str:
    """One line of text in which only backticks have a meaning."""
    pieces = LITERAL.split(CODE.sub(r"``\1``", line))
    pieces[::2] = [re.sub(r"([*|])", r"\\\1", piece) for piece in pieces[::2]]
    return "".join(pieces)


def plain_lines(lines: list[str]) -> list[str]:
    """A docstring's lines, made plain outside of examples and literal blocks."""
    done, literal_indent, example = [], None, False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() and literal_indent is not None and indent <= literal_indent:
            literal_indent = None
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        verbatim = example or literal_indent is not None or re.fullmatch(r"[=\s]+", line)
        done.append(line if verbatim else plain(line))
        if not verbatim and line.rstrip().endswith("::"):
            literal_indent = indent
    return done


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Autodoc's hook."""
    lines[:] = plain_lines(lines)


def readable_defaults(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Autodoc's hook: defaults that are shown as objects, such as <factory>, are no Python and spoil the signature."""
    if signature:
        signature = re.sub(r"<function (\w+)>", r"\1", signature)
        signature = re.sub(r"<function [^<>]*<lambda>>|<[a-z][^<>]*>|PosixPath\([^)]*\)", "...", signature)
    return signature, returns


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=400)  # before napoleon reads the sections
    app.connect("autodoc-process-signature", readable_defaults)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
