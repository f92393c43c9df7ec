"""The one tree of exceptions; expected failures of ARM or a receiver are values instead."""

from enum import StrEnum


class OpswatchError(Exception):
    """The base of every exception that opswatch raises."""


class ConfigError(OpswatchError):
    """The settings are wrong; `problems` names each variable and what is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["The settings cannot be used:", *(f"- {p}" for p in problems)]))


class Reason(StrEnum):
    """Why a message was rejected: stable identifiers."""

    EMPTY = "Empty"
    NOT_UTF8 = "NotUtf8"
    NOT_JSON = "NotJson"
    UNKNOWN_SHAPE = "UnknownShape"
    MISSING_SETTING = "MissingSetting"
    INVALID_OPERATION = "InvalidOperation"
    FOREIGN_HOST = "ForeignHost"
    INVALID_CALLBACK = "InvalidCallback"
    INVALID_TIMEOUT = "InvalidTimeout"
    TOO_LARGE = "TooLarge"


class RefusedError(OpswatchError):
    """A posted text or a followed URL cannot be used."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")
