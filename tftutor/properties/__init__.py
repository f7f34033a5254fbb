"""What must hold of every model, measured: each function returns 0 where the property holds, else how badly it fails.

Numbers are largest absolute differences unless the docstring says otherwise; NaN counts as failure, being below no
bound. In float64 rounding leaves about 1e-14. A model under test may use dropout: runs that are compared draw the same
random numbers. Models are what decoding expects, `model(tokens, valid=...)` and `step`; an encoder-decoder also gets a
`Source`. The tests, the exercises and the notebooks all use these.
"""

from __future__ import annotations

from tftutor.properties.layers import (
    attention_error,
    empty_row_error,
    linearity_error,
    mask_error,
    residual_error,
    shift_change,
    weight_error,
)
from tftutor.properties.leaks import gradient_influence, influence, leak_change, leak_gradient
from tftutor.properties.models import (
    Source,
    batch_change,
    dead_parameters,
    fresh_state,
    full_pass,
    input_change,
    mode_change,
    padding_change,
    past_change,
    permutation_change,
    reorder_error,
    rerun_change,
    step_error,
    turnover_error,
)
from tftutor.properties.serving import (
    decode_alone,
    paging_error,
    serving_error,
    streaming_error,
    streaming_reference,
)
from tftutor.properties.text import (
    end_error,
    loss_padding_change,
    loss_pooling_change,
    min_p_error,
    penalty_error,
    ragged_change,
    score_error,
    shift_error,
    temperature_error,
    top_k_error,
    top_p_error,
)

__all__ = [
    "Source",
    "attention_error",
    "batch_change",
    "dead_parameters",
    "decode_alone",
    "empty_row_error",
    "end_error",
    "fresh_state",
    "full_pass",
    "gradient_influence",
    "influence",
    "input_change",
    "leak_change",
    "leak_gradient",
    "linearity_error",
    "loss_padding_change",
    "loss_pooling_change",
    "mask_error",
    "min_p_error",
    "mode_change",
    "padding_change",
    "paging_error",
    "past_change",
    "penalty_error",
    "permutation_change",
    "ragged_change",
    "reorder_error",
    "rerun_change",
    "residual_error",
    "score_error",
    "serving_error",
    "shift_change",
    "shift_error",
    "step_error",
    "streaming_error",
    "streaming_reference",
    "temperature_error",
    "top_k_error",
    "top_p_error",
    "turnover_error",
    "weight_error",
]
