"""What attention costs at 256 to 16,384 tokens, dense and otherwise. Takes about five minutes of one core.

    OMP_NUM_THREADS=1 python benchmarks/efficient.py

Processor time (the best of a few), bytes of tensors at the peak, and operations of the matrix products. Writes
tftutor/results/efficient.json, which the chapter on the cost of attention plots.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from tftutor import efficient
from tftutor.attention import attend, attend_with_weights
from tftutor.budget import count_flops
from tftutor.meter import peak_bytes
from tftutor.results import write_results

LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16_384)
LARGEST_DENSE = 8192  # 1 GiB for one table of scores of four heads
N_HEADS, D_HEAD = 4, 64
SETTINGS = {
    "heads": N_HEADS, "d_head": D_HEAD, "block": 256, "window": 256, "dilation": 4, "reach": 128, "n_global": 16,
    "bigbird_block": 64, "bigbird_random": 3, "lsh_chunk": 64, "lsh_rounds": 2, "linformer_k": 256,
    "linear_chunk": 128, "threads": 1, "dtype": "float32", "batch": 1,
}  # fmt: skip

Work = Callable[[], Tensor]


def methods(q: Tensor, k: Tensor, v: Tensor) -> dict[str, Work]:
    """Every method on the same inputs; what does not depend on them (layouts, mixtures) is made beforehand."""
    length, device = q.shape[2], q.device
    layout = efficient.bigbird_layout(-(-length // 64), n_random=3, generator=torch.Generator().manual_seed(0))
    mix = torch.randn(256, length, device=device) / math.sqrt(256)
    side = max(2, 2 * round(math.sqrt(length / 64) / 2))  # two choices of `side` make about length / 64 buckets
    rotations = [torch.randn(N_HEADS, D_HEAD, 2, side // 2, device=device) for _ in range(2)]
    work: dict[str, Work] = {
        "dense": lambda: attend_with_weights(q, k, v).heads,
        "blockwise": lambda: efficient.blockwise_attention(q, k, v, block=256),
        "fused (PyTorch)": lambda: attend(q, k, v),
        "window": lambda: efficient.window_attention(q, k, v, window=256),
        "dilated": lambda: efficient.window_attention(q, k, v, window=256, dilation=4),
        "global + local": lambda: efficient.longformer_attention(q, k, v, reach=128, n_global=16),
        "+ random blocks": lambda: efficient.bigbird_attention(q, k, v, layout.to(device), block=64),
        "LSH": lambda: efficient.lsh_attention(q, v, efficient.lsh_buckets(q, *rotations), chunk=64),
        "Linformer": lambda: efficient.linformer_attention(q, k, v, key_mix=mix, value_mix=mix),
        "linear": lambda: efficient.linear_attention(q, k, v),
        "linear, causal": lambda: efficient.linear_attention(q, k, v, causal=True),
    }
    return work if length <= LARGEST_DENSE or device.type == "meta" else {n: w for n, w in work.items() if n != "dense"}


def seconds(work: Work) -> list[float]:
    """Processor times of a few runs: at least two, at most seven, about two seconds in all."""
    taken: list[float] = []
    while len(taken) < 2 or (len(taken) < 7 and sum(taken) < 2):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return taken


def measure(length: int) -> list[dict[str, object]]:
    """One row for each method."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, N_HEADS, length, D_HEAD) for _ in range(3))
    counted = methods(*(x.to("meta") for x in (q, k, v)))
    rows = []
    for name, work in methods(q, k, v).items():
        taken = seconds(work)
        flops = count_flops(work if name == "LSH" else counted[name])  # LSH looks at values, which meta has not
        rows.append({"method": name, "length": length, "seconds": round(min(taken), 5), "runs": len(taken),
                     "peak_bytes": peak_bytes(work), "flops": flops})  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure every length; what is there is kept after each."""
    torch.set_num_threads(1)
    start, rows = time.process_time(), []
    with torch.no_grad():
        for length in LENGTHS:
            rows += measure(length)
            write_results("efficient", rows, script="benchmarks/efficient.py", settings=SETTINGS,
                          minutes=(time.process_time() - start) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
