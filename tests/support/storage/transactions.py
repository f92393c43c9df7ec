"""Entity group transactions as text: the parts of a request, and those of its answer.

https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
"""

import re
from http import HTTPStatus

from tests.support.storage.errors import RefusedError
from tests.support.storage.http import Request, Response, head_of, request_of

MOST_CHANGES = 100
_MOST_BYTES = 4 * 1024 * 1024
_CHANGESET = re.compile(rb"boundary=\"?(changeset[\w-]+)")
_PART = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"


def parse(request: Request) -> list[Request]:
    """Return the requests in the only change set of a batch."""
    if len(request.body) > _MOST_BYTES:
        raise RefusedError("RequestBodyTooLarge")
    boundary = _CHANGESET.search(request.body)
    if boundary is None or "boundary=batch" not in request.headers.get("content-type", ""):
        raise RefusedError("InvalidInput")
    parts = request.body.split(b"--" + boundary[1])[1:-1]
    return [_request(part) for part in parts]


def response(parts: list[Response]) -> Response:
    """Return the answer to a batch: "202 Accepted", whatever the statuses of its parts."""
    lines = [
        "--batchresponse_1",
        "Content-Type: multipart/mixed; boundary=changesetresponse_1",
        "",
    ]
    for part in parts:
        headers = [f"{name}: {value}" for name, value in part.headers.items()]
        status = f"HTTP/1.1 {part.status} {HTTPStatus(part.status).phrase}"
        lines += ["--changesetresponse_1", _PART + status, *headers, "", part.body.decode()]
    lines += ["--changesetresponse_1--", "--batchresponse_1--", ""]
    return Response(
        status=HTTPStatus.ACCEPTED,
        headers={"Content-Type": "multipart/mixed; boundary=batchresponse_1"},
        body="\r\n".join(lines).encode(),
    )


def _request(part: bytes) -> Request:
    _, head, body = part.split(b"\r\n\r\n", 2)
    return request_of(*head_of(head), body.rstrip())
