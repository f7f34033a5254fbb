"""Draw one encoder-decoder that is asked in six ways. Run: python images/t5_one_model.py."""

from __future__ import annotations

from svg import KEY, QUERY, QUIET, VALUE, arrow, box, text, write

ROWS = [
    ("pronounce:", "school", "S K UW L"),
    ("spell:", "S K UW L", "school"),
    ("syllables:", "water", "2"),
    ("stress:", "about", "2"),
    ("rhyme:", "school", "cool"),
    ("fill:", "sch<0>l", "<0>oo<1>"),
]


def parts() -> list[str]:
    """Questions on the left, the model in the middle, answers on the right."""
    made = [text(150, 36, "text in", size=18, bold=True), text(770, 36, "text out", size=18, bold=True)]
    for i, (prefix, content, answer) in enumerate(ROWS):
        y = 74 + 46 * i
        made += [box(92, y, 120, 34, KEY, prefix), box(214, y, 112, 34, QUERY, content),
                 box(770, y, 150, 34, VALUE, answer),
                 arrow((276, y), (352, 189 + (y - 189) * 0.45), colour=QUIET, width=1.4),
                 arrow((618, 189 + (y - 189) * 0.45), (690, y), colour=QUIET, width=1.4)]  # fmt: skip
    made += [box(420, 189, 120, 190, QUIET), box(550, 189, 120, 190, QUIET),
             text(420, 180, "encoder", size=18, bold=True), text(420, 204, "reads it all", size=15, colour=QUIET),
             text(550, 180, "decoder", size=18, bold=True), text(550, 204, "writes", size=15, colour=QUIET),
             text(485, 318, "the same weights for every row", size=16)]  # fmt: skip
    return made


if __name__ == "__main__":
    title = (
        "Six written questions on the left, each a prefix and a content, lead into one encoder and one decoder; six "
        "answers leave on the right: sounds, letters, numbers, a rhyme, and the letters of a gap"
    )
    write(__file__, 900, 348, title, parts())
