"""Draw which query heads share keys and values in MHA, GQA and MQA. Run: python images/kv_cache_heads.py."""

from __future__ import annotations

from svg import INK, KEY, PALE, QUERY, QUIET, VALUE, text, write

PANELS = (("MHA", "G = 4", (0, 1, 2, 3)), ("GQA", "G = 2", (0, 0, 1, 1)), ("MQA", "G = 1", (0, 0, 0, 0)))
WIDTH = 260


def panel(left: float, name: str, groups: str, uses: tuple[int, ...]) -> list[str]:
    """Four query heads above, the heads that are cached below."""
    parts = [text(left + WIDTH / 2, 34, name, size=18, bold=True), text(left + WIDTH / 2, 56, groups, size=15)]
    n_shared = max(uses) + 1
    queries = [left + 52 + 52 * h for h in range(4)]
    kept = [sum(queries[h] for h in range(4) if uses[h] == g) / uses.count(g) for g in range(n_shared)]
    for h, x in enumerate(queries):
        parts.append(f'<path d="M{x:g} 120 L{kept[uses[h]]:g} 176" stroke="{INK}" stroke-width="1.6"/>')
        parts.append(f'<circle cx="{x:g}" cy="104" r="17" fill="{PALE[QUERY]}" stroke="{QUERY}" stroke-width="1.5"/>')
        parts.append(text(x, 110, f"q{'₁₂₃₄'[h]}", size=15))
    for g, x in enumerate(kept):
        for shift, colour, letter in ((-10, KEY, "k"), (10, VALUE, "v")):
            parts.append(f'<rect x="{x + shift - 10:g}" y="178" width="20" height="36" rx="4" fill="{PALE[colour]}" '
                         f'stroke="{colour}" stroke-width="1.5"/>')  # fmt: skip
            parts.append(text(x + shift, 201, f"{letter}{'₁₂₃₄'[g]}", size=13))
    share = {4: "cache 1", 2: "cache 1/2", 1: "cache 1/4"}[n_shared]
    return [*parts, text(left + WIDTH / 2, 246, share, size=15, colour=QUIET)]


if __name__ == "__main__":
    drawn = [part for i, given in enumerate(PANELS) for part in panel(10 + i * WIDTH, *given)]
    write(__file__, 3 * WIDTH + 20, 266, "Query heads share keys and values", drawn)
