"""Entity group transactions: changes of one partition that the table service applies all or none.

Here are the text of the request and the reading of its answer, both without I/O: `AzureTable` in
`storage.py` sends it. The SDK's `submit_transaction` takes several times the CPU:
see docs/performance.md.
https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType

from azure.core.exceptions import HttpResponseError, ResourceModifiedError

from opswatch.adapters.entities import encode_entity, entity_path
from opswatch.adapters.rest import Answer, error_of
from opswatch.core.keys import Key
from opswatch.rows.codec import Entity

MOST_CHANGES = 100  # in a transaction
MOST_BYTES = 4 * 1024 * 1024 - 1024  # of all its changes as `estimate_size` counts them
# Fixed boundaries: no line of a part can be one, because JSON in ASCII has no line breaks.
BATCH_HEADERS: Mapping[str, str] = MappingProxyType(
    {"Content-Type": "multipart/mixed; boundary=batch_opswatch"}
)
_BEGIN = b"--batch_opswatch\r\nContent-Type: multipart/mixed; boundary=changeset_opswatch\r\n\r\n"
_PART = (
    b"--changeset_opswatch\r\n"
    b"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
)
_HEADERS = (
    "Content-Type: application/json\r\nAccept: application/json;odata=minimalmetadata\r\n"
    "DataServiceVersion: 3.0\r\n\r\n"
)
_END = b"--changeset_opswatch--\r\n--batch_opswatch--\r\n"
# Of a change's text: what does not depend on its keys and columns, with room for a service's URI.
_TEXT_BYTES = 700
_COLUMN_BYTES, _TYPE_BYTES = 6, 32  # around a name and a value; of an annotation
_VALUE_BYTES = 32  # of a number or an instant
_STATUS = re.compile(rb"(?:\A|\n)HTTP/1\.1 (\d{3}) ?([^\r\n]*)")
_INDEX = re.compile(rb'"value"\s*:\s*"(\d+):')
_GONE = ("ResourceNotFound", "EntityNotFound")  # not TableNotFound, which is a 404 too
_encode = json.JSONEncoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a transaction does to one row."""

    key: Key
    etag: str  # the condition; "*": any
    entity: Entity | None = None  # its columns; None: delete the row
    merges: bool = False  # merge the columns into the row, instead of replacing it

    @property
    def method(self) -> str:
        """The method of the request that makes this change."""
        if self.entity is None:
            return "DELETE"
        return "MERGE" if self.merges else "PUT"

    def body(self) -> bytes:
        """Return the body of that request."""
        if self.entity is None:
            return b""
        keys = {"PartitionKey": self.key.partition, "RowKey": self.key.row}
        return encode_entity({**self.entity, **keys})


class TransactionConflictError(ResourceModifiedError):
    """A row has another ETag, or is gone: nothing was changed."""

    index: int | None = None  # of the change; None if the service does not say


def estimate_size(change: Change) -> int:
    """Return a number of bytes that `change` does not exceed in a transaction."""
    key = change.key
    size = _TEXT_BYTES + len(entity_path("", key))
    size += len(_encode(key.partition)) + len(_encode(key.row))
    for name, value in (change.entity or {}).items():
        size += len(name) + _COLUMN_BYTES
        if isinstance(value, str):
            size += len(_encode(value))
        else:
            size += len(name) + _TYPE_BYTES + _VALUE_BYTES
    return size


def encode_transaction(uri: str, table: str, changes: Sequence[Change]) -> bytes:
    """Return the body of the request that makes `changes` at the table service `uri`."""
    pieces = [_BEGIN]
    for change in changes:
        path = entity_path(table, change.key)
        head = f"{change.method} {uri}/{path} HTTP/1.1\r\nIf-Match: {change.etag}\r\n{_HEADERS}"
        pieces += _PART, head.encode(), change.body(), b"\r\n"
    pieces.append(_END)
    return b"".join(pieces)


def check_transaction(answer: Answer) -> None:
    """Raise the error in the answer to a transaction, which is "202 Accepted" all the same.

    A failed transaction has one part for any number of changes.
    """
    first = _STATUS.search(answer.body)
    if first is None:
        raise HttpResponseError("the answer to a transaction has no parts")
    if first[1].startswith(b"2"):
        return
    content = answer.body[first.end() :]
    error = error_of(int(first[1]), first[2].decode(errors="replace"), answer.headers, content)
    found = _INDEX.search(content)
    raise conflict_of(error, int(found[1]) if found else None) or error


def conflict_of(error: HttpResponseError, index: int | None) -> TransactionConflictError | None:
    """Return the conflict that an error of the service means; None if it means something else."""
    code = getattr(error, "error_code", None)
    is_gone = error.status_code == HTTPStatus.NOT_FOUND and (code is None or code in _GONE)
    if error.status_code != HTTPStatus.PRECONDITION_FAILED and not is_gone:
        return None
    conflict = TransactionConflictError(error.message)
    conflict.status_code, conflict.reason, conflict.index = error.status_code, error.reason, index
    conflict.is_repeated = getattr(error, "is_repeated", False)  # type: ignore[attr-defined]  # ours
    return conflict


def read_etags(body: bytes, count: int) -> list[str | None]:
    """Return the ETag of each of `count` rows after a transaction that succeeded.

    A row that was removed has None. The parts come in the order of the changes.
    """
    etags: list[str | None] = []
    for part in body.split(b"\nHTTP/1.1 ")[1:]:
        begin = part.lower().find(b"\netag:")
        if begin < 0:
            etags.append(None)
            continue
        line = part[begin + len(b"\netag:") :].split(b"\n", 1)[0]
        etags.append(line.strip().decode())
    if len(etags) != count:
        raise HttpResponseError(f"the answer has {len(etags)} parts for {count} changes")
    return etags
