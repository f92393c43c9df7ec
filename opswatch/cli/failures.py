"""Errors as one sentence that says what to do, with an exit code."""

from http import HTTPStatus

import click
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from opswatch.cli.exit_codes import (
    EXIT_FAILURE,
    EXIT_NOT_ALLOWED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    OUTPUT_ERRORS,
)
from opswatch.core.errors import ConfigError, OpswatchError
from opswatch.core.http import is_outage
from opswatch.core.texts import one_line
from opswatch.health import REFUSED_CREDENTIALS, UNREACHABLE, brief
from opswatch.rows.codec import UnreadableRowError

_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_KEYS = (
    "`read`'s key reads and `write`'s changes, or both: OPSWATCH_KEY=read=…,write=… (\"The page "
    'and its keys" in infra/README.md says how to get them)'
)
_SIGN_IN = (
    "sign in with `az login`, or set AzureWebJobsStorage to a connection string; "
    "`opswatch doctor` checks both"
)


class CommandError(click.ClickException):
    """The end of a command: a sentence for stderr, and the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click has one for each class


class AnswerError(OpswatchError):
    """An answer of the API that reports a problem."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status = status
        self.code = code
        self.detail = one_line(detail)
        super().__init__(f"{code}: {self.detail}" if code else f"{status} {self.detail}")


class AppUnreachableError(OSError):
    """The app at a URL gives no answer."""

    def __init__(self, base: str, reason: str) -> None:
        super().__init__(f"the app at {base}: {reason}")


def command_error(error: Exception) -> CommandError | None:
    """Return how a command ends after `error`; None if the error is a defect."""
    match error:
        case ConfigError():
            return CommandError(str(error), EXIT_USAGE)
        case AnswerError():
            return _answered(error)
        case UnreadableRowError():
            text = f"A row cannot be read: {brief(error)}; was it written by another version?"
            return CommandError(text, EXIT_UNREACHABLE)
        case OSError(errno=int() as number) if number in OUTPUT_ERRORS:
            return CommandError(f"The output cannot be written: {error.strerror}", EXIT_UNREACHABLE)
        case HttpResponseError(status_code=code) if code in _DENIED:
            return CommandError(f"Not allowed: {_missing_right(error)}", EXIT_NOT_ALLOWED)
        case HttpResponseError() if is_missing(error):
            return CommandError(never_run(error), EXIT_UNREACHABLE)
        case ClientAuthenticationError():
            # Its advice is for the app.
            reason = brief(error).partition(";")[0]
            return CommandError(f"No sign-in: {reason}; {_SIGN_IN}", EXIT_NOT_ALLOWED)
        case AppUnreachableError():
            text = f"No answer from {error}; check the URL, and whether the app runs"
            return CommandError(text, EXIT_UNREACHABLE)
        case _ if isinstance(error, UNREACHABLE):
            text = f"No answer from the storage account: {brief(error)}; `opswatch doctor` "
            return CommandError(text + "checks what can be reached", EXIT_UNREACHABLE)
        case _:
            return None


def may_pass(error: Exception) -> bool:
    """Return whether the same request may succeed some time later, without a person's help."""
    if isinstance(error, AnswerError):
        return is_outage(error.status)
    if is_missing(error) or not isinstance(error, UNREACHABLE):
        return False
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return is_outage(error.status_code)
    return not (isinstance(error, OSError) and error.errno in OUTPUT_ERRORS)


def is_refused(error: Exception) -> bool:
    """Return whether a request was refused for want of a right, or of a service to ask."""
    match error:
        case AnswerError():
            return error.status in _DENIED
        case HttpResponseError():
            return error.status_code in _DENIED
        case _:
            return isinstance(error, ConfigError)


def is_missing(error: Exception) -> bool:
    """Return whether a table or a queue does not exist."""
    return getattr(error, "error_code", None) in ("TableNotFound", "QueueNotFound")


def never_run(error: Exception) -> str:
    """Return the sentence about an account without the app's tables or queues."""
    what = "queue" if getattr(error, "error_code", None) == "QueueNotFound" else "table"
    return (
        f"The app has never run on this account (a {what} is missing), and nothing was created: "
        "check AzureWebJobsStorage, or start the app; `opswatch doctor` lists what is missing"
    )


def _missing_right(error: HttpResponseError) -> str:
    """Return what was refused, and what permits it: a role of `infra/README.md`, for a sign-in."""
    code = getattr(error, "error_code", None) or error.reason
    credentials = getattr(error, "credentials", "token")
    if credentials != "token":
        return f"{error.status_code} {code}; {REFUSED_CREDENTIALS[credentials]}"
    method, _, path = str(getattr(error, "asked", "")).partition(" ")
    queue = path.partition("/messages")[0] if "/messages" in path else None
    if queue is not None:
        role = f"Storage Queue Data Message Sender on the queue {queue}"
    elif method == "GET":
        role = "Storage Table Data Reader on the storage account"
    else:
        role = "Storage Table Data Contributor on the storage account"
    return (
        f"{error.status_code} {code}; the missing role is {role} (OPSWATCH_READERS_ID and "
        "OPSWATCH_OPERATOR_ID in infra/README.md)"
    )


def _answered(error: AnswerError) -> CommandError:
    text = str(error)
    if error.status in _DENIED:
        return CommandError(
            f"Not allowed: {text}; the key is missing or wrong: {_KEYS}", EXIT_NOT_ALLOWED
        )
    if error.status == HTTPStatus.CONFLICT:
        return CommandError(text, EXIT_FAILURE)
    if may_pass(error):
        return CommandError(f"The app cannot answer: {text}", EXIT_UNREACHABLE)
    return CommandError(text, EXIT_USAGE)
