"""The bugs people write, in one catalogue: planted to see that a test notices, shown failing, given as wrong answers.

Each fault turns one right function into a wrong one. `FAULTS[name].broken()` is the wrong function; within
`with planted(name):` the whole package uses it. Tests hold which property rejects which fault.
"""

from __future__ import annotations

from tftutor.faults import attention, models, positions, serving, text  # noqa: F401 - they fill the catalogue
from tftutor.faults.catalogue import FAULTS, Fault, planted

__all__ = ["FAULTS", "Fault", "planted"]
