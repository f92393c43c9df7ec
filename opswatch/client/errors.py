"""What a client raises: ends that are no success, and what keeps it from waiting.

Ends and refused access are errors of azure-core as well, so that code which catches
`HttpResponseError` around a poller keeps working.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ODataV4Format,
)

from opswatch.core.errors import OpswatchError, Reason

if TYPE_CHECKING:
    from opswatch.client.row import OperationRow


class OperationError(OpswatchError, HttpResponseError):
    """An operation has ended, and not as `Succeeded`.

    `error` is the same as azure-core has it, `row` what opswatch knows of the operation.
    """

    def __init__(
        self,
        code: str,
        message: str,
        details: Sequence[Mapping[str, Any]] = (),
        *,
        target: str | None = None,
        row: "OperationRow | None" = None,
    ) -> None:
        super().__init__(message=message)
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.target = target
        self.row = row
        self.error = ODataV4Format(
            {"code": code, "message": message, "target": target, "details": list(details)}
        )

    def __str__(self) -> str:
        inner = self.row and self.row.error_code_inner
        cause = f" (innermost: {inner}: {self.row.error_message_inner})" if inner else ""  # type: ignore[union-attr]
        return f"({self.code}) {self.message}{cause}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive being sent to another process, as results of process pools are."""
        arguments = (type(self), self.code, self.message, self.details, self.target, self.row)
        return _make_again, arguments


class OperationFailedError(OperationError):
    """ARM says that the operation has failed."""


class OperationCanceledError(OperationError):
    """ARM says that the operation was canceled."""


class OperationTimedOutError(OperationError):
    """The watch has reached its deadline; the operation itself may go on."""


class OperationLostError(OperationError):
    """The status can no longer be read; how the operation has ended is not known."""


class OperationStoppedError(OperationError):
    """A user has stopped the watch; the operation itself may go on."""


class RejectedError(OpswatchError, ValueError):
    """A post that cannot be accepted; `reason` is a stable identifier."""

    def __init__(self, reason: Reason | str, detail: str) -> None:
        self.reason = str(reason)
        self.detail = detail
        super().__init__(f"{self.reason}: {detail}")


class OperationNotFoundError(OpswatchError):
    """No row has this key."""


class NotAllowedError(OpswatchError, ClientAuthenticationError):
    """The storage account or the app has refused the client; the text names the missing right."""


class UnreachableError(OpswatchError, AzureError):
    """The storage account or the app has not answered for long; the watch goes on."""


def _make_again(
    kind: type[OperationError],
    code: str,
    message: str,
    details: Sequence[Mapping[str, Any]],
    target: str | None,
    row: "OperationRow | None",
) -> OperationError:
    return kind(code, message, details, target=target, row=row)
