"""A finding of a check."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    place: str  # a path within the project, with a line number if known
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"
