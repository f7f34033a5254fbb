"""Run the notebooks and keep them in one canonical form.

    python tools/notebooks.py run [chapters/03_*.ipynb ...]    run, store the outputs, renew numbers and claims
    python tools/notebooks.py check [chapters/03_*.ipynb ...]  run nothing; fail if a file is not as `run` leaves it
    python tools/notebooks.py claims                           run nothing; renew the registry from the stored outputs

A number in prose is written `0.39<!--=gap:.2f-->`: the text that readers see, then a comment that names a recorded
value (`tftutor.notebook.record`, or the id of a claim) and how to format it. `run` renews the text, `check` compares.

The canonical form keeps differences small and makes a second run a no-op: counts run 1, 2, 3, ...; no time stamps, no
widget state, no addresses, no temporary paths, no foreign metadata. Cells tagged `nbval-ignore-output` keep their
stored outputs as long as their code is the same; `run --fresh` renews those too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tftutor.claims import Claim, claims_in

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
REGISTRY = ROOT / "tftutor" / "claims.json"
MAX_BYTES = 1_000_000

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python", "pygments_lexer": "ipython3"}
KEPT_CELL_METADATA = {"tags", "mystnb"}
KEPT_OUTPUT_METADATA = {"tftutor", "image/png"}
VOLATILE = "nbval-ignore-output"
SKIPPED = {"skip-execution", "nbval-skip"}

MARKER = re.compile(r"(?P<text>[-+−]?\d[\d.,]*(?:[eE][-+]?\d+)?%?)<!--=(?P<name>[\w.-]+?)(?::(?P<format>[^<>]*?))?-->")
ANY_MARKER = re.compile(r"<!--=.*?-->")


class NotebookError(RuntimeError):
    """A notebook cannot be brought into canonical form; the message says why."""


def recorded(nb: NotebookNode) -> dict[str, object]:
    """The values that a notebook's stored outputs record, by name; the value measured for a claim is under its id."""
    values = {}
    for output in _outputs(nb):
        told = output.get("metadata", {}).get("tftutor", {})
        if record := told.get("record"):
            values[record["name"]] = record["value"]
        if claim := told.get("claim"):
            values[claim["id"]] = claim["value"]
    return values


def write_numbers(source: str, values: dict[str, object]) -> str:
    """Prose with the number before every marker renewed from `values`."""

    def renew(match: re.Match[str]) -> str:
        name, spec = match["name"], match["format"] or ""
        if name not in values:
            raise NotebookError(f"{match[0]}: nothing is recorded under {name!r}")
        shown = format(values[name], spec)
        return f"{shown}<!--={name}{':' + spec if spec else ''}-->"

    if len(MARKER.findall(source)) != len(ANY_MARKER.findall(source)):
        stray = sorted(set(ANY_MARKER.findall(source)) - {m[0][len(m["text"]):] for m in MARKER.finditer(source)})
        raise NotebookError(f"{stray}: expected a number right before it and the form <!--=name:format-->")
    return MARKER.sub(renew, source)


def collect_claims(paths: list[Path]) -> list[Claim]:
    """The claims in the stored outputs of notebooks, in the order of the course."""
    claims = [claim for path in sorted(paths) for claim in claims_in(path)]
    ids = [claim.id for claim in claims]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise NotebookError(f"claims: expected every id once, got twice: {', '.join(twice)}")
    if broken := [claim.id for claim in claims if not claim.holds]:
        raise NotebookError(f"claims: stored as not holding: {', '.join(broken)}")
    return claims


def normalise(nb: NotebookNode) -> NotebookNode:
    """Bring a notebook into the canonical form, in place."""
    nb.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    nb.nbformat, nb.nbformat_minor = 4, 5
    values = recorded(nb)
    count, ids = 0, set()
    for index, cell in enumerate(nb.cells):
        if not cell.get("id") or cell["id"] in ids:
            cell["id"] = f"c{index:03d}"
        ids.add(cell["id"])
        cell.metadata = _kept(cell.metadata, KEPT_CELL_METADATA)
        if cell.cell_type == "markdown":
            cell.source = write_numbers(cell.source, values)
        elif cell.cell_type == "code":
            count += 1
            skipped = SKIPPED & set(cell.metadata.get("tags", []))
            cell.execution_count = None if skipped and not cell.outputs else count
            cell.outputs = _normal_outputs(cell)
    return nb


def _normal_outputs(cell: NotebookNode) -> list[NotebookNode]:
    outputs: list[NotebookNode] = []
    for output in cell.outputs:
        if "execution_count" in output:
            output["execution_count"] = cell.execution_count
        if "metadata" in output:
            output["metadata"] = _kept(output["metadata"], KEPT_OUTPUT_METADATA)
        if output.output_type == "stream":
            output["text"] = _scrub(output["text"])
            if outputs and outputs[-1].output_type == "stream" and outputs[-1].name == output.name:
                outputs[-1]["text"] += output["text"]
                continue
        elif output.output_type == "error":
            output["traceback"] = [_scrub(line) for line in output["traceback"]]
        else:
            output.data.pop("application/vnd.jupyter.widget-view+json", None)
            for mime in [mime for mime in output.data if mime.startswith("text/")]:
                output.data[mime] = _scrub(output.data[mime])
        outputs.append(output)
    return outputs


def _scrub(text: str) -> str:
    text = re.sub(r" at 0x[0-9a-f]{6,16}", " at 0x0", text)
    return re.sub(r"[^\s\"']*ipykernel_\d+[/\\]\d+\.py", "<cell>", text)


def _kept(metadata: dict, keys: set[str]) -> NotebookNode:
    return nbformat.from_dict({key: value for key, value in metadata.items() if key in keys and value})


def _outputs(nb: NotebookNode) -> list[NotebookNode]:
    return [output for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]


def keep_volatile(old: NotebookNode, new: NotebookNode) -> None:
    """Give cells whose outputs differ from run to run their stored outputs back, where the code is the same."""
    known = {cell.get("id"): cell for cell in old.cells if cell.cell_type == "code" and cell.outputs}
    for cell in new.cells:
        before = known.get(cell.get("id"))
        if before and VOLATILE in cell.metadata.get("tags", []) and before.source == cell.source:
            cell.outputs = before.outputs


def read(path: Path) -> NotebookNode:
    """A notebook from its file."""
    return nbformat.read(path, as_version=4)


def dumps(nb: NotebookNode) -> str:
    """A notebook as the text of its file."""
    nbformat.validate(nb)
    return nbformat.writes(nb, version=4) + "\n"


def dumps_claims(claims: list[Claim]) -> str:
    """The registry of claims as the text of its file."""
    return json.dumps([claim.to_dict() for claim in claims], indent=1, ensure_ascii=False) + "\n"


def replace(path: Path, text: str) -> bool:
    """Write a file if its text is new; whole or not at all."""
    if path.exists() and path.read_text("utf8") == text:
        return False
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf8")
    partial.replace(path)
    return True


def execute(path: Path, timeout: int, fresh: bool) -> str:
    """Run one notebook and store it; returns a line of report."""
    from nbclient import NotebookClient

    start = time.perf_counter()
    old, nb = read(path), read(path)
    NotebookClient(
        nb, timeout=timeout, kernel_name="python3", record_timing=False, extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    if not fresh:
        keep_volatile(old, nb)
    text = dumps(normalise(nb))
    if len(text) > MAX_BYTES:
        raise NotebookError(f"{len(text):,} bytes; expected at most {MAX_BYTES:,}")
    changed = "changed" if replace(path, text) else "unchanged"
    return f"{path.name:36} {time.perf_counter() - start:6.1f} s {len(text):>9,} bytes  {changed}"


def problems(path: Path) -> list[str]:
    """What keeps a stored notebook from being canonical."""
    text = path.read_text("utf8")
    found = [f"{len(text):,} bytes; expected at most {MAX_BYTES:,}"] if len(text) > MAX_BYTES else []
    try:
        if dumps(normalise(nbformat.reads(text, as_version=4))) != text:
            found.append("not as `make notebooks` leaves it: run that")
    except (NotebookError, nbformat.ValidationError) as error:
        found.append(str(error))
    return [f"{path.name}: {line}" for line in found]


def run(paths: list[Path], jobs: int, timeout: int, fresh: bool) -> int:
    """Run notebooks, several at a time, then renew the registry of claims."""
    os.environ.update(TFTUTOR_QUIET="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    failed = 0
    with ProcessPoolExecutor(jobs) as pool:
        for path, future in [(path, pool.submit(execute, path, timeout, fresh)) for path in paths]:
            try:
                print(future.result(), flush=True)
            except Exception as error:
                failed += 1
                print(f"{path.name}: FAILED, the file is as it was\n{error}", flush=True)
    register_claims()
    return 1 if failed else 0


def register_claims() -> int:
    """Renew the registry of claims from the stored outputs."""
    changed = replace(REGISTRY, dumps_claims(collect_claims(sorted(CHAPTERS.glob("*.ipynb")))))
    print(f"{REGISTRY.name}: {'changed' if changed else 'unchanged'}")
    return 0


def check(paths: list[Path]) -> int:
    """Report what is not canonical, run nothing."""
    found = [line for path in paths for line in problems(path)]
    try:
        stored = REGISTRY.read_text("utf8") if REGISTRY.exists() else ""
        if stored != dumps_claims(collect_claims(sorted(CHAPTERS.glob("*.ipynb")))):
            found.append(f"{REGISTRY.name}: not what the notebooks' outputs say: run `make notebooks`")
    except NotebookError as error:
        found.append(str(error))
    print("\n".join(found) if found else f"{len(paths)} notebooks are in canonical form")
    return 1 if found else 0


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["run", "check", "claims"])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--jobs", type=int, default=2, help="notebooks to run at a time")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a cell may take")
    parser.add_argument("--fresh", action="store_true", help=f"renew also the outputs of cells tagged {VOLATILE}")
    args = parser.parse_args()
    paths = [path.resolve() for path in args.notebooks] or sorted(CHAPTERS.glob("*.ipynb"))
    if args.command == "claims":
        return register_claims()
    return check(paths) if args.command == "check" else run(paths, args.jobs, args.timeout, args.fresh)


if __name__ == "__main__":
    sys.exit(main())
