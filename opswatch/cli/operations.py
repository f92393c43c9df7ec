"""Finding the operation that an argument names."""

import re
from datetime import datetime

import click

from opswatch.core.intake import Intake, Rejection
from opswatch.core.keys import Key
from opswatch.ports import Query, Services
from opswatch.queries import OperationView, get_operation

_KEY = re.compile(r"(?P<partition>[^/\s]+)/(?P<row>[^/~]+(?:~[^/~]+){3,4})")
OPERATION_HELP = (
    "OPERATION is an operation ID, an ARM path, a URL or a JSON object, as in a post, or "
    "SUBSCRIPTION/KEY, as the operation's row has them."
)


def read_key(text: str, intake: Intake, now: datetime) -> Key:
    """Return the key of the operation that `text` names; raise `click.UsageError`."""
    if key := _KEY.fullmatch(text.strip()):
        return Key(key["partition"].lower(), key["row"])
    read = intake.read(text.encode(), now)
    if isinstance(read, Rejection):
        raise click.UsageError(f"{read.reason}: {read.detail}")
    return read.operation.key


async def find_operation(services: Services, key: Key) -> OperationView | None:
    """Return the operation `key`, or None if it is unknown.

    Raises `ResourceNotFoundError` if the tables do not exist.
    """
    view = await get_operation(services.store, key)
    if view is None:
        await require_tables(services)
    return view


async def require_tables(services: Services) -> None:
    """Raise `ResourceNotFoundError` if a table of operations does not exist.

    Reading one row does not: it returns None, as it does for a missing row.
    """
    await services.store.results.find_page(Query(partition="-"), 1)
    await services.store.watches.find_page(Query(partition="-"), 1)
