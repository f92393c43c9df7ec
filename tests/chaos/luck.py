"""Luck: each part of a run has its own, and with the same seed the same."""

from random import Random


def luck(seed: int, part: str) -> Random:
    return Random(f"{seed}/{part}")  # noqa: S311 - a simulation
