"""opswatch: watches Azure Resource Manager operations to their end, and calls you back.

The public surface: `verify` and `VerificationError` here, for receivers; `opswatch.client`, to hand
operations over and to wait for them; `opswatch.testing`, for tests of programs that use these.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opswatch.verification import Event, VerificationError, verify

__version__ = "0.2.0"  # the only place: pyproject.toml and the terminal read it here
__all__ = ["Event", "VerificationError", "verify"]


def __getattr__(name: str) -> Any:
    """Import what is public when it is used first: the app imports this package at a cold start."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("opswatch.verification"), name)
