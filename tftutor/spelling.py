"""What models of spellings are for: filling a hidden letter, scoring a word, inventing one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tftutor.data.cloze import CLOZE, GAP, MASK, Words, word_rows
from tftutor.data.vocabulary import BOS, EOS, LETTERS, SPECIAL_SYMBOLS
from tftutor.decoding import inference, sample
from tftutor.models import GPT, Bert

_FIRST = len(SPECIAL_SYMBOLS)
LETTER_LIST = LETTERS.symbols[_FIRST:]
"""The 29 letters, in the order of the columns that these functions return."""


def fill_probabilities(model: GPT | Bert, word: str) -> Tensor:
    """How likely each letter is in each gap of `word`, such as sch??l: (gaps, 29).

    A `Bert` sees both sides of every gap, and fills each as if the others stayed empty. A `GPT` sees what is to the
    left of the gap, so it takes one gap only. Only letters share the probability, as if the word could not end.
    """
    asked = word_rows([word])
    places = (asked.tokens[0] == MASK).nonzero()[:, 0]
    if isinstance(model, GPT) and len(places) != 1:
        raise ValueError(f"word: expected one {GAP!r} for a GPT, got {word!r}")
    if not len(places):
        raise ValueError(f"word: expected at least one {GAP!r}, got {word!r}")
    with inference(model):
        if isinstance(model, GPT):
            logits = model(asked.tokens[:, : int(places[0])])[0, -1:]
        else:
            logits = model(asked.tokens, valid=asked.valid)[0, places]
    return logits[:, _FIRST:MASK].float().softmax(dim=1)


def log_likelihoods(model: GPT, words: Sequence[str], *, batch_size: int = 500) -> Tensor:
    """The log-probability a `GPT` gives each whole word, its end included, in nats: (N,)."""
    asked, found = word_rows(words), []
    with inference(model):
        for tokens, valid in zip(asked.tokens.split(batch_size), asked.valid.split(batch_size), strict=True):
            log_probs = model(tokens[:, :-1], valid=valid[:, 1:]).float().log_softmax(dim=-1)
            each = log_probs.gather(2, tokens[:, 1:, None])[..., 0]
            found.append((each * valid[:, 1:]).sum(dim=1))
    return torch.cat(found)


def pseudo_log_likelihood(model: Bert, word: str) -> float:
    """The sum over the letters of `word` of log P(letter | all the others): one pass with one gap for each.

    Source: Besag 1975, "Statistical Analysis of Non-Lattice Data"; for BERT: Salazar et al. 2020, section 2.
    """
    if not word or GAP in word:
        raise ValueError(f"word: expected letters without a {GAP!r}, got {word!r}")
    gaps = word_rows([word[:i] + GAP + word[i + 1 :] for i in range(len(word))])
    answers = torch.tensor(CLOZE.encode(word))
    at = torch.arange(len(word))
    with inference(model):
        logits = model(gaps.tokens, valid=gaps.valid)[at, at + 1]
    return float(logits[:, _FIRST:MASK].float().log_softmax(dim=1)[at, answers - _FIRST].sum())


def try_every_letter(model: GPT, word: str) -> Tensor:
    """How likely each letter is in the one gap of `word`, by a `GPT` that scores all 29 whole words: (29,)."""
    if word.count(GAP) != 1:
        raise ValueError(f"word: expected one {GAP!r}, got {word!r}")
    return log_likelihoods(model, [word.replace(GAP, letter) for letter in LETTER_LIST]).softmax(dim=0)


def beliefs(model: Bert, words: Sequence[str], *, seed: int = 0) -> tuple[float, float]:
    """How likely a letter is to a `Bert` that can see it: where it is right, and where it is not.

    In each word one letter, drawn at random, is replaced by another one of a to z; no letter is hidden. The two numbers
    are means of the probability given to the letter that stands there, before and after.
    """
    draw, rows = torch.Generator().manual_seed(seed), word_rows(words)
    at = torch.arange(len(words))
    place = 1 + (torch.rand(len(at), generator=draw) * rows.letters.sum(dim=1)).long()
    step = torch.randint(1, 26, (len(at),), generator=draw)  # from a letter to another one, around the alphabet
    wrong = rows.tokens.index_put((at, place), _FIRST + (rows.tokens[at, place] - _FIRST + step) % 26)
    means = []
    with inference(model):
        for tokens in (rows.tokens, wrong):
            chances = model(tokens, valid=rows.valid)[at, place].float().softmax(dim=1)
            means.append(float(chances[at, tokens[at, place]].mean()))
    return means[0], means[1]


def fill_accuracy(model: GPT | Bert, words: Sequence[str], *, batch_size: int = 1000) -> float:
    """Share of the letters of `words` that a model finds when each is hidden alone.

    `Bert` sees both sides, `GPT` the left one; both choose among letters.
    """
    asked = word_rows(words)
    row, column = asked.letters.nonzero(as_tuple=True)
    right = 0
    with inference(model):
        for i, j in zip(row.split(batch_size), column.split(batch_size), strict=True):
            logits = _letter_logits(model, Words(asked.tokens[i], asked.valid[i]), j)
            right += int((logits.argmax(dim=1) + _FIRST == asked.tokens[i, j]).sum())
    return right / len(row)


def fill_accuracy_by_trying(model: GPT, words: Sequence[str]) -> float:
    """The same for a `GPT` that compares all 29 whole words; 29 times the work."""
    right = total = 0
    for word in words:
        tries = [word[:i] + letter + word[i + 1 :] for i in range(len(word)) for letter in LETTER_LIST]
        best = log_likelihoods(model, tries).view(len(word), len(LETTER_LIST)).argmax(dim=1).tolist()
        right += sum(LETTER_LIST[choice] == letter for choice, letter in zip(best, word, strict=True))
        total += len(word)
    return right / total


def _letter_logits(model: GPT | Bert, asked: Words, place: Tensor) -> Tensor:
    """Logits (B, 29) for the letter at `place` (B,) of each row."""
    at = torch.arange(len(place))
    if isinstance(model, Bert):
        hidden = asked.tokens.index_put((at, place), torch.tensor(MASK))
        logits = model(hidden, valid=asked.valid)[at, place]
    else:
        logits = model(asked.tokens[:, :-1], valid=asked.valid[:, 1:])[at, place - 1]
    return logits[:, _FIRST:MASK]


def invent(model: GPT, count: int, *, temperature: float = 0.8, max_letters: int = 20, seed: int = 0) -> list[str]:
    """`count` words drawn letter by letter from a `GPT`; they may exist."""
    prompt = torch.full((count, 1), BOS)
    generator = torch.Generator().manual_seed(seed)
    drawn = sample(model, prompt, model.new_state(count), max_new_tokens=max_letters, eos_id=EOS,
                   temperature=temperature, generator=generator)  # fmt: skip
    return ["".join(CLOZE.decode(row)) for row in drawn.tokens]
