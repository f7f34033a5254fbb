"""Notebook outputs are compared strictly, but for the last digits of decimals."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbval_tolerance import agree, forgive, forgive_text, with_records

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("0.39", "0.40"),  # one unit of the last digit
        ("1.2345", "1.2346"),
        ("-0.0001", "0.0000"),
        ("2e-07", "3e-07"),
        ("123456.7", "123460.1"),  # less than 1e-4 of it
        ("1.8200e-03", "1.8202e-03"),
    ],
)
def test_last_digits_may_differ(stored, new):
    assert agree(stored, new)
    assert forgive_text(f"loss {stored} nats", f"loss {new} nats") == f"loss {stored} nats"


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("0.39", "0.41"),  # two units
        ("1.2345", "1.2349"),
        ("0.5", "-0.5"),
        ("12.5 of 3", "12.5 of 4"),  # whole numbers are exact
        ("tensor([1., 2.])", "tensor([1., 3.])"),  # and so are decimals that are printed as whole ones
        ("torch 2.13.0", "torch 2.14.0"),  # a version is not a decimal
        ("0.39 nats", "0.39 bits"),
        ("0.39", "0.39 0.39"),
        ("0.39", "nan"),
    ],
)
def test_everything_else_is_exact(stored, new):
    assert forgive_text(stored, new) != stored


def test_only_outputs_of_one_kind_are_compared():
    stored = [{"output_type": "stream", "name": "stdout", "text": "0.5\n"},
              {"output_type": "display_data", "data": {"text/plain": "0.25", "image/png": "AA"}}]
    new = [{"output_type": "stream", "name": "stdout", "text": "0.6\n"},
           {"output_type": "display_data", "data": {"text/plain": "0.35", "image/png": "BB"}}]
    forgiven = forgive(stored, new)
    assert forgiven[0]["text"] == "0.5\n"
    assert forgiven[1]["data"] == {"text/plain": "0.35", "image/png": "BB"}
    assert new[0]["text"] == "0.6\n"


def test_recorded_values_are_compared_as_the_prose_shows_them():
    told = {"tftutor": {"record": {"name": "gap", "value": 0.394}}}
    outputs = [{"output_type": "display_data", "data": {}, "metadata": told}]
    assert with_records(outputs, "It is 0.39<!--=gap:.2f-->.")[0]["recorded"] == "gap: 0.39"
    assert "recorded" not in with_records(outputs, "It is 0.39<!--=other:.2f-->.")[0]


CELL = """
from IPython.display import display
print(0.12345678, 7)
display({}, raw=True, metadata={"tftutor": {"record": {"name": "gap", "value": 0.5}}})
"""


@pytest.mark.parametrize(
    ("text", "recorded", "passes"),
    [
        ("0.12345678 7", 0.5, True),
        ("0.12345699 7", 0.5, True),
        ("0.12445678 7", 0.5, False),
        ("0.12345678 8", 0.5, False),
        ("0.12345678 7", 0.7, False),
    ],
)
def test_nbval_refuses_an_altered_digit(tmp_path, text, recorded, passes):
    told = {"tftutor": {"record": {"name": "gap", "value": recorded}}}
    outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=f"{text}\n"),
        nbformat.v4.new_output("display_data", data={}, metadata=told),
    ]
    cells = [
        nbformat.v4.new_code_cell(CELL, execution_count=1, outputs=outputs),
        nbformat.v4.new_markdown_cell("It is 0.5<!--=gap:.1f-->."),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "sample.ipynb")
    (tmp_path / "tolerant.py").write_text("import nbval_tolerance\nnbval_tolerance.install()\n")
    paths = os.pathsep.join([str(ROOT / "tools"), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-ptolerant", "-c", ROOT / "pyproject.toml", tmp_path / "sample.ipynb"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )
    assert (done.returncode == 0) == passes, done.stdout + done.stderr
