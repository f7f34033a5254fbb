"""Run code that may never end, and come back in time anyway."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

GRACE = 0.3  # seconds in which an endless loop is asked, again and again, to stop


def patience() -> float:
    """How many times longer to wait on a machine that others keep busy; 1 where it is idle or does not say."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has no such number
        return 1.0
    return min(5.0, max(1.0, load / (os.cpu_count() or 1)))


class OutOfTime(SystemExit):
    """Raised inside the code that ran too long; `except Exception` does not catch it."""


def call_with_limit(work: Callable[[], Result], seconds: float) -> Result:
    """What `work()` returns, or TimeoutError after `seconds`; what it raises is raised here.

    The work runs in a thread of its own, so this serves any thread and any system. An endless loop in Python is ended
    by an exception raised inside it. A call that never returns to Python (a long sleep) is left behind in a thread that
    does not keep the program alive. Only a loop inside C code that never lets other threads run, such as
    sum(itertools.count()), cannot be ended from within; that takes an interrupt of the whole process.
    """
    outcome: dict[str, object] = {}
    done = threading.Event()

    def target() -> None:
        try:
            outcome["result"] = work()
        except BaseException as error:  # SystemExit and KeyboardInterrupt of the learner's code included
            outcome["error"] = error
        finally:
            done.set()

    thread = threading.Thread(target=target, name="tftutor-check", daemon=True)
    thread.start()
    try:
        finished = done.wait(seconds)
    except BaseException:  # the reader interrupts the kernel
        _stop(thread, done)
        raise
    if not finished:
        _stop(thread, done)
    if not finished or isinstance(outcome.get("error"), OutOfTime):
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def _stop(thread: threading.Thread, done: threading.Event) -> None:
    """Raise OutOfTime inside `thread` until it ends: a loop may catch it once or twice."""
    give_up = time.monotonic() + GRACE
    while thread.is_alive() and time.monotonic() < give_up:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(OutOfTime))
        if done.wait(0.007):
            thread.join(0.1)
            return
