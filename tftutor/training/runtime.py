"""What a training asks of the machine: a number format, threads, and word that it should stop."""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """bfloat16 where matrix products should use it, else None, which is float32.

    "auto" chooses bfloat16 where the processor multiplies it; one that does not would emulate it, slower than float32.
    """
    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = device.type == "cpu" and _processor_multiplies_bfloat16()
        precision = "bfloat16" if native else "float32"
    return torch.bfloat16 if precision == "bfloat16" else None


def _processor_multiplies_bfloat16() -> bool:
    """Whether the processor has AVX-512 or AMX products of bfloat16, and PyTorch may use them."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(bool(flags.get(name)) for name in ("avx512_bf16", "amx_bf16"))


def arithmetic(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """The context of a forward pass: autocast to `dtype`, None: no autocast."""
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def attention_kernels(device: torch.device) -> AbstractContextManager[object]:
    """The context that picks the implementation of attention for a forward and backward pass.

    On processors the fused one is slower for words: they are short, and its backward pass handles masks poorly.
    """
    everything = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]
    return sdpa_kernel([SDPBackend.MATH] if device.type == "cpu" else [*everything, SDPBackend.MATH])


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of the random numbers (dropout) of one step in one process.

    Nothing random is carried from step to step, so that neither a stop nor an evaluation between steps changes them.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()[:7], "big")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with `count` threads; the former number comes back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that the step in hand is finished; a second one acts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def remember(kind: int, frame: object) -> None:
        stop.set()
        signal.signal(kind, before[kind])

    for kind in kinds:
        signal.signal(kind, remember)
    try:
        yield stop
    finally:
        for kind in kinds:
            signal.signal(kind, before[kind])
