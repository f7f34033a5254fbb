"""Training: a loop that can be stopped and resumed, on one processor, one GPU, or several processes."""

from __future__ import annotations
