"""One thing found wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    place: str  # a path within the project, with the line where there is one
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"
