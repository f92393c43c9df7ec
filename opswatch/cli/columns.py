"""The columns in which lists of the API are printed."""

from collections.abc import Sequence
from datetime import timedelta

from opswatch.cli.operations import key_of, short_ids
from opswatch.cli.output import Column, Row, instant_of, span
from opswatch.cli.texts import polls_fail_with
from opswatch.core.keys import GUID
from opswatch.core.texts import one_line


def operation_columns(rows: Sequence[Row]) -> list[Column]:
    """Return the columns of operations: 80 characters hold those that are not wide."""
    shorts = short_ids(str(row["operationId"]) for row in rows)
    return [
        Column(
            name="age",
            iso_name="registered",
            value=lambda row: instant_of(row, "registeredAt"),
        ),
        Column(
            name="id",
            value=lambda row: shorts[row["operationId"]],
            data=lambda row: row["operationId"],
        ),
        Column(name="status", value=lambda row: row["status"], gives_way=True),
        Column(
            name="resource",
            value=resource_of,
            data=lambda row: row.get("resourceId"),
            gives_way=True,
        ),
        Column(
            name="error",
            # Lost has a message and no code, and a watch has neither.
            value=lambda row: _code(row) or row.get("errorMessage") or polls_fail_with(row),
            data=_code,
            gives_way=True,
        ),
        Column(name="kind", value=lambda row: row.get("kind"), is_wide=True),
        Column(name="ended", value=lambda row: instant_of(row, "finishedAt"), is_wide=True),
        Column(name="seconds", value=lambda row: row.get("durationSeconds"), is_wide=True),
        Column(name="polls", value=lambda row: row.get("polls"), is_wide=True),
        Column(name="message", value=lambda row: row.get("errorMessage"), is_wide=True),
        Column(name="operation", value=key_of, is_wide=True),
    ]


def _code(row: Row) -> str | None:
    return row.get("errorCodeInner") or row.get("errorCode")


_SHORT = 8  # characters of an ID


def label_of(row: Row) -> str:
    """Return what people recognise an operation by: the beginning of its ID, and its resource."""
    name = str(row["operationId"])
    short = name[:_SHORT] if GUID.fullmatch(name) else name
    return one_line(f"{short}  {resource_of(row)}").strip()


def kind_name(row: Row) -> str:
    """Return what people call a kind; without one, its provider and collection are learned."""
    return row["kind"] or f"{row['provider']} {row.get('collection') or ''}".strip()


_FEW = 20  # operations, from fewer than which what takes long is a guess


def _duration(name: str) -> Column:
    """Return a column of a kind's durations, with a mark for people if few have ended."""

    def exact(row: Row) -> str | None:
        return None if row[name] is None else span(timedelta(seconds=row[name]))

    def marked(row: Row) -> str | None:
        text = exact(row)
        return f"~{text}" if text and row["n"] < _FEW else text

    return Column(name=name, value=marked, data=exact)


def operation_of(delivery: Row) -> str:
    """Return the operation of a delivery, as other commands take it."""
    return f"{delivery['subscriptionId']}/{delivery['operationKey']}"


def rejection_id(rejection: Row) -> str:
    """Return the two keys of a rejection's row."""
    return f"{rejection['day']}/{rejection['id']}"


DELIVERY_COLUMNS = [
    Column(
        name="age",
        iso_name="at",
        value=lambda row: (
            instant_of(row, "settledAt")
            or instant_of(row, "deliveredAt")
            or instant_of(row, "startedAt")
        ),
    ),
    Column(name="state", value=lambda row: row["state"]),
    Column(
        name="operation",
        value=lambda row: str(row["operationId"])[:_SHORT],
        data=lambda row: row["operationId"],
    ),
    Column(
        name="callback",
        value=lambda row: row["callbackUrl"].removeprefix("https://"),
        data=lambda row: row["callbackUrl"],
        gives_way=True,
    ),
    Column(name="tries", value=lambda row: row.get("attempts")),
    Column(name="why", value=lambda row: row.get("reason") or row.get("lastError"), gives_way=True),
    Column(name="next", value=lambda row: instant_of(row, "nextAttemptAt"), is_wide=True),
    Column(name="code", value=lambda row: row.get("lastStatusCode"), is_wide=True),
    Column(
        name="error",  # if `why` and `code` do not say it already
        value=lambda row: (
            row.get("lastError")
            if row.get("reason") and row.get("lastError") != str(row.get("lastStatusCode"))
            else None
        ),
        data=lambda row: row.get("lastError"),
        is_wide=True,
    ),
    Column(name="delivery", value=lambda row: row.get("deliveryId"), is_wide=True),
    Column(name="key", value=operation_of, is_wide=True),
]
REJECTION_COLUMNS = [
    Column(name="age", iso_name="received", value=lambda row: instant_of(row, "receivedAt")),
    Column(name="reason", value=lambda row: row["reason"]),
    Column(name="count", value=lambda row: row["count"]),
    Column(name="detail", value=lambda row: row["detail"], gives_way=True),
    Column(name="body", value=lambda row: row["body"], is_wide=True),
    Column(name="id", value=rejection_id, is_wide=True),
]
KIND_COLUMNS = [
    Column(name="kind", value=kind_name, gives_way=True),
    Column(name="ended", value=lambda row: row["n"]),
    _duration("p50"),
    _duration("p90"),
    _duration("p99"),
    Column(name="running", value=lambda row: row["running"]),
    Column(name="slow", value=lambda row: row["slow"]),
    Column(name="provider", value=lambda row: row["provider"], is_wide=True),
    Column(name="updated", value=lambda row: instant_of(row, "updatedAt"), is_wide=True),
]


def resource_of(row: Row) -> str:
    """Return what people call the resource of an operation; its kind if that is unknown."""
    resource: str | None = row.get("resourceId")
    return resource.rstrip("/").rpartition("/")[2] if resource else row.get("kind") or ""
