"""What makes the built book complete without a network.

* MathJax comes with the book: the few files it needs are copied out of the package `sphinx-mathjax-offline`.
* Thebe, which Jupyter Book always loads, would add a foreign address and a script that fails to every page; the course
  does not use it, so it is dropped.
* The theme draws its few icons twice: by a font, and by a script of 1.5 MB. The font is enough.
* A built book leaves a file that says when it was finished, so that tests know whether they see a stale one.

It also gives the lines that claims leave in notebooks a style of their own.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts/woff-v2")
BUILT = ".built"


def _mathjax_folder() -> Path:
    # The folder's name has hyphens: it can be found, but not imported.
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise RuntimeError("sphinx-mathjax-offline: not installed; run pip install -r requirements-book.txt")
    return Path(spec.origin).parent / "static" / "mathjax"


def use_local_mathjax(app: Sphinx, config: object) -> None:
    """Point pages at the copied MathJax."""
    config.mathjax_path = "mathjax/tex-chtml-full.js"


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy MathJax's script and fonts into the book."""
    if error is None and app.builder.format == "html":
        for item in MATHJAX:
            source = _mathjax_folder() / item
            target = Path(app.outdir) / "_static" / "mathjax" / item
            folder = target if source.is_dir() else target.parent
            folder.mkdir(parents=True, exist_ok=True)
            copy_asset(str(source), str(folder))


def drop_thebe(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Leave Thebe's scripts and styles out of a page."""

    def is_thebe(asset: object) -> bool:
        name = str(getattr(asset, "filename", asset)).lower()
        return "thebe" in name or "THEBE" in (getattr(asset, "attributes", {}).get("body") or "")

    for kind in ("script_files", "css_files"):
        context[kind] = [asset for asset in context.get(kind, []) if not is_thebe(asset)]


def drop_icon_script(app: Sphinx, error: Exception | None) -> None:
    """Empty the theme's script that draws every icon there is."""
    script = Path(app.outdir, "_static", "scripts", "fontawesome.js")
    if error is None and script.exists():
        script.write_text("// The icons come from the font.\n", "utf8")


def mark_claims(app: Sphinx, doctree: nodes.document) -> None:
    """Give the outputs that state a claim a class, for the style sheet."""
    for block in doctree.findall(nodes.literal_block):
        if block.astext().startswith("✓ "):
            block["classes"].append("tf-claim")


def leave_note(app: Sphinx, error: Exception | None) -> None:
    """Say when the book was finished."""
    # With --keep-going warnings end the build only after this, so they are looked at here.
    if error is None and app.builder.format == "html" and not getattr(app, "_warncount", 0):
        Path(app.outdir, BUILT).write_text("", "utf8")


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("config-inited", use_local_mathjax, priority=900)
    app.connect("doctree-read", mark_claims)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", drop_icon_script, priority=800)  # after the theme has copied it
    app.connect("build-finished", leave_note, priority=900)
    app.connect("html-page-context", drop_thebe, priority=950)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
