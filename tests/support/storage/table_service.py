"""The REST protocol of Table Storage, in JSON.

https://learn.microsoft.com/rest/api/storageservices/table-service-rest-api
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Collection
from typing import Any

import msgspec

from tests.support.clock import Clock
from tests.support.storage import transactions
from tests.support.storage.entities import (
    ANNOTATION,
    Properties,
    accept,
    select,
    without_annotations,
)
from tests.support.storage.errors import RefusedError
from tests.support.storage.filters import Comparison, comparisons
from tests.support.storage.http import Request, Response
from tests.support.storage.tables import Entity, EntityKey, EntityTable

_ENTITY = re.compile(r"(\w+)\(PartitionKey='((?:[^']|'')*)',\s*RowKey='((?:[^']|'')*)'\)")
_TABLE = re.compile(r"Tables\('(\w+)'\)")
_PAGE = 1000
_NEXT = "x-ms-continuation-Next{}Key"


class TableService:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tables: dict[str, EntityTable] = {}

    def answer(self, request: Request) -> Response:
        """Answer a request; errors are answers too."""
        try:
            return self._answer(request)
        except RefusedError as error:
            return _refusal(error)

    def _answer(self, request: Request) -> Response:
        if request.path == "$batch" and request.method == "POST":
            return self._transact(transactions.parse(request))
        if request.path == "Tables" and request.method == "POST":
            return self._create(request)
        if (match := _TABLE.fullmatch(request.path)) and request.method == "DELETE":
            self._table(match[1])
            del self.tables[match[1]]
            return _json(204)
        if match := _ENTITY.fullmatch(request.path):
            name, partition, row = (part.replace("''", "'") for part in match.groups())
            return _on_entity(request, name, self._table(name), (partition, row))
        name = request.path.removesuffix("()")
        if request.method == "GET":
            return _query(request, name, self._table(name))
        if request.method == "POST":
            entity = self._table(name).insert(accept(_sent(request)))
            return _done(request, _returned(request, name, entity), {"ETag": entity.etag})
        raise RefusedError("NotImplemented")

    def _transact(self, parts: list[Request]) -> Response:
        """Make all changes or, if one is refused, none: the answer is that one's alone."""
        seen: dict[EntityKey, tuple[EntityTable, Entity | None]] = {}
        responses: list[Response] = []
        for index, part in enumerate(parts):
            try:
                table, key = self._target(part, seen)
                seen[key] = table, table.peek(key)
                responses.append(self._answer(part))
            except RefusedError as error:
                for key, (table, before) in seen.items():
                    table.restore(key, before)
                return transactions.response([_refusal(error, f"{index}:")])
        return transactions.response(responses)

    def _target(self, part: Request, seen: Collection[EntityKey]) -> tuple[EntityTable, EntityKey]:
        """Return the table and the key of what a part changes, after the parts that were `seen`."""
        if len(seen) == transactions.MOST_CHANGES:
            raise RefusedError("InvalidInput")
        name, key = part.path, ("", "")
        if match := _ENTITY.fullmatch(part.path):
            name, *keys = (text.replace("''", "'") for text in match.groups())
            key = keys[0], keys[1]
        else:
            sent = accept(_sent(part))
            key = sent["PartitionKey"], sent["RowKey"]
        if key in seen:
            raise RefusedError("InvalidDuplicateRow")
        if any(key[0] != partition for partition, _ in seen):
            raise RefusedError("CommandsInBatchActOnDifferentPartitions")
        return self._table(name), key

    def _create(self, request: Request) -> Response:
        name = _sent(request)["TableName"]
        if name in self.tables:
            raise RefusedError("TableAlreadyExists")
        self.tables[name] = EntityTable(self._clock)
        return _done(request, {"TableName": name})

    def _table(self, name: str) -> EntityTable:
        try:
            return self.tables[name]
        except KeyError:
            raise RefusedError("TableNotFound") from None


def _on_entity(request: Request, name: str, table: EntityTable, key: EntityKey) -> Response:
    version = request.headers.get("if-match")
    match request.method:
        case "GET":
            entity = table.get(key)
            return _json(200, _returned(request, name, entity), {"ETag": entity.etag})
        case "DELETE":
            if version is None:
                raise RefusedError("MissingRequiredHeader")
            table.delete(key, version)
            return _json(204)
        case "PUT" | "PATCH" | "MERGE" as method:
            sent = accept(_sent(request) | dict(zip(("PartitionKey", "RowKey"), key, strict=True)))
            write = table.replace if method == "PUT" else table.merge
            return _json(204, headers={"ETag": write(sent, version).etag})
    raise RefusedError("NotImplemented")


def _query(request: Request, name: str, table: EntityTable) -> Response:
    conditions = comparisons(request.query.get("$filter", ""))
    start, stop = _range(conditions)
    if "NextPartitionKey" in request.query:
        start = _decoded(request.query["NextPartitionKey"]), _decoded(request.query["NextRowKey"])
    entities, following = table.page(
        start,
        lambda entity: all(condition.holds(entity.properties) for condition in conditions),
        min(int(request.query.get("$top", _PAGE)), _PAGE),
        stop,
    )
    body: Properties = {"value": [_returned(request, name, entity) for entity in entities]}
    if not _accepts(request, "nometadata"):
        body = {"odata.metadata": f"https://stand-in/$metadata#{name}"} | body
    return _json(200, body, _continuation(following))


def _range(conditions: list[Comparison]) -> tuple[EntityKey, EntityKey | None]:
    """Return the keys between which all entities are that meet the conditions."""
    given = {(c.name, c.operator): str(c.value) for c in conditions}
    partition = given.get(("PartitionKey", "eq"))
    if partition is None:
        return ("", ""), None
    first = given.get(("RowKey", "ge")) or given.get(("RowKey", "gt")) or ""
    last = given.get(("RowKey", "lt"))
    return (partition, first), (partition, last) if last is not None else (f"{partition}\0", "")


def _continuation(following: EntityKey | None) -> dict[str, str]:
    if following is None:
        return {}
    return {
        _NEXT.format(part): _encoded(key)
        for part, key in zip(("Partition", "Row"), following, strict=True)
    }


def _encoded(key: str) -> str:
    """Return a key as a continuation token has it: opaque to clients."""
    text = b64encode(key.encode()).decode().replace("=", "-")
    return f"1!{len(text)}!{text}"


def _decoded(token: str) -> str:
    return b64decode(token.rpartition("!")[2].replace("-", "=")).decode()


def _returned(request: Request, name: str, entity: Entity) -> Properties:
    """Return an entity with as much metadata as the request accepts."""
    properties = entity.properties
    if "$select" in request.query:
        properties = select(properties, set(request.query["$select"].split(",")))
    stamped = properties | {"Timestamp": entity.timestamp}
    if _accepts(request, "nometadata"):
        return without_annotations(stamped)
    found = {"odata.etag": entity.etag} | stamped
    if _accepts(request, "fullmetadata"):
        partition, row = entity.key
        path = f"{name}(PartitionKey='{partition}',RowKey='{row}')"
        found |= {
            "odata.type": f"stand-in.{name}",
            "odata.id": f"https://stand-in/{path}",
            "odata.editLink": path,
            "Timestamp" + ANNOTATION: "Edm.DateTime",
        }
    return found


def _accepts(request: Request, much: str) -> bool:
    return f"odata={much}" in request.headers.get("accept", "")


def _sent(request: Request) -> Properties:
    try:
        return msgspec.json.decode(request.body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise RefusedError("InvalidInput") from None


def _done(request: Request, body: Properties, headers: dict[str, str] | None = None) -> Response:
    """Answer an insert with the entity, or without it if the client prefers that."""
    prefer = request.headers.get("prefer", "return-content")
    applied = {"Preference-Applied": prefer, **(headers or {})}
    if prefer == "return-no-content":
        return _json(204, headers=applied)
    return _json(201, body, applied)


def _refusal(error: RefusedError, prefix: str = "") -> Response:
    message = {"lang": "en-US", "value": prefix + error.message}
    body = {"odata.error": {"code": error.code, "message": message}}
    return _json(error.status, body, {"x-ms-error-code": error.code})


def _json(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Response:
    kind = {} if body is None else {"Content-Type": "application/json;charset=utf-8"}
    return Response(
        status=status,
        headers={**kind, "x-ms-version": "2019-02-02", **(headers or {})},
        body=b"" if body is None else msgspec.json.encode(body),
    )
