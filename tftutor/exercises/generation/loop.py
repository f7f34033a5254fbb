"""Exercise: the loop that writes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, equals, named_case
from tftutor.exercises.generation.parts import EOS, PAD, Writer


def generate(model: nn.Module, prompt: Tensor, n_new: int, eos: int) -> Tensor:
    """What the model writes after each prompt, by the likeliest token: ids (B, N).

    model: called as model(ids), returns logits (B, T, V). It has no cache.
    prompt: ids (B, T).
    A row ends with its first new `eos`; behind it stand zeros. Writing stops
    when all rows have ended, or after n_new tokens.
    """
    text = prompt
    finished = torch.zeros(len(prompt), dtype=torch.bool)
    for _ in range(n_new):
        token = model(text)[:, -1].argmax(dim=-1)
        token = token.masked_fill(finished, 0)
        text = torch.cat([text, token[:, None]], dim=1)
        finished = finished | (token == eos)
        if finished.all():
            break
    return text[:, prompt.shape[1] :]


def _cases(generator: torch.Generator) -> list[Case]:
    cases = []
    for rows, length, n_new, end, seed in ((1, 2, 3, -9.0, 0), (1, 3, 9, 1.5, 1), (3, 4, 8, 1.0, 2), (4, 2, 12, 1.5, 3),
                                           (5, 3, 6, 0.5, 4), (2, 5, 7, 1.0, 5)):  # fmt: skip
        prompt = torch.randint(3, 7, (rows, length), generator=generator)
        prompt[:, 0] = EOS if seed % 2 else 1  # an end mark in the prompt ends nothing
        cases.append(named_case(model=Writer(seed, end=end), prompt=prompt, n_new=n_new, eos=EOS))
    return cases


def _only_new(trial: Trial) -> Mismatch | None:
    rows, n_new = len(trial.args[1]), trial.args[2]
    shape = tuple(trial.output.shape)
    if len(shape) == 2 and shape[0] == rows and 1 <= shape[1] <= n_new:
        return None
    return Mismatch(f"{rows} rows of 1 to {n_new} new ids", f"shape {shape}")


def _nothing_after_the_end(trial: Trial) -> Mismatch | None:
    for row in trial.output.tolist():
        behind = row[row.index(EOS) + 1 :] if EOS in row else []
        if any(token != PAD for token in behind):
            return Mismatch("zeros behind the end mark", f"the row {row}")
    return None


def _alone(trial: Trial) -> Mismatch | None:
    model, prompt, *rest = trial.args
    for b in range(len(prompt)):
        alone = trial.call(model, prompt[b : b + 1], *rest)[0].tolist()
        row = trial.output[b].tolist()
        if row[: len(alone)] != alone or any(row[len(alone) :]):
            return Mismatch(f"row {b} as it comes out alone: {alone}", f"{row}")
    return None


def _variant(
    *, read: Callable[[Tensor, Tensor], Tensor] = lambda text, prompt: text, at: int = -1,
    flags: Callable[[Tensor, Tensor], Tensor] = torch.logical_or, pads: bool = True, stop: str = "all",
    more: int = 0, whole: bool = False, keep_end: bool = True, in_prompt: bool = False,
    pick: Callable[[Tensor], Tensor] = lambda logits: logits.argmax(dim=-1),
) -> Callable[..., Tensor]:  # fmt: skip
    """`generate` with slips."""

    def answer(model: nn.Module, prompt: Tensor, n_new: int, eos: int) -> Tensor:
        text, finished = prompt, torch.zeros(len(prompt), dtype=torch.bool)
        if in_prompt:
            finished = (prompt == eos).any(dim=1)
        for _ in range(n_new + more):
            token = pick(model(read(text, prompt))[:, at])
            ended = token == eos
            if pads:
                token = token.masked_fill(finished if keep_end else finished | ended, 0)
            text = torch.cat([text, token[:, None]], dim=1)
            finished = flags(finished, ended)
            if getattr(finished, stop)() if stop else False:
                break
        return text if whole else text[:, prompt.shape[1] :]

    return answer


def _padded_with_end(model: nn.Module, prompt: Tensor, n_new: int, eos: int) -> Tensor:
    new = generate(model, prompt, n_new, eos)
    ended = (new == eos).cumsum(dim=1) - (new == eos).long() > 0
    return new.masked_fill(ended, eos)


def _breaks_first(model: nn.Module, prompt: Tensor, n_new: int, eos: int, stop: str = "all") -> Tensor:
    text, finished = prompt, torch.zeros(len(prompt), dtype=torch.bool)
    for _ in range(n_new):
        token = model(text)[:, -1].argmax(dim=-1).masked_fill(finished, PAD)
        finished = finished | (token == eos)
        if getattr(finished, stop)():
            break
        text = torch.cat([text, token[:, None]], dim=1)
    return text[:, prompt.shape[1] :]


def _searches_all(model: nn.Module, prompt: Tensor, n_new: int, eos: int) -> Tensor:
    text = prompt
    for _ in range(n_new):
        text = torch.cat([text, model(text)[:, -1:].argmax(dim=-1)], dim=1)
        if (text == eos).any(dim=1).all():
            break
    return text[:, prompt.shape[1] :]


def _cut_afterwards(model: nn.Module, prompt: Tensor, n_new: int, eos: int) -> Tensor:
    new = _variant(pads=False, flags=lambda finished, ended: ended)(model, prompt, n_new, eos)
    ended = (new == eos).cumsum(dim=1) - (new == eos).long() > 0
    return new.masked_fill(ended, PAD)


def _in_front(model: nn.Module, prompt: Tensor, n_new: int, eos: int) -> Tensor:
    text, finished = prompt, torch.zeros(len(prompt), dtype=torch.bool)
    for _ in range(n_new):
        token = model(text)[:, -1].argmax(dim=-1).masked_fill(finished, PAD)
        text = torch.cat([token[:, None], text], dim=1)
        finished = finished | (token == eos)
        if finished.all():
            break
    return text[:, : text.shape[1] - prompt.shape[1]]


GREEDY = Exercise(
    id="generation/greedy",
    title="The loop",
    answer="generate",
    solution=generate,
    cases=_cases,
    properties=(
        Property(sentence="it returns the new ids, at most n_new of them", test=_only_new,
                 hint="count the columns: what of the text is new?"),
        Property(sentence="behind the end mark of a row stand zeros", test=_nothing_after_the_end,
                 hint="rows end at different times: who remembers which of them have ended?"),
        Property(sentence="each row comes out as it does alone", test=_alone,
                 hint="does a row depend on who else is in the batch, or on chance? It should depend on neither"),
        equals("it equals a loop that reads everything for every token", generate,
               hint="print what the model reads in each round, and which of its outputs you use"),
    ),
    wrong=(
        Wrong(name="logits of position 0", answer=_variant(at=0),
              hint="these logits say what follows the first id: which position predicts what comes next?"),
        Wrong(name="only the last token", answer=_variant(read=lambda text, prompt: text[:, -1:]),
              hint="this model has no cache: what it is not given now it does not know"),
        Wrong(name="only the prompt", answer=_variant(read=lambda text, prompt: prompt),
              hint="the model reads the same in every round: what has been written must be read as well"),
        Wrong(name="only what is new", answer=_variant(
              read=lambda text, prompt: text[:, prompt.shape[1] :] if text.shape[1] > prompt.shape[1] else prompt),
              hint="after the first round the prompt is forgotten: the model needs all of the text"),
        Wrong(name="goes on after the end", answer=_variant(pads=False),
              hint="a row that has ended keeps writing while it waits for the others"),
        Wrong(name="the end mark means nothing", answer=_variant(pads=False, stop=""),
              hint="n_new is only the limit: who looks for the end mark?"),
        Wrong(name="stops with the first row", answer=_variant(stop="any"),
              hint="one row has ended and all the others were cut off with it"),
        Wrong(name="never stops early", answer=_variant(stop=""),
              hint="the rows are right, but when all have ended there is nothing left to compute"),
        Wrong(name="the prompt as well", answer=_variant(whole=True),
              hint="the text is right; only the part that the model has written is asked for"),
        Wrong(name="one too many", answer=_variant(more=1), hint="this writes one token more than is allowed"),
        Wrong(name="one too few", answer=_variant(more=-1),
              hint="this writes one token less than it may: count the rounds"),
        Wrong(name="the limit counts the prompt", answer=lambda model, prompt, n_new, eos: generate(
              model, prompt, max(0, n_new - prompt.shape[1]), eos),
              hint="n_new counts what is new: the prompt does not use it up"),
        Wrong(name="breaks before it appends", answer=_breaks_first,
              hint="the round in which the last row ends is thrown away, end mark and all: append first, then look "
                   "whether to stop"),
        Wrong(name="breaks at the first end, before it appends", answer=lambda *given: _breaks_first(
              *given, stop="any"),
              hint="when the first row ends, its round is thrown away and all the others are cut off"),
        Wrong(name="searches the prompt too", answer=_searches_all,
              hint="the end mark is looked for in all of the text, and the prompt may hold an old one"),
        Wrong(name="cut afterwards", answer=_cut_afterwards,
              hint="the rows are right, cut off behind their ends; but the loop stops only if all end in the same "
                   "round, so there are columns of zeros"),
        Wrong(name="new ids in front", answer=_in_front,
              hint="new ids are put before the text: it grows on the right, where the last position is"),
        Wrong(name="a column for each row", answer=lambda *given: generate(*given).T,
              hint="rows and columns have changed places: stack the rounds along axis 1"),
        Wrong(name="the end mark is lost", answer=_variant(keep_end=False),
              hint="the end mark belongs to the text: only what is behind it becomes zero"),
        Wrong(name="forgets who has ended", answer=_variant(flags=lambda finished, ended: ended),
              hint="a row that has ended wakes up one round later: an end is for good"),
        Wrong(name="an end mark in the prompt", answer=_variant(in_prompt=True),
              hint="an end mark in the prompt is old: only one that the model writes ends the row"),
        Wrong(name="ends only together", answer=_variant(pads=False, flags=lambda finished, ended: ended),
              hint="rows rarely end in the same round: remember those that have ended, and stop when all have"),
        Wrong(name="padded with the end mark", answer=_padded_with_end,
              hint="a row ends once: behind its end mark stand zeros, not more end marks"),
        Wrong(name="one round", answer=lambda model, prompt, n_new, eos: model(prompt)[:, -1].argmax(dim=-1),
              hint="this is the first new token of each row: what about the next?"),
        Wrong(name="all positions at once", answer=lambda model, prompt, n_new, eos: model(prompt).argmax(dim=-1),
              hint="these are guesses for tokens that are known already, and one that is new: a text is written round "
                   "by round"),
        Wrong(name="logits", answer=lambda model, prompt, n_new, eos: model(prompt),
              hint="these are the logits for the prompt: choose a token, append it, and go round again"),
        Wrong(name="least likely", answer=_variant(pick=lambda logits: logits.argmin(dim=-1)),
              hint="nothing but zeros: is the smallest logit taken for the likeliest, or are rows silenced before they "
                   "have ended?"),
        Wrong(name="logits of the position before", answer=_variant(at=-2),
              hint="these logits have not seen the last id yet: they predict it"),
        Wrong(name="one choice for all rows", answer=_variant(
              pick=lambda logits: logits.sum(dim=0).argmax().expand(len(logits))),
              hint="all rows write the same: every row has logits of its own"),
        Wrong(name="the first row alone", answer=_variant(pick=lambda logits: logits[0].argmax().expand(len(logits))),
              hint="the first row decides for all of them: each has its own likeliest token"),
    ),
    notice="Each round reads the whole text again. A cache changes what that costs, not what comes out.",
)  # fmt: skip
