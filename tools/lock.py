"""Choose versions for everything the course uses, and write them into constraints.txt.

Run with `make lock`. Versions that are there stay unless `pyproject.toml` no longer allows them; delete a line to have
it chosen anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Versions that were tested together, of everything the course needs directly or indirectly; written by `make lock`.
# torch stands without a build tag, so that any build of that version fits; what a CUDA build needs is pinned by itself.
"""


def tidy(compiled: str) -> str:
    """Keep the pins: no comments, no path of this checkout, no build tag."""
    pins = [line for line in compiled.splitlines() if re.match(r"[\w.-]+==", line)]
    return HEADER + "".join(re.sub(r"\+\w+$", "", pin) + "\n" for pin in sorted(pins))


def main() -> int:
    """Run pip-compile over every extra, then tidy its output."""
    target = ROOT / "constraints.txt"
    options = ["--all-extras", "--strip-extras", "--allow-unsafe", "--no-annotate", "--no-header", "--quiet"]
    options += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--output-file", str(target)]
    command = [sys.executable, "-m", "piptools", "compile", *options, "pyproject.toml"]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    target.write_text(tidy(target.read_text("utf8")), "utf8")
    return status


if __name__ == "__main__":
    sys.exit(main())
