"""How faults are entered into the catalogue and planted."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tftutor.checks import expect_choice

Function = Callable[..., Any]


@dataclass(frozen=True)
class Fault:
    """A bug, and how to recognise it."""

    name: str
    where: str  # dotted path of the function it breaks
    symptom: str  # what one sees
    hint: str  # points to the mistake without giving the code
    patch: Callable[[Function], Function]  # the right function -> the wrong one

    def broken(self) -> Function:
        """The wrong function."""
        return self.patch(getattr(*_locate(self.where)))


FAULTS: dict[str, Fault] = {}


@contextmanager
def planted(name: str) -> Iterator[Fault]:
    """Let the package use the wrong function during the `with` block, and everything imported from it in a notebook."""
    expect_choice("name", name, tuple(FAULTS))
    fault = FAULTS[name]
    owner, attribute = _locate(fault.where)
    right = getattr(owner, attribute)
    wrong = fault.patch(right)
    try:
        _replace(owner, attribute, right, wrong)
        yield fault
    finally:
        _replace(owner, attribute, wrong, right)


def _locate(path: str) -> tuple[Any, str]:
    """The module or class that holds what `path` names, and its name there."""
    owner_path, _, attribute = path.rpartition(".")
    if owner_path.rpartition(".")[2][0].isupper():
        module, _, cls = owner_path.rpartition(".")
        return getattr(importlib.import_module(module), cls), attribute
    return importlib.import_module(owner_path), attribute


def _replace(owner: Any, attribute: str, old: Function, new: Function) -> None:
    """Put `new` where `old` is defined, and wherever a module has imported it by name."""
    setattr(owner, attribute, new)
    for name, module in list(sys.modules.items()):
        if name == "__main__" or name.partition(".")[0] == "tftutor":
            for key in [key for key, value in vars(module).items() if value is old]:
                setattr(module, key, new)


def fault(name: str, where: str, symptom: str, hint: str) -> Callable[[Callable[[Function], Function]], None]:
    """Enter the decorated patch into the catalogue."""

    def enter(patch: Callable[[Function], Function]) -> None:
        FAULTS[name] = Fault(name, f"tftutor.{where}", symptom, hint, patch)

    return enter
