"""One line that names the argument, what was expected, what came, and the fix."""

from __future__ import annotations

import re

import pytest
import torch

from tftutor import checks

TOKENS = torch.tensor([[1, 2, 3], [4, 5, 6]])


def test_what_is_right_passes() -> None:
    checks.expect_shape("x", TOKENS, B=2, T=None)
    for expect in (checks.expect_mask, checks.expect_bias):
        expect(None)
    checks.expect_mask(TOKENS > 3)
    checks.expect_bias(TOKENS.float())
    checks.expect_four_axes("mask", None)
    checks.expect_four_axes("mask", (TOKENS > 3)[None, None])
    checks.expect_tokens("tokens", TOKENS, 7)
    checks.expect_tokens("tokens", TOKENS[:, :0], 7)  # no tokens at all
    checks.expect_valid("valid", None, TOKENS)
    checks.expect_valid("valid", TOKENS > 3, TOKENS)
    checks.expect_choice("side", "left", ("left", "right"))
    checks.expect_positive(width=0.5)
    checks.expect_probability(p=0.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: checks.expect_shape("x", TOKENS, B=2, T=4), ValueError, "x: expected shape (B=2, T=4), got (2, 3)"),
        (lambda: checks.expect_shape("x", TOKENS, B=2, T=None, D=5), ValueError,
         "x: expected shape (B=2, T, D=5), got (2, 3)"),
        (lambda: checks.expect_mask(TOKENS.float()), TypeError,
         "mask: expected bool (True = may attend), got torch.float32; a float to add is `bias`"),
        (lambda: checks.expect_bias(TOKENS > 1), TypeError,
         "bias: expected floats to add to the scores, got torch.bool; a bool is `mask`"),
        (lambda: checks.expect_four_axes("mask", TOKENS > 1), ValueError,
         "mask: expected axes (B, H, T, S), got (2, 3); for padding use padding_mask(valid)"),
        (lambda: checks.expect_tokens("src", TOKENS.int(), 7), TypeError,
         "src: expected token ids of dtype torch.int64, got torch.int32"),
        (lambda: checks.expect_tokens("src", TOKENS[0], 7), ValueError, "src: expected shape (B, T), got (3,)"),
        (lambda: checks.expect_tokens("src", TOKENS, 6), ValueError, "src: expected ids in 0..5, got 6"),
        (lambda: checks.expect_tokens("src", TOKENS - 2, 6), ValueError, "src: expected ids in 0..5, got -1"),
        (lambda: checks.expect_valid("valid", TOKENS, TOKENS), TypeError,
         "valid: expected bool (True = a real token), got torch.int64"),
        (lambda: checks.expect_valid("valid", TOKENS[:, :2] > 1, TOKENS), ValueError,
         "valid: expected the shape of the tokens (2, 3), got (2, 2)"),
        (lambda: checks.expect_choice("side", "top", ("left", "right")), ValueError,
         "side: expected one of 'left', 'right', got 'top'"),
        (lambda: checks.expect_positive(a=1, n_heads=0), ValueError, "n_heads: expected a positive number, got 0"),
        (lambda: checks.expect_probability(dropout=1.0), ValueError,
         "dropout: expected a probability in [0, 1), got 1.0"),
        (lambda: checks.expect_probability(dropout=-0.1), ValueError, "dropout: expected"),
        (lambda: checks.expect_probability(dropout=float("nan")), ValueError, "dropout: expected"),
        (lambda: checks.expect_positive(norm_eps=float("nan")), ValueError, "norm_eps: expected a positive number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(call, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
