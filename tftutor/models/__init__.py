"""The model families, all behind one decoding protocol: `step(tokens, state)`."""

from __future__ import annotations

from tftutor.models.bert import Bert
from tftutor.models.encoder_decoder import EncoderDecoder
from tftutor.models.gpt import GPT
from tftutor.models.hybrid import Hybrid
from tftutor.models.lstm import RecurrentSeq2Seq

__all__ = ["GPT", "Bert", "EncoderDecoder", "Hybrid", "RecurrentSeq2Seq"]
