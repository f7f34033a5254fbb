"""Many requests at once: a scheduler that batches continuously, memory in blocks, and batching simulated.

A teaching model of what serving systems do. In production use one of them: vLLM, SGLang or TensorRT-LLM.
"""

from __future__ import annotations

from tftutor.serving.costs import MODEL_SHAPES, ModelShape, cache_bytes, step_flops
from tftutor.serving.memory import BlockPool, PagedKV
from tftutor.serving.scheduler import Finished, Request, Scheduler, serve
from tftutor.serving.simulation import Job, Outcome, random_jobs, simulate

__all__ = [
    "MODEL_SHAPES",
    "BlockPool",
    "Finished",
    "Job",
    "ModelShape",
    "Outcome",
    "PagedKV",
    "Request",
    "Scheduler",
    "cache_bytes",
    "random_jobs",
    "serve",
    "simulate",
    "step_flops",
]
