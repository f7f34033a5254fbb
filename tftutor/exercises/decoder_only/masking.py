"""Exercise: the mask of a prefix language model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, equals, named_case
from tftutor.exercises.values import read_mask


def prefix_lm_mask(prefix: Tensor, length: int) -> Tensor:
    """Who may look at whom in a prefix language model.

    prefix: int64 (B,), so many first tokens of each row are the prompt.
    length: tokens in a row, T; there is no padding.
    Returns bool (B, T, T): entry [b, i, j] is True where token i of row b may
    look at token j.
    """
    place = torch.arange(length)
    in_prompt = place < prefix[:, None, None]  # (B, 1, T): keys of the prompt
    return in_prompt | (place <= place[:, None])


def _cases(_generator: torch.Generator) -> list[Case]:
    sizes = (((2, 3), 4), ((3, 1, 4), 6), ((2, 5, 0, 7, 3), 7))
    return [named_case(prefix=torch.tensor(prefix), length=length) for prefix, length in sizes]


def _shape(trial: Trial) -> Mismatch | None:
    prefix, length = trial.args
    got = tuple(trial.output.shape)
    want = (len(prefix), length, length)
    return None if got == want else Mismatch(f"shape {want}", f"shape {got}")


def _answers_hidden(trial: Trial) -> Mismatch | None:
    """No token sees a later one that is not part of the prompt."""
    prefix, length = trial.args
    ahead = torch.ones(length, length, dtype=torch.bool).triu(1) & (torch.arange(length) >= prefix[:, None, None])
    return compare(trial.output & ahead, torch.zeros_like(trial.output))


def _keys(prefix: Tensor, length: int) -> Tensor:
    return (torch.arange(length) < prefix[:, None, None]).expand(-1, length, -1)


def _causal(prefix: Tensor, length: int) -> Tensor:
    return torch.ones(len(prefix), length, length, dtype=torch.bool).tril()


def _same_side(prefix: Tensor, length: int) -> Tensor:
    return _keys(prefix, length) == _keys(prefix, length).mT


def _wrong(name: str, hint: str, answer: Callable[[Tensor, int], Tensor]) -> Wrong:
    return Wrong(name=name, hint=hint, answer=answer)


PREFIX_LM_MASK = Exercise(
    id="decoder-only/prefix-lm-mask",
    title="The mask of a prefix language model",
    answer="prefix_lm_mask",
    solution=prefix_lm_mask,
    cases=_cases,
    read=read_mask,
    properties=(
        Property(sentence="there is one square of queries and keys for each row", test=_shape,
                 hint="compare one number for each row with T places: which axes does the result have?"),
        Property(sentence="nobody sees a later token that is not part of the prompt", test=_answers_hidden,
                 hint="the target has to be written without being seen: which entries above the diagonal may be True?"),
        equals("the prompt is seen by all, the target from its own place on", prefix_lm_mask,
               hint="write the square of a prompt of two and a target of two tokens by hand"),
    ),
    wrong=(
        _wrong("fully bidirectional", "everybody sees everything, so the target reads its own answers: only the prompt "
               "is read in both directions", lambda p, n: torch.ones(len(p), n, n, dtype=torch.bool)),
        _wrong("causal", "that is the causal mask: inside the prompt, may the first token see the last?", _causal),
        _wrong("queries of the prompt see all", "you give the tokens of the prompt every key, the answers too: it is "
               "as keys that tokens of the prompt are open to all", lambda p, n: _keys(p, n).mT | _causal(p, n)),
        _wrong("two blocks", "prompt and target each keep to themselves: what should the target be written from?",
               lambda p, n: (_keys(p, n) & _keys(p, n).mT) | (_causal(p, n) & ~_keys(p, n))),
        _wrong("the target sees the prompt only", "a token of the target may see the target before it as well, and "
               "itself", lambda p, n: _keys(p, n) | (_causal(p, n) & _keys(p, n))),
        _wrong("both conditions", "you ask for a key of the prompt AND one that is not ahead; either is enough",
               lambda p, n: _keys(p, n) & _causal(p, n)),
        _wrong("one too many", "the key at place `prefix` is the first of the target: your prompt is one token too "
               "long", lambda p, n: prefix_lm_mask(p + 1, n)),
        _wrong("one too few", "the last token of the prompt is left out: `prefix` counts tokens, and places begin at 0",
               lambda p, n: prefix_lm_mask((p - 1).clamp(min=0), n)),
        _wrong("not itself", "a token of the target may see itself: its answer is the next one",
               lambda p, n: _keys(p, n) | _causal(p, n).tril(-1)),
        _wrong("one ahead", "the triangle is one diagonal too large: the target sees the very token it has to name",
               lambda p, n: _keys(p, n) | torch.ones(len(p), n, n, dtype=torch.bool).tril(1)),
        _wrong("turned", "queries and keys have changed places: rows ask, columns are asked",
               lambda p, n: prefix_lm_mask(p, n).mT),
        _wrong("the future", "the target sees what comes after it in place of what came before",
               lambda p, n: _keys(p, n) | _causal(p, n).mT),
        _wrong("blocked", "True means blocked in your mask; here it means that one may look",
               lambda p, n: ~prefix_lm_mask(p, n)),
        _wrong("the first row's prompt", "all rows get the prompt of the first one, but prompts differ in length",
               lambda p, n: prefix_lm_mask(p[:1].expand(len(p)), n)),
        _wrong("the longest prompt", "all rows get the longest prompt, and shorter rows see a part of their answers",
               lambda p, n: prefix_lm_mask(p.max().expand(len(p)), n)),
        _wrong("the shortest prompt", "all rows get the shortest prompt; each has its own",
               lambda p, n: prefix_lm_mask(p.min().expand(len(p)), n)),
        _wrong("one square", "one square for all rows: prompts differ in length, so each row needs its own",
               lambda p, n: prefix_lm_mask(p[:1], n)[0]),
        _wrong("an axis of heads", "the axes asked for are rows, queries, keys: yours has one more",
               lambda p, n: prefix_lm_mask(p, n)[:, None]),
        _wrong("same side", "a token sees its own side, whichever it is: then the target sees all of the target, and "
               "none of the prompt", _same_side),
        _wrong("same side or earlier", "inside the target too everybody sees everybody: only the prompt is read in "
               "both directions", lambda p, n: _same_side(p, n) | _causal(p, n)),
        _wrong("prompt apart", "the prompt is read in both directions; the target sees itself and the prompt's first "
               "token alone", lambda p, n: (_keys(p, n) & _keys(p, n).mT) | (_causal(p, n) & ~_keys(p, n))
               | (_keys(p, n) & (torch.arange(n) == 0))),
        _wrong("prefix counted from the end", "you count the prompt from the end of the row; it stands at the "
               "beginning", lambda p, n: prefix_lm_mask(n - p, n)),
        _wrong("exclusive or", "^ is true where exactly one of the two holds; where both hold one may look as well",
               lambda p, n: _keys(p, n) ^ _causal(p, n)),
        _wrong("the prompt at the end", "the last tokens are open to all in your mask; the prompt is the first ones",
               lambda p, n: (torch.arange(n) >= n - p[:, None, None]) | _causal(p, n)),
        _wrong("rows of the prompt", "you open whole rows, so tokens of the prompt see everything and the others "
               "nothing; open columns", lambda p, n: _keys(p, n).mT.expand(-1, n, n)),
        _wrong("the prompt to itself alone", "tokens of the target see nothing at all in your mask: what do they see "
               "in a causal one?", lambda p, n: _keys(p, n) & _keys(p, n).mT),
        _wrong("the prompt and itself", "a token of the target sees itself alone; it is written from the prompt and "
               "from the target before it",
               lambda p, n: (_keys(p, n) & _keys(p, n).mT) | torch.eye(n, dtype=torch.bool)),
        _wrong("the last row's prompt", "all rows get the prompt of the last one, but prompts differ in length",
               lambda p, n: prefix_lm_mask(p[-1:].expand(len(p)), n)),
        _wrong("parts swapped", "it is the target that is read in both directions in your mask, and the prompt that is "
               "causal", lambda p, n: _causal(p, n) | (~_keys(p, n) & ~_keys(p, n).mT)),
        _wrong("nobody itself", "no token sees itself in your mask; it stands at its own place, which is not ahead",
               lambda p, n: prefix_lm_mask(p, n) & ~torch.eye(n, dtype=torch.bool)),
    ),
    notice="With a prefix of 0 or 1 this is the causal mask, and with a prefix of T it is BERT's.",
)  # fmt: skip
