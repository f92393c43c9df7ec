"""Errors as sentences: the exit code, what to do, and whether the same may succeed later."""

import errno

import aiohttp
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from opswatch.cli.exit_codes import EXIT_CODES, exit_code_of
from opswatch.cli.failures import AnswerError, command_error, may_pass
from opswatch.core.errors import ConfigError
from opswatch.rows.codec import UnreadableRowError


def refused(status: int, code: str = "", asked: str = "") -> HttpResponseError:
    error = HttpResponseError(f"{status} {code}")
    error.status_code, error.reason = status, "Reason"
    error.error_code, error.asked = code, asked  # type: ignore[attr-defined]
    return error


READER, CONTRIBUTOR = "Storage Table Data Reader", "Storage Table Data Contributor"
SENDER = "Storage Queue Data Message Sender on the queue"
CASES: list[tuple[Exception, int, str, bool]] = [
    (ConfigError(["X: missing"]), 2, "- X: missing", False),
    (refused(403, "AuthorizationFailure", "GET watches()"), 5, READER, False),
    (refused(401, "", "GET results(x)"), 5, READER, False),
    (refused(403, "x", "PUT watches(x)"), 5, CONTRIBUTOR, False),
    (refused(403, "x", "POST $batch"), 5, CONTRIBUTOR, False),
    (refused(403, "x", "POST operations/messages"), 5, f"{SENDER} operations", False),
    (refused(403, "x", "POST deliveries/messages"), 5, f"{SENDER} deliveries", False),
    (refused(404, "TableNotFound"), 6, "never run on this account (a table", False),
    (refused(404, "QueueNotFound"), 6, "never run on this account (a queue", False),
    (refused(400, "OutOfRangeInput"), 6, "400 OutOfRangeInput", False),
    (refused(503, "ServerBusy"), 6, "503 ServerBusy", True),
    (refused(429), 6, "429", True),
    (ClientAuthenticationError("no token within 7 s: x; restart the app"), 5, "az login", True),
    (ServiceRequestError("refused"), 6, "refused", True),
    (ServiceResponseError("broke off"), 6, "broke off", True),
    (aiohttp.ServerDisconnectedError(), 6, "opswatch doctor", True),
    (TimeoutError("no answer within 15 s"), 6, "no answer within 15 s", True),
    (OSError(errno.ENOSPC, "No space left on device"), 6, "cannot be written: No space", False),
    (UnreadableRowError("status: missing"), 6, "status: missing", False),
    (AnswerError(400, "InvalidParameter", "since: x"), 2, "InvalidParameter: since: x", False),
    (AnswerError(401, "", "Unauthorized"), 5, "OPSWATCH_KEY=read=", False),
    (AnswerError(403, "ForeignOrigin", "x"), 5, "ForeignOrigin", False),
    (AnswerError(404, "OperationNotFound", "not known"), 2, "not known", False),
    (AnswerError(409, "OperationEnded", "it has ended"), 1, "it has ended", False),
    (AnswerError(429, "", "Too Many Requests"), 6, "429 Too Many Requests", True),
    (AnswerError(503, "NotReady", "x"), 6, "The app cannot answer: NotReady: x", True),
]


@pytest.mark.parametrize(("error", "code", "text", "passes"), CASES, ids=repr)
def test_error_is_a_sentence_with_a_code(
    error: Exception, code: int, text: str, *, passes: bool
) -> None:
    failed = command_error(error)
    assert failed is not None
    assert (failed.exit_code, may_pass(error)) == (code, passes)
    assert text in failed.message
    if not isinstance(error, ConfigError):
        assert "\n" not in failed.message


@pytest.mark.parametrize("defect", [ZeroDivisionError(), KeyError("x"), AssertionError()])
def test_defect_keeps_its_traceback(defect: Exception) -> None:
    assert command_error(defect) is None
    assert not may_pass(defect)


def test_advice_for_the_app_is_left_out() -> None:
    failed = command_error(ClientAuthenticationError("no token within 7 s: x; restart the app"))
    assert failed is not None
    assert "restart the app" not in failed.message


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([], 0),
        (["Succeeded"], 0),
        (["Succeeded", "InProgress"], 8),
        (["registered", "Stopped"], 3),
        (["Canceled", "TimedOut"], 4),
        (["Lost", "Failed", "Succeeded"], 1),
    ],
)
def test_worst_status_decides(statuses: list[str], code: int) -> None:
    assert exit_code_of(statuses) == code
    assert code in EXIT_CODES
