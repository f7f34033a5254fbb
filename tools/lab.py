"""Bring the reader's own copy of the chapters, in work/, up to date. `make lab` runs it.

New files are added and files that were not touched are renewed. A file that the reader has changed is never written to.
`work/.copied.json` remembers what was copied, as a hash of each file.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Pages that Sphinx collects (claims, myths, ...) stay out: only the built book has them.
FILES = ("chapters/[0-9][0-9]_*.ipynb", "chapters/[0-9][0-9]_*.md", "chapters/index.md", "chapters/glossary.md",
         "chapters/notation.md", "images/*.svg", "images/*.png")  # fmt: skip
MEMORY = ".copied.json"


def sources(root: Path) -> dict[str, Path]:
    """What belongs into the copy, by its place there."""
    return {path.relative_to(root).as_posix(): path for pattern in FILES for path in sorted(root.glob(pattern))}


def update(root: Path, work: Path) -> list[str]:
    """Bring the copy up to date; returns a line for each file that needed attention."""
    copied = _remembered(work)
    report = []
    files = sources(root)
    for place, source in files.items():
        target = work / place
        new = source.read_bytes()
        if not target.exists():
            _write(target, new)
            report.append(f"new: {place}")
        elif _hash(target.read_bytes()) == _hash(new):
            pass
        elif _hash(target.read_bytes()) == copied.get(place):
            _write(target, new)
            report.append(f"renewed: {place}")
        else:
            if copied.get(place) != _hash(new):
                report.append(f"kept as you left it: {place} (there is a newer one; delete yours to get it)")
            continue  # what is remembered stays what was once copied
        copied[place] = _hash(new)
    for place in sorted(set(copied) - set(files)):
        target = work / place
        if target.exists() and _hash(target.read_bytes()) == copied[place]:
            target.unlink()  # the course no longer has it, and the reader never touched it
            report.append(f"gone: {place}")
        del copied[place]
    _write(work / MEMORY, json.dumps(copied, indent=1, sort_keys=True).encode())
    return report


def _remembered(work: Path) -> dict[str, str]:
    try:
        copied = json.loads((work / MEMORY).read_text("utf8"))
    except (OSError, ValueError):
        return {}  # nothing is known to be untouched, so nothing that differs is written to
    return copied if isinstance(copied, dict) else {}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(content)
    partial.replace(target)


if __name__ == "__main__":
    print("\n".join(update(ROOT, ROOT / "work")) or "your copy in work/ is up to date")
    sys.exit(0)
