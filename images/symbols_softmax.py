"""Draw what a shift and a temperature do to a softmax. Run: python images/symbols_softmax.py."""

from __future__ import annotations

import math

from svg import KEY, PALE, QUIET, VALUE, text, write

NAMES, LOGITS = ("EH", "IY", "EY", "AA"), (3.0, 2.6, 0.5, -1.0)
CASES = (("logits z", 0.0, 1.0), ("z + 2", 2.0, 1.0), ("z / 0.5", 0.0, 0.5))


def panel(left: float, title: str, shift: float, temperature: float) -> list[str]:
    """Logits above, probabilities below."""
    z = [(logit + shift) / temperature for logit in LOGITS]
    log_z = math.log(sum(math.exp(x) for x in z))
    p = [math.exp(x - log_z) for x in z]
    zero, ground = 146, 330
    parts = [text(left + 92, 34, title, size=18, bold=True),
             f'<path d="M{left} {zero} H{left + 188}" stroke="{QUIET}"/>',
             f'<path d="M{left} {ground} H{left + 188}" stroke="{QUIET}"/>']  # fmt: skip
    for i, (name, logit, share) in enumerate(zip(NAMES, z, p, strict=True)):
        x, height = left + 8 + 46 * i, 13 * logit
        top = zero - max(height, 0)
        parts += [
            f'<rect x="{x}" y="{top:g}" width="34" height="{abs(height):g}" fill="{PALE[KEY]}" stroke="{KEY}"/>',
            text(x + 17, top - 5 if logit > 0 else zero - 5, f"{logit:.1f}".replace("-", "−"), size=13),
            f'<rect x="{x}" y="{ground - 110 * share:g}" width="34" height="{110 * share:g}" fill="{VALUE}"/>',
            text(x + 17, ground - 110 * share - 5, f"{share:.2f}", size=13),
            text(x + 17, ground + 18, name, size=14, bold=True),
        ]
    parts.append(text(left + 92, 204, f"log Z = {log_z:.2f}", size=15, colour=QUIET))
    return parts


if __name__ == "__main__":
    title = (
        "Three pairs of bar charts, logits above and probabilities below. Adding 2 to all logits raises log Z by 2 and "
        "leaves the probabilities as they were; dividing all logits by 0.5 makes the largest probability larger"
    )
    write(__file__, 680, 368, title, [part for i, case in enumerate(CASES) for part in panel(30 + 218 * i, *case)])
