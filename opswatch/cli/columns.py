"""The columns in which lists of the API are printed."""

from collections.abc import Sequence

from opswatch.cli.operations import key_of, short_ids
from opswatch.cli.output import Column, Row, instant_of


def operation_columns(rows: Sequence[Row]) -> list[Column]:
    """Return the columns of operations: 80 characters hold those that are not wide."""
    shorts = short_ids(str(row["operationId"]) for row in rows)
    return [
        Column(name="age", value=lambda row: instant_of(row, "registeredAt")),
        Column(name="id", value=lambda row: shorts[row["operationId"]]),
        Column(name="status", value=lambda row: row["status"]),
        Column(name="resource", value=resource_of, gives_way=True),
        Column(
            name="error",
            value=lambda row: row.get("errorCodeInner") or row.get("errorCode"),
            gives_way=True,
        ),
        Column(name="kind", value=lambda row: row.get("kind"), is_wide=True),
        Column(name="ended", value=lambda row: instant_of(row, "finishedAt"), is_wide=True),
        Column(name="seconds", value=lambda row: row.get("durationSeconds"), is_wide=True),
        Column(name="polls", value=lambda row: row.get("polls"), is_wide=True),
        Column(name="message", value=lambda row: row.get("errorMessage"), is_wide=True),
        Column(name="operation", value=key_of, is_wide=True),
    ]


def resource_of(row: Row) -> str:
    """Return what people call the resource of an operation; its kind if that is unknown."""
    resource: str | None = row.get("resourceId")
    return resource.rstrip("/").rpartition("/")[2] if resource else row.get("kind") or ""
