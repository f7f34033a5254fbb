"""Exercise: where kept tokens stand in a sliding cache with sinks."""

from __future__ import annotations

import torch
from torch import Tensor

from tftutor.exercises.exercise import Case, Exercise, Mismatch, Property, Trial, Wrong, compare, has_shape, named_case
from tftutor.exercises.values import show


def cache_positions(n_tokens: int, window: int, sinks: int) -> Tensor:
    """Positions inside a cache of the first `sinks` and the latest `window` tokens.

    n_tokens: tokens that are read, one after the other.
    window: how many of the latest are kept, the one being read included.
    sinks: how many of the first are kept as well (0: none).
    Returns whole numbers (n_tokens, n_tokens): in row t, when token t has just
    been read, the position of each token s: the number of kept tokens before
    it. -1 where s is not kept, or not read yet.
    """
    t, s = torch.arange(n_tokens)[:, None], torch.arange(n_tokens)
    evicted = (t + 1 - sinks - window).clamp(min=0)
    kept = (s <= t) & ((s < sinks) | (s >= sinks + evicted))
    return torch.where(s < sinks, s, s - evicted).masked_fill(~kept, -1)


def _variant(n: int, window: int, sinks: int, *, renumber: bool = True, future: bool = False, shift_sinks: bool = False,
             age: bool = False) -> Tensor:  # fmt: skip
    """The right answer with one thing different."""
    t, s = torch.arange(n)[:, None], torch.arange(n)
    evicted = (t + 1 - sinks - window).clamp(min=0)
    kept = ((s <= t) | future) & ((s < sinks) | (s >= sinks + evicted))
    inside = s - evicted if shift_sinks else torch.where(s < sinks, s, s - evicted)
    if age:
        inside = t - s
    return (inside if renumber else s.expand(n, n)).masked_fill(~kept, -1)


def _ring(n: int, window: int, sinks: int) -> Tensor:
    """Slots of a ring buffer in the place of positions."""
    s = torch.arange(n).expand(n, n)
    slot = torch.where(s < sinks, s, sinks + (s - sinks) % window)
    return slot.masked_fill(cache_positions(n, window, sinks) < 0, -1)


def _dense(kept: Tensor) -> Tensor:
    """Positions 0, 1, 2, ... of those who are kept in each row."""
    return (kept.long().cumsum(dim=1) - 1).masked_fill(~kept, -1)


def _reversed(n: int, window: int, sinks: int) -> Tensor:
    """The newest token at position 0."""
    right = cache_positions(n, window, sinks)
    return torch.where(right >= 0, right.amax(dim=1, keepdim=True) - right, -1)


def _sinks_last(n: int, window: int, sinks: int) -> Tensor:
    """The window first, the sinks behind it."""
    right, s = cache_positions(n, window, sinks), torch.arange(n)
    here = (right >= 0).sum(dim=1, keepdim=True)
    first = here.clamp(max=sinks)
    return torch.where(right >= 0, torch.where(s < sinks, here - first + s, right - first), -1)


def _shifted(n: int, window: int, sinks: int) -> Tensor:
    """The window moves up although there are seats for the sinks."""
    right, t, s = cache_positions(n, window, sinks), torch.arange(n)[:, None], torch.arange(n)
    evicted = (t + 1 - window).clamp(min=0)
    return torch.where(s < sinks, s, s - evicted).masked_fill(right < 0, -1)


def _unclamped(n: int, window: int, sinks: int) -> Tensor:
    """A negative number of evicted tokens while the cache is filling."""
    t, s = torch.arange(n)[:, None], torch.arange(n)
    evicted = t + 1 - sinks - window
    return torch.where(s < sinks, s, s - evicted).masked_fill(~_kept(n, window, sinks), -1)


def _evicting(n: int, limit: int, leaves: int) -> Tensor:
    """A list of at most `limit` tokens, of which the one at place `leaves` goes when it is too long."""
    out, cache = torch.full((n, n), -1), []
    for t in range(n):
        cache.append(t)
        if len(cache) > limit:
            cache.pop(max(-len(cache), min(leaves, len(cache) - 1)))
        out[t, cache] = torch.arange(len(cache))
    return out


def _as_entered(n: int, window: int, sinks: int) -> Tensor:
    """Each token keeps the position that it had when it came."""
    right = cache_positions(n, window, sinks)
    return torch.where(right >= 0, right.diagonal(), -1)


def _left_behind(n: int, window: int, sinks: int) -> Tensor:
    """Those who were evicted keep their last position."""
    out = cache_positions(n, window, sinks)
    for t in range(1, n):
        out[t] = torch.where(out[t] >= 0, out[t], out[t - 1])
    return out


def _packed(n: int, window: int, sinks: int) -> Tensor:
    """In each row the kept tokens' numbers, one after the other."""
    out = torch.full((n, n), -1)
    for t, row in enumerate(cache_positions(n, window, sinks) >= 0):
        out[t, : row.sum()] = row.nonzero().flatten()
    return out


def _kept(n: int, window: int, sinks: int, *, ahead: bool = False) -> Tensor:
    """Which tokens stay, (n, n); `ahead`: the sinks are there from the beginning."""
    t, s = torch.arange(n)[:, None], torch.arange(n)
    return ((s < sinks) & ((s <= t) | ahead)) | ((s <= t) & (t - s < window))


def _firsts(n: int, size: int) -> Tensor:
    """A cache that takes in the first `size` tokens and then nobody."""
    t, s = torch.arange(n)[:, None], torch.arange(n)
    return s.expand(n, n).masked_fill((s > t) | (s >= size), -1)


def _cases(generator: torch.Generator) -> list[Case]:
    settings = ((3, 2, 0), (4, 2, 1), (6, 3, 1), (9, 4, 2), (11, 3, 4), (5, 7, 1), (8, 1, 0))
    return [named_case(n_tokens=n, window=window, sinks=sinks) for n, window, sinks in settings]


def _read_so_far(trial: Trial) -> Mismatch | None:
    ahead = torch.ones_like(trial.output, dtype=torch.bool).triu(1)
    wrong = (trial.output >= 0) & ahead
    return Mismatch("-1 for tokens not read yet", "another position there") if bool(wrong.any()) else None


def _right_tokens(trial: Trial) -> Mismatch | None:
    right = cache_positions(*trial.args) >= 0
    differs = ((trial.output >= 0) != right).any(dim=1).nonzero()
    if not len(differs):
        return None
    t = int(differs[0])
    rows = [row[t].nonzero().flatten() for row in (right, trial.output >= 0)]
    return Mismatch(f"in row {t} the tokens {show(rows[0])} kept", show(rows[1]))


def _contiguous(trial: Trial) -> Mismatch | None:
    for t, row in enumerate(trial.output):
        here = row[row >= 0].sort().values
        if not torch.equal(here, torch.arange(len(here), dtype=here.dtype)):
            return Mismatch(f"in row {t} the positions {show(torch.arange(len(here)))}", show(here))
    return None


def _in_order(trial: Trial) -> Mismatch | None:
    return compare(cache_positions(*trial.args), trial.output)


CACHE_POSITIONS = Exercise(
    id="lengths/cache-positions",
    title="Positions inside a sliding cache",
    answer="cache_positions",
    solution=cache_positions,
    cases=_cases,
    properties=(
        has_shape("a row for each token read, a column for each token", lambda n, window, sinks: (n, n)),
        Property(sentence="tokens not read yet have no position", test=_read_so_far,
                 hint="when token t is read, which columns lie ahead of it?"),
        Property(sentence="the first and the latest tokens are kept, and no others", test=_right_tokens,
                 hint="take n_tokens = 6, window = 3, sinks = 1: write down who is left in the last row"),
        Property(sentence="positions in a row are 0, 1, 2, ... without a gap", test=_contiguous,
                 hint="count only who is there: the number of kept tokens before this one"),
        Property(sentence="they follow the order of the text", test=_in_order,
                 hint="compare the last row with a list of the kept tokens, oldest first"),
    ),
    wrong=(
        Wrong(name="positions of the text", answer=lambda n, w, k: _variant(n, w, k, renumber=False),
              hint="the right tokens, at their places in the text: these grow without end, and that is what a sliding "
                   "cache must avoid"),
        Wrong(name="window one short", answer=lambda n, w, k: cache_positions(n, w - 1, k),
              hint="a token is missing in the long rows: the window counts the token being read as well"),
        Wrong(name="window one long", answer=lambda n, w, k: cache_positions(n, w + 1, k),
              hint="one token too many is kept: the token being read is one of the window"),
        Wrong(name="sinks inside the window", answer=lambda n, w, k: cache_positions(n, max(w - k, 0), k),
              hint="the sinks have taken seats of the window: they are kept besides it"),
        Wrong(name="no sinks", answer=lambda n, w, k: cache_positions(n, w + k, 0),
              hint="the size of the cache is right, but the first tokens have left it"),
        Wrong(name="sinks forgotten", answer=lambda n, w, k: cache_positions(n, w, 0),
              hint="only the window is left: where have the first tokens gone?"),
        Wrong(name="future kept", answer=lambda n, w, k: _variant(n, w, k, future=True),
              hint="columns beyond t have positions: those tokens have not been read yet"),
        Wrong(name="sinks moved too", answer=lambda n, w, k: _variant(n, w, k, shift_sinks=True),
              hint="the sinks are moved along with the window and fall below 0: nobody before them is evicted, so they "
                   "keep their positions"),
        Wrong(name="age", answer=lambda n, w, k: _variant(n, w, k, age=True),
              hint="this is how long ago a token was read: positions count from the first kept token"),
        Wrong(name="ring", answer=_ring,
              hint="these look like slots of a ring buffer, where new tokens overwrite old ones: a position counts the "
                   "kept tokens that come before in the text"),
        Wrong(name="a mask", answer=lambda n, w, k: cache_positions(n, w, k) >= 0,
              hint="True and False tell who is kept: asked is where it stands"),
        Wrong(name="zeros for the evicted", answer=lambda n, w, k: cache_positions(n, w, k).clamp(min=0),
              hint="tokens that are not there seem to stand at position 0, like a real one: mark them by -1"),
        Wrong(name="counted from one",
              answer=lambda n, w, k: (p := cache_positions(n, w, k)) + (p >= 0).long(),
              hint="the first kept token has no kept token before it: counting starts at 0"),
        Wrong(name="transposed", answer=lambda n, w, k: cache_positions(n, w, k).T,
              hint="rows and columns are exchanged: a row is a moment of reading, a column a token"),
        Wrong(name="nobody evicted", answer=lambda n, w, k: cache_positions(n, n, 0),
              hint="every token read so far is still there: who has to leave when the cache is full?"),
        Wrong(name="the first stay", answer=lambda n, w, k: _firsts(n, w + k),
              hint="the cache fills up and takes nobody in any more: it is the oldest that leave, sinks excepted"),
        Wrong(name="counted in the window alone", answer=lambda n, w, k: torch.where(
                  (p := cache_positions(n, w, k)) >= k, p - k, p),
              hint="sinks and window both count from 0, so that two kept tokens share a position"),
        Wrong(name="remainders", answer=lambda n, w, k: (torch.arange(n).expand(n, n) % (w + k)).masked_fill(
                  cache_positions(n, w, k) < 0, -1),
              hint="remainders jump back to 0 in mid-window: neighbours in the text must stay neighbours"),
        Wrong(name="newest first", answer=_reversed,
              hint="counted from the wrong end: the oldest kept token stands at 0"),
        Wrong(name="sinks behind the window", answer=_sinks_last,
              hint="the sinks stand behind the window here: they come first in the text, and so in the cache"),
        Wrong(name="sinks not counted among the seats", answer=lambda n, w, k: _shifted(n, w, k),
              hint="the window moves up too early: nobody is evicted before sinks and window are both full"),
        Wrong(name="position on entering", answer=_as_entered,
              hint="each token keeps the position it had when it came: with every eviction those behind it move up"),
        Wrong(name="the evicted linger", answer=_left_behind,
              hint="tokens that have left still show their last position: mark them by -1"),
        Wrong(name="fewer than nobody", answer=_unclamped,
              hint="while the cache is filling, nobody has been evicted yet: a negative number of the evicted moves "
                   "the first tokens up"),
        Wrong(name="the newest but one leaves", answer=lambda n, w, k: _evicting(n, w + k, -2),
              hint="a late token leaves and an early one stays: in the window it is the oldest that goes"),
        Wrong(name="the second of the window leaves", answer=lambda n, w, k: _evicting(n, w + k, k + 1),
              hint="one place too far: who is the oldest token behind the sinks?"),
        Wrong(name="the last sink leaves", answer=lambda n, w, k: _evicting(n, w + k, max(k - 1, 0)),
              hint="a sink leaves the cache here: counting from 0, at which place of the cache does the window begin?"),
        Wrong(name="sinks not allowed for", answer=lambda n, w, k: _evicting(n, w, k),
              hint="the cache is too small: it has seats for the window and, besides, for the sinks"),
        Wrong(name="packed", answer=_packed,
              hint="each row lists the numbers of the kept tokens: column s belongs to token s, and asked is where it "
                   "stands"),
        Wrong(name="one sink too many", answer=lambda n, w, k: _dense(_kept(n, w, k + 1)),
              hint="one of the first tokens stays that should leave: sinks = 1 keeps token 0 alone"),
        Wrong(name="sinks before they are read", answer=lambda n, w, k: _dense(_kept(n, w, k, ahead=True)),
              hint="the sinks are in the cache before they have been read: look at the first rows"),
        Wrong(name="another mark", answer=lambda n, w, k: cache_positions(n, w, k).masked_fill(
                  cache_positions(n, w, k) < 0, -100),
              hint="the positions are right: the mark for a token that is not there is -1"),
        Wrong(name="unmarked running count", answer=lambda n, w, k: _kept(n, w, k).long().cumsum(dim=1) - 1,
              hint="a running count goes on over those who are not there: mark them by -1 afterwards"),
        Wrong(name="last row for all", answer=lambda n, w, k: cache_positions(n, w, k)[-1:].repeat(n, 1),
              hint="every row shows the cache after the last token: row t is the moment when token t has been read"),
        Wrong(name="last row only", answer=lambda n, w, k: cache_positions(n, w, k)[-1],
              hint="this is the cache after the last token: there is a row for every token read"),
    ),
    notice="No position is ever larger than window + sinks - 1, and a kept token of the window moves down by one with "
    "every eviction: keys have to be rotated when they are read.",
)  # fmt: skip
