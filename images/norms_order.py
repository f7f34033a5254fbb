"""Draw where the norm stands in post-norm and in pre-norm. Run: python images/norms_order.py."""

from __future__ import annotations

from svg import INK, KEY, QUERY, QUIET, arrow, box, text, write

TOP, GAP = 96, 168  # of the stream's y; between the two drawings


def plus(x: float, y: float) -> str:
    """Where a branch is added to the stream."""
    cross = f'<path d="M{x - 7:g} {y:g} H{x + 7:g} M{x:g} {y - 7:g} V{y + 7:g}" stroke="{INK}" stroke-width="2"/>'
    return f'<circle cx="{x:g}" cy="{y:g}" r="13" fill="white" stroke="{INK}" stroke-width="1.8"/>{cross}'


def stream(y: float, name: str, note: str, post: bool) -> list[str]:
    """Two sub-layers along one stream."""
    parts = [text(24, y - 52, name, size=17, bold=True, anchor="start"),
             text(140, y - 52, note, size=15, anchor="start", colour=QUIET)]  # fmt: skip
    here = 60.0
    parts.append(text(34, y + 6, "x", size=17))
    for label in ("attention", "feed-forward"):
        leave, add = here + 20, here + 262
        parts.append(arrow((here, y), (add - 14, y), width=3))
        below = y + 54
        if post:
            parts += [arrow((leave, y), (leave, below), (leave + 60, below)),
                      box(leave + 122, below, 122, 34, QUERY, label, size=15),
                      arrow((leave + 184, below), (add, below), (add, y + 14)), plus(add, y),
                      arrow((add + 14, y), (add + 32, y), width=3),
                      box(add + 64, y, 62, 34, KEY, "norm", size=15)]  # fmt: skip
            here = add + 96
        else:
            parts += [arrow((leave, y), (leave, below), (leave + 14, below)),
                      box(leave + 46, below, 62, 34, KEY, "norm", size=15),
                      arrow((leave + 77, below), (leave + 94, below)),
                      box(leave + 156, below, 122, 34, QUERY, label, size=15),
                      arrow((leave + 218, below), (add, below), (add, y + 14)), plus(add, y)]  # fmt: skip
            here = add + 14
    if post:
        parts.append(arrow((here, y), (here + 44, y), width=3))
    else:
        parts += [arrow((here, y), (here + 64, y), width=3, colour=INK),
                  box(here + 97, y, 62, 34, KEY, "norm", size=15),
                  text(here + 97, y - 26, "once, at the end", size=14, colour=QUIET),
                  arrow((here + 128, y), (here + 172, y), width=3)]  # fmt: skip
    return parts


def draw() -> list[str]:
    """Post-norm above, pre-norm below."""
    return [
        *stream(TOP, "post-norm", "2017, BERT: every norm stands in the stream", True),
        *stream(TOP + GAP, "pre-norm", "GPT-2, LLaMA: the stream runs through untouched", False),
    ]


if __name__ == "__main__":
    title = (
        "Two streams from left to right, each with an attention and a feed-forward branch that is added back. In "
        "post-norm a norm stands in the stream after each addition. In pre-norm the norms stand on the branches, "
        "before attention and feed-forward, and one norm stands at the end of the stream"
    )
    write(__file__, 850, 350, title, draw())
