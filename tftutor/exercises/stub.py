"""Has the learner written anything yet? Decided from the code, not from what it returns."""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
from types import FunctionType
from typing import Any

_TRIVIAL = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "CACHE", "COPY_FREE_VARS", "MAKE_CELL"}


def is_stub(answer: Any) -> bool:
    """Whether `answer` is still what the notebook came with.

    A value: `...`. A function: nothing but a docstring and `...` (or `pass`). A class: all of its methods like that.
    """
    if answer is Ellipsis:
        return True
    if isinstance(answer, FunctionType):
        return _is_empty(answer)
    if isinstance(answer, type):
        methods = [member for member in vars(answer).values() if isinstance(member, FunctionType)]
        return all(_is_empty(method) for method in methods)
    return False


def _is_empty(function: FunctionType) -> bool:
    code = function.__code__
    steps = list(dis.get_instructions(code))
    if any(step.opname not in _TRIVIAL for step in steps):
        return False
    loaded = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    if code.co_name == "<lambda>":
        return loaded == [Ellipsis]
    return loaded == [None] and not _says_return(function)


def _says_return(function: FunctionType) -> bool:
    """Whether the body holds an explicit `return`, which compiles to the same code as a stub."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):  # no source: the code alone decides
        return False
    return any(isinstance(node, ast.Return) for node in ast.walk(tree))
