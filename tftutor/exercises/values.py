"""What learners hand in can be anything: copy it, compare it, read it and show it without ever raising."""

from __future__ import annotations

import copy
import math
import numbers
import reprlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

LIMIT = 12  # a tensor with more entries is shown by its shape
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
RTOL, ATOL = 1e-3, 1e-4  # wide for float32, far below what a wrong answer is off by


class Trouble(Exception):
    """An answer that cannot be judged by its values: what is wrong with it ("returns None"), and where to look."""

    def __init__(self, problem: str, hint: str, *, expected: str = "", got: str = "") -> None:
        super().__init__(problem)
        self.problem, self.hint, self.expected, self.got = problem, hint, expected, got


class EditedInput(Trouble):
    """The answer wrote into its arguments."""


def fresh(value: Any) -> Any:
    """A copy that shares no memory with `value`, so that editing it in place does no harm; modules stay themselves."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, nn.Module):
        return value
    if type(value) in (tuple, list):
        return type(value)(fresh(item) for item in value)
    if type(value) is dict:
        return {key: fresh(item) for key, item in value.items()}
    return copy.deepcopy(value)


def edits(args: tuple[Any, ...]) -> int:
    """How often the weights of modules among `args` were written to so far; torch counts."""
    modules = (arg for arg in args if isinstance(arg, nn.Module))
    return sum(tensor._version for module in modules for tensor in (*module.parameters(), *module.buffers()))


def same(a: Any, b: Any, *, rtol: float = RTOL, atol: float = ATOL) -> bool:
    """Whether two values agree; NaN equals NaN, True and 1 differ. Never raises."""
    try:
        return _same(a, b, rtol, atol)
    except Exception:  # a learner's object may raise anything when compared
        return False


def _same(a: Any, b: Any, rtol: float, atol: float) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or (a.dtype == torch.bool) != (b.dtype == torch.bool):
            return False
        if a.is_complex() or b.is_complex():
            return torch.equal(a, b)
        return torch.allclose(a.detach().double(), b.detach().double(), rtol=rtol, atol=atol, equal_nan=True)
    if isinstance(a, nn.Module) and isinstance(b, nn.Module):
        return a is b
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, numbers.Real) and isinstance(b, numbers.Real):
        return math.isclose(a, b, rel_tol=rtol, abs_tol=atol) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key], rtol, atol) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y, rtol, atol) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and bool(a == b)


def shape_text(x: Tensor) -> str:
    """The shape of `x` as Python writes it: (2, 3)."""
    return str(tuple(x.shape))


def number_text(x: float) -> str:
    """Three significant digits; whole numbers as they are."""
    if isinstance(x, bool | str):
        return str(x)
    return str(int(x)) if math.isfinite(x) and x == int(x) and abs(x) < 1e6 else f"{x:.3g}"


def show(value: Any) -> str:
    """One short line that describes any value. Never raises."""
    try:
        if isinstance(value, Tensor):
            if value.numel() > LIMIT:
                return f"a tensor of shape {shape_text(value)}"
            return _nested(value.detach().tolist())
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            text = " ".join(_SHORT.repr(value).split())
            if " at 0x" in text:  # another address each time
                return f"an object of type {type(value).__name__}"
            return text if len(text) <= 80 else f"{text[:77]}..."
        return number_text(float(value))
    except Exception:  # a learner's __repr__ may raise anything
        return f"an object of type {type(value).__name__}"


def _nested(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_nested(item) for item in value) + "]"
    return number_text(value)


# Readers: turn what a learner returned into what the properties work on, or raise Trouble.


def read_tensor(value: Any) -> Tensor:
    """A finite tensor."""
    if not isinstance(value, Tensor):
        hint = "return a torch.Tensor"
        if isinstance(value, tuple | list) and value and all(isinstance(item, Tensor) for item in value):
            hint = f"return one tensor, not {len(value)} of them"
        raise Trouble("returns the wrong kind of thing", hint, expected="a tensor", got=_kind(value))
    value = value.detach()
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_complex():
        kind = f"{value.dtype}, {value.layout}, on {value.device}".replace("torch.", "")
        raise Trouble("returns an unusual tensor", "a plain tensor of real numbers is enough here",
                      expected="real, strided, on cpu", got=kind)  # fmt: skip
    if value.is_floating_point() and not value.isfinite().all():
        bad = "NaN" if value.isnan().any() else "infinite"
        raise Trouble(
            f"holds entries that are {bad}",
            "look for a division by zero, a logarithm of zero, or a row in which everything is masked",
            expected="finite numbers",
            got=f"{int((~value.isfinite()).sum())} of {value.numel()} entries {bad}",
        )
    return value


def read_mask(value: Any) -> Tensor:
    """A tensor of True and False."""
    value = read_tensor(value)
    if value.dtype != torch.bool:
        raise Trouble("returns numbers", "compare, so that each entry is True or False", expected="bool",
                      got=str(value.dtype))  # fmt: skip
    return value


def read_matrix(value: Any) -> Tensor:
    """A matrix of finite floats, given as a tensor or as nested lists."""
    if callable(value) and not isinstance(value, Tensor):
        raise Trouble("is a function", "hand in the matrix itself", expected="a matrix", got=_kind(value))
    try:
        matrix = torch.as_tensor(value, dtype=torch.float64)
    except Exception:  # ragged lists, strings, ...
        raise Trouble("is no matrix", "write it as torch.tensor([[...], ...])", expected="a matrix",
                      got=_kind(value)) from None  # fmt: skip
    if matrix.ndim != 2:
        raise Trouble("is no matrix", "a matrix has two axes", expected="two axes", got=f"shape {shape_text(matrix)}")
    return read_tensor(matrix)


def read_bool(value: Any) -> bool:
    """True or False."""
    if isinstance(value, Tensor) and value.dtype == torch.bool and value.numel() == 1:
        return bool(value)
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):  # numpy's as well
        return bool(value)
    raise Trouble("returns the wrong kind of thing", "return True or False", expected="a bool", got=_kind(value))


def read_number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise Trouble("is not a number", "give one finite number", expected="a number", got=_kind(value))
    return float(value)


def read_choice(value: Any) -> str:
    """The letter of an option, in lower case."""
    if not isinstance(value, str):
        raise Trouble("is not an option", 'give the letter of an option, as in "a"', expected="a letter",
                      got=_kind(value))  # fmt: skip
    return value.strip().strip("().").lower()


def read_letters(count: int, options: str) -> Callable[[Any], str]:
    """A reader of `count` letters, one for each question, each of them one of `options`; a string or a list."""
    expected = f"{count} letters from {options[0]} to {options[-1]}"

    def read(value: Any) -> str:
        if isinstance(value, tuple | list) and all(isinstance(item, str) for item in value):
            value = "".join(value)
        if not isinstance(value, str):
            raise Trouble("is no row of letters", f"write {count} letters in one string, one for each question",
                          expected=expected, got=show(value))  # fmt: skip
        letters = "".join(letter for letter in value.lower() if letter.isalnum())
        if len(letters) != count or not set(letters) <= set(options):
            raise Trouble(f"is no row of {count} letters", "one letter for each question, in their order",
                          expected=expected, got=show(value))  # fmt: skip
        return letters

    return read


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, Tensor):
        return f"a tensor of shape {shape_text(value)}"
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" else "a"
    shown = show(value)
    return f"{article} {name}" if callable(value) or len(shown) > 30 or "object at" in shown else f"{name} {shown}"
