"""How much of a long search runs: all of it with `THOROUGH`, which `.ci/run` sets; else a share.

A share is for `make test`: it is the same one each time, and meets each kind of case.
"""

import os
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

IS_THOROUGH = bool(os.environ.get("THOROUGH"))


def share(count: int, of: int = 4) -> int:
    """Return how many of `count` examples run: one of each `of` without `THOROUGH`."""
    return count if IS_THOROUGH else max(1, count // of)


def some(cases: Iterable[T], of: int = 4) -> list[T]:
    """Return the cases that run: each first of `of` without `THOROUGH`."""
    return list(cases)[:: 1 if IS_THOROUGH else of]
