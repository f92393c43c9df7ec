"""The Python client: hand operations over, and wait for them from any process.

Light: it imports neither azure-functions nor azure-identity. `opswatch.client.sync` has the same
with sync clients.
"""

from opswatch.client.errors import (
    NotAllowedError,
    OperationCanceledError,
    OperationError,
    OperationFailedError,
    OperationLostError,
    OperationNotFoundError,
    OperationStoppedError,
    OperationTimedOutError,
    RejectedError,
    UnreachableError,
)
from opswatch.client.row import OperationRow
from opswatch.client.watcher import Handle, Watcher

__all__ = [
    "Handle",
    "NotAllowedError",
    "OperationCanceledError",
    "OperationError",
    "OperationFailedError",
    "OperationLostError",
    "OperationNotFoundError",
    "OperationRow",
    "OperationStoppedError",
    "OperationTimedOutError",
    "RejectedError",
    "UnreachableError",
    "Watcher",
]
