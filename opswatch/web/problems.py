"""Problems: every answer that reports an error, with a stable code (RFC 9457)."""

from enum import Enum
from http import HTTPStatus
from typing import Any

from opswatch.core.errors import OpswatchError, Reason
from opswatch.core.texts import to_json
from opswatch.web.http import PROBLEM, Response


class Code(Enum):
    """The codes besides the reasons of rejections: the name, the status, and the title."""

    NOT_FOUND = ("NotFound", HTTPStatus.NOT_FOUND, "There is nothing at this URL")
    OPERATION_NOT_FOUND = (
        "OperationNotFound",
        HTTPStatus.NOT_FOUND,
        "The operation is not known, or has been purged",
    )
    DELIVERY_NOT_FOUND = (
        "DeliveryNotFound",
        HTTPStatus.NOT_FOUND,
        "The operation has no delivery with this id",
    )
    METHOD_NOT_ALLOWED = (
        "MethodNotAllowed",
        HTTPStatus.METHOD_NOT_ALLOWED,
        "The URL does not allow this method",
    )
    CONTENT_TOO_LARGE = (
        "ContentTooLarge",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "The body is larger than 64 KiB",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        "UnsupportedMediaType",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "A body must be application/json",
    )
    FOREIGN_ORIGIN = (
        "ForeignOrigin",
        HTTPStatus.FORBIDDEN,
        "A page of another origin may change nothing",
    )
    UNKNOWN_PARAMETER = (
        "UnknownParameter",
        HTTPStatus.BAD_REQUEST,
        "The query has a parameter that does not exist",
    )
    INVALID_PARAMETER = (
        "InvalidParameter",
        HTTPStatus.BAD_REQUEST,
        "A parameter of the query has no usable value",
    )
    UNSUPPORTED_API_VERSION = (
        "UnsupportedApiVersion",
        HTTPStatus.BAD_REQUEST,
        "The API has one version: 2026-12-01",
    )
    INVALID_BODY = ("InvalidBody", HTTPStatus.BAD_REQUEST, "The body is not as it must be")
    OPERATION_ENDED = (
        "OperationEnded",
        HTTPStatus.CONFLICT,
        "The operation has ended, and cannot be stopped",
    )
    NOT_READY = (
        "NotReady",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The app cannot work: its settings are wrong, or the storage cannot be reached",
    )
    INTERNAL_ERROR = (
        "InternalError",
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The app has a fault; its log has the details",
    )

    def __init__(self, code: str, status: HTTPStatus, title: str) -> None:
        self.code = code
        self.status = status
        self.title = title


CODES = (*(code.code for code in Code), *(reason.value for reason in Reason))


class ProblemError(OpswatchError):
    """A request that is answered with a problem."""

    def __init__(self, code: Code, detail: str = "", headers: dict[str, str] | None = None) -> None:
        self.response = problem(code, detail, headers)
        super().__init__(f"{code.code}: {detail or code.title}")


def problem(code: Code, detail: str = "", headers: dict[str, str] | None = None) -> Response:
    """Return the answer that reports a problem; `detail` says what is wrong with this request."""
    return _problem(code.code, code.status, code.title, detail or code.title, headers)


def rejected(reason: Reason, detail: str) -> Response:
    """Return the answer to a post that cannot be accepted."""
    title = "The post cannot be accepted"
    return _problem(reason.value, HTTPStatus.BAD_REQUEST, title, detail, None)


def _problem(
    code: str, status: HTTPStatus, title: str, detail: str, headers: dict[str, str] | None
) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status.value,
        "detail": detail,
        "code": code,
        "error": {"code": code, "message": detail, "details": []},
    }
    named = {"content-type": PROBLEM, "x-ms-error-code": code, **(headers or {})}
    return Response(status=status.value, headers=named, body=to_json(body).encode())
