"""The built book as tests see it: where it is, whether it is fresh, what its pages hold, and a browser for it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
REQUIRED = os.environ.get("TFTUTOR_REQUIRE_BROWSER") == "1"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SOURCES = ("_config.yml", "_toc.yml", "references.bib", "chapters", "images", "_ext", "_static", "tftutor")
GENERATED = {"genindex.html", "py-modindex.html", "search.html", "prf-prf.html"}


def missing_book() -> str:
    """Why the built book cannot be tested; empty if it can."""
    note = HTML / ".built"
    if not note.exists():
        return "there is no built book; run make book"
    files = [path for name in SOURCES for path in [ROOT / name, *(ROOT / name).rglob("*")]]
    newer = [path for path in files if path.is_file() and path.stat().st_mtime > note.stat().st_mtime]
    newer = [path for path in newer if "__pycache__" not in path.parts and path.suffix != ".safetensors"]
    return f"the built book is older than {newer[0].relative_to(ROOT)}; run make book" if newer else ""


def missing_browser() -> str:
    """Why there is no browser; empty if there is one."""
    return "" if browser_path() else f"no Chromium on PATH (looked for {', '.join(BROWSERS)})"


def browser_path() -> str | None:
    """The system's Chromium."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def demand(reason: str) -> None:
    """Skip with the reason, or fail where the site tests are required."""
    if reason and REQUIRED:
        pytest.fail(f"TFTUTOR_REQUIRE_BROWSER=1, but {reason}")
    if reason:
        pytest.skip(reason)


def pages() -> list[Path]:
    """The pages that readers read."""
    return sorted((HTML / "chapters").rglob("*.html"))


@dataclass
class Page:
    """What a page's HTML holds."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    images: list[dict[str, str | None]] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.page.ids |= {known[key] for key in ("id", "name") if known.get(key)}
        if tag == "a" and known.get("href"):
            self.page.links.append(known["href"])
        if tag == "img":
            self.page.images.append(known)
        if tag in {"script", "img", "iframe", "source"} and known.get("src"):
            self.page.loads.append(known["src"])
        if tag == "link" and {"stylesheet", "preload", "icon", "prefetch"} & set((known.get("rel") or "").split()):
            self.page.loads.append(known["href"])


@cache
def parse(path: Path) -> Page:
    """A page, read."""
    reader = _Reader()
    reader.feed(path.read_text("utf8"))
    return reader.page


def target(page: Path, link: str) -> tuple[Path, str]:
    """The file and the place in it to which a link inside the book leads."""
    address, fragment = urldefrag(link)
    address = unquote(address.partition("?")[0])
    return ((page.parent / address).resolve() if address else page), unquote(fragment)


def is_external(link: str) -> bool:
    """Whether a link leaves the book."""
    return link.startswith(("http:", "https:", "//", "mailto:"))
