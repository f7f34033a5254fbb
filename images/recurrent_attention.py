"""Draw an LSTM with attention, wrong and right. Run: python images/recurrent_attention.py."""

from __future__ import annotations

from recurrent_popular import network
from svg import INK, QUIET, text, write


def draw() -> list[str]:
    """The popular drawing on the left, the corrected one on the right."""
    return [
        *network(10, every_state=False, letters=False),
        *network(400, every_state=True, letters=False),
        f'<path d="M370 30 V400" stroke="{QUIET}" stroke-dasharray="4 5"/>',
        text(163, 406, "wrong: one state to choose from", size=16, bold=True, colour=INK),
        text(553, 406, "right: all states, of both directions", size=16, bold=True, colour=INK),
    ]


if __name__ == "__main__":
    title = (
        "Two networks. Left: only the encoder's last state goes into attention. Right: every state of a bidirectional "
        "encoder does"
    )
    write(__file__, 740, 428, title, draw())
