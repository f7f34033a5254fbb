"""Generation: greedy, sampling, beam search and exact search, for every model family that can `step`.

`filters` cuts logits, `loop` writes, `beam` and `exact` search. Models know nothing of them: decoding asks for
`step(tokens, state, valid=...)` and for `state.reorder(rows)`.
"""

from __future__ import annotations

from tftutor.decoding.beam import Beams, beam_search
from tftutor.decoding.exact import Found, exact_search
from tftutor.decoding.filters import keep_min_p, keep_top_k, keep_top_p, penalise_repeats
from tftutor.decoding.loop import PAD_ID, Decoded, State, StepModel, draw, greedy, inference, sample

__all__ = [
    "PAD_ID", "Beams", "Decoded", "Found", "State", "StepModel", "beam_search", "draw", "exact_search", "greedy",
    "inference", "keep_min_p", "keep_top_k", "keep_top_p", "penalise_repeats", "sample",
]  # fmt: skip
