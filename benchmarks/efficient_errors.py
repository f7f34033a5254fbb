"""How near the approximations come to softmax attention, with queries, keys and values of MiniLM on 512 tokens.

    OMP_NUM_THREADS=1 python benchmarks/efficient_errors.py

No model is trained with these methods here; all they get is the queries, keys and values of a model that was trained
with softmax attention. The mixtures of Linformer are fitted, one pair for each layer, on other plays than those the
errors are measured on. Writes tftutor/results/efficient_errors.json. Takes about four minutes of one core.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from tftutor import efficient, masks
from tftutor.attention import attend_with_weights
from tftutor.data.shakespeare import load_plays
from tftutor.data.wordpiece import load_wordpiece
from tftutor.efficient.lsh import SELF_PENALTY
from tftutor.models.pretrained import load_minilm
from tftutor.results import write_results

N = 512
FIT, TEST = ("comedies/as-you-like-it.md", "tragedies/macbeth.md"), ("tragedies/hamlet.md",)
N_FIT, N_TEST = 24, 4
STEPS, RATE = 300, 3e-4
MIXED = (32, 128)
ROUNDS = (1, 2, 4, 8, 16)
SHARPNESS = (1, 4, 16)  # factors on the scores of LSH attention
WINDOWS = (16, 64, 128)
CHUNK = 32


def read_windows(names: tuple[str, ...], count: int) -> Tensor:
    """`count` texts of 512 tokens, [CLS] and [SEP] included, evenly from the plays."""
    pieces, plays, rows = load_wordpiece(), load_plays(), []
    for name in names:
        text = plays[name]
        for i in range(count // len(names)):
            start = i * len(text) // (count // len(names))
            ids = pieces.encode(text[start : start + 6000])
            rows.append(ids[: N - 1] + ids[-1:])
    return torch.tensor(rows)


def projections(tokens: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Queries, keys and values (B, 12, N, 32) of every layer."""
    model, kept = load_minilm(), []
    hooks = [
        proj.register_forward_hook(lambda _module, _args, out: kept.append(out.unflatten(2, (12, 32)).transpose(1, 2)))
        for block in model.blocks
        for proj in (block.attn.q_proj, block.attn.k_proj, block.attn.v_proj)
    ]
    parts = []
    with torch.no_grad():
        for row in tokens.split(4):
            kept.clear()
            model.encode(row)
            parts.append(list(kept))
    for hook in hooks:
        hook.remove()
    whole = [torch.cat(pieces) for pieces in zip(*parts, strict=True)]
    return [tuple(whole[i : i + 3]) for i in range(0, len(whole), 3)]


def error(heads: Tensor, exact: Tensor, v: Tensor) -> Tensor:
    """(B, H): distance from the exact outputs, as a multiple of that of the plain average of all values."""
    average = v.mean(dim=2, keepdim=True).expand_as(exact)
    return (heads - exact).flatten(2).norm(dim=2) / (average - exact).flatten(2).norm(dim=2)


def fit_mixtures(fit: tuple[Tensor, ...], n_mixed: int) -> tuple[Tensor, Tensor]:
    """E and F of Linformer for one layer, by gradient descent on the squared error."""
    mixes = [torch.nn.Parameter(pooling(n_mixed)) for _ in range(2)]
    adam = torch.optim.Adam(mixes, lr=RATE)
    (q, k, v), generator = fit, torch.Generator().manual_seed(0)
    with torch.no_grad():
        exact = attend_with_weights(q, k, v).heads
    for _ in range(STEPS):
        i = torch.randint(len(q), (2,), generator=generator)
        heads = efficient.linformer_attention(q[i], k[i], v[i], key_mix=mixes[0], value_mix=mixes[1])
        loss = error(heads, exact[i], v[i]).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return mixes[0].detach(), mixes[1].detach()


def pooling(n_mixed: int) -> Tensor:
    """The average of each N / n_mixed neighbours, (n_mixed, N)."""
    return torch.eye(n_mixed).repeat_interleave(N // n_mixed, dim=1) * n_mixed / N


def shared_attention(qk: Tensor, v: Tensor) -> Tensor:
    """What LSH attention approximates: keys are the queries at length 1, oneself only in need."""
    keys = torch.nn.functional.normalize(qk, dim=-1)
    bias = SELF_PENALTY * torch.eye(N)
    return attend_with_weights(qk, keys, v, bias=bias[None, None], scale=1.0).heads


def lsh_errors(qk: Tensor, v: Tensor, rounds: int, seed: int) -> dict[str, Tensor]:
    """Errors with buckets from hashing, and with buckets by lot."""
    generator = torch.Generator().manual_seed(seed)
    exact = shared_attention(qk, v)
    rotations = torch.randn(12, 32, rounds, N // CHUNK // 2, generator=generator)
    lot = torch.randint(N // CHUNK, (len(qk), 12, rounds, N), generator=generator)
    buckets = {"LSH": efficient.lsh_buckets(qk, rotations), "LSH, buckets by lot": lot}
    return {name: error(efficient.lsh_attention(qk, v, b, chunk=CHUNK), exact, v) for name, b in buckets.items()}


def rows_of(layer: int, test: tuple[Tensor, ...], fit: tuple[Tensor, ...]) -> list[dict[str, object]]:
    """Errors of every method in one layer."""
    q, k, v = test
    exact = attend_with_weights(q, k, v).heads
    found: dict[tuple[str, int], Tensor] = {("linear", 0): error(efficient.linear_attention(q, k, v), exact, v)}
    pos = torch.arange(N)
    for window in WINDOWS:
        mask = masks.global_mask(pos, pos, window // 2, 0)
        found["window", window] = error(attend_with_weights(q, k, v, mask=mask).heads, exact, v)
        mask = masks.global_mask(pos, pos, window // 2, 1)
        found["window + [CLS]", window] = error(attend_with_weights(q, k, v, mask=mask).heads, exact, v)
    for n_mixed in MIXED:
        torch.manual_seed(1)
        blind = torch.randn(n_mixed, N) / math.sqrt(n_mixed)
        fitted = fit_mixtures(fit, n_mixed)
        mixtures = {"random": (blind, blind), "pooled": (pooling(n_mixed),) * 2, "fitted": fitted}
        for name, (e, f) in mixtures.items():
            heads = efficient.linformer_attention(q, k, v, key_mix=e, value_mix=f)
            found[f"Linformer, {name}", n_mixed] = error(heads, exact, v)
    for sharp in SHARPNESS:
        for rounds in ROUNDS:
            for seed in (0, 1):
                for name, e in lsh_errors(sharp * q, v, rounds, seed).items():
                    key = (f"{name}, sharpness {sharp}", rounds)
                    found[key] = found[key] / 2 + e / 2 if seed else e
    return [
        {"layer": layer, "method": name, "size": size, "errors": [round(float(x), 4) for x in e.mean(dim=0)]}
        for (name, size), e in found.items()
    ]


def main() -> None:
    """Layer after layer; what is there is kept."""
    torch.set_num_threads(1)
    start, rows = time.process_time(), []
    test, fit = projections(read_windows(TEST, N_TEST)), projections(read_windows(FIT, N_FIT))
    settings = {"tokens": N, "fit": list(FIT), "test": list(TEST), "fit_windows": N_FIT, "test_windows": N_TEST,
                "steps": STEPS, "rate": RATE, "lsh_chunk": CHUNK, "lsh_seeds": [0, 1], "model": "all-MiniLM-L6-v2",
                "unit": "distance from the plain average of values, per head, mean over texts"}  # fmt: skip
    for layer, (a, b) in enumerate(zip(test, fit, strict=True), start=1):
        rows += rows_of(layer, a, b)
        for row in rows:
            if row["layer"] == layer:
                print(layer, row["method"], row["size"], sorted(row["errors"])[::3], flush=True)
        write_results("efficient_errors", rows, script="benchmarks/efficient_errors.py", settings=settings,
                      minutes=(time.process_time() - start) / 60)  # fmt: skip


if __name__ == "__main__":
    main()
