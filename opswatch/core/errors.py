"""The one tree of exceptions; expected failures of ARM or a receiver are values instead."""


class OpswatchError(Exception):
    """What every exception of opswatch's own derives from."""


class ConfigError(OpswatchError):
    """The settings are wrong; `problems` names each variable and what is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["The settings cannot be used:", *(f"- {p}" for p in problems)]))
