"""The examples in docstrings print what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["masks", "positions", "decoding.filters", "layers", "attention"])
def test_examples(name) -> None:
    module = importlib.import_module(f"tftutor.{name}")
    results = doctest.testmod(module, extraglobs={"torch": importlib.import_module("torch")})
    assert results.failed == 0
    if name in ("masks", "positions", "decoding.filters"):
        assert results.attempted > 0
