"""Finding the operation that an argument names."""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import click

from opswatch.cli.exit_codes import EXIT_USAGE
from opswatch.cli.failures import AnswerError, CommandError
from opswatch.cli.pages import iter_pages
from opswatch.cli.source import Source, utc_now
from opswatch.core.errors import Reason
from opswatch.core.intake import Rejection
from opswatch.core.keys import GUID, Key, key_from_text
from opswatch.core.texts import to_json

BEGINNING = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_MOST_CANDIDATES = 10
_SHORT = 8  # characters of an ID that is shown
OPERATION_HELP = (
    "OPERATION is an operation ID or a unique beginning of one (of the last 30 days), an ARM path, "
    "a URL or a JSON object, as in a post, or SUBSCRIPTION/KEY, as the operation's row has them."
)


def key_of(row: Mapping[str, Any]) -> Key:
    """Return the key of an operation in an answer of the API."""
    return Key(row["subscriptionId"], row["key"])


def operation_path(key: Key) -> str:
    """Return the path of an operation in the API."""
    return f"operations/{key.partition}/{key.row}"


async def find_key(source: Source, text: str, *, may_be_new: bool = False) -> Key:
    """Return the key of the operation that `text` names.

    The operation of a full name may be unknown. A bare ID that names no row, or whose settings are
    missing, is the beginning of one: raises `CommandError` unless exactly one begins so. If it
    `may_be_new`, a bare ID that is no beginning either is the name of an operation to come.
    """
    text = text.strip()
    if named := key_from_text(text):
        return named
    is_bare = BEGINNING.fullmatch(text) is not None
    # A bare ID as it is: some look like base64.
    body = to_json({"operation": text}) if is_bare else text
    read = source.intake.read(body.encode("utf-8", "surrogateescape"), utc_now())
    if isinstance(read, Rejection):
        if not (is_bare and read.reason is Reason.MISSING_SETTING):
            raise click.UsageError(f"{read.reason}: {read.detail}")
        key = None
    else:
        key = read.operation.key
        if not is_bare or await get_operation(source, key) is not None:
            return key
        if may_be_new and GUID.fullmatch(text):
            return key
    found = await _find_beginning(source, text)
    if found is None and may_be_new:
        found = key
    if found is None:
        raise unknown(repr(text))
    return found


async def get_operation(source: Source, key: Key) -> dict[str, Any] | None:
    """Return an operation with its deliveries; None if it is unknown."""
    try:
        row: dict[str, Any] = await source.call("GET", operation_path(key))
    except AnswerError as error:
        if error.code in ("OperationNotFound", "NotFound"):
            return None
        raise
    return row


def unknown(name: str | Key) -> CommandError:
    """Return the error about an operation that is not known."""
    text = f"{name} is unknown: it was never posted, is not registered yet, or has been purged"
    return CommandError(f"{text}; `opswatch list` and `opswatch rejections` show more", EXIT_USAGE)


async def _find_beginning(source: Source, text: str) -> Key | None:
    """Return the key of the one operation whose ID is `text`, or begins so; None if none does."""
    found: dict[Key, str] = {}
    for query in ({"operation": text, "state": "watching"}, {"operation": text}):
        async for page in iter_pages(source, "operations", query):
            found |= {key_of(row): row["operationId"] for row in page}
            if len(found) > _MOST_CANDIDATES:
                break
    exact = [key for key, name in found.items() if name.lower() == text.lower()]
    for keys in (exact, list(found)):
        if len(keys) == 1:
            return keys[0]
    if not found:
        return None
    shown = [f"  {key}" for key in list(found)[:_MOST_CANDIDATES]]
    more = ["  …"] if len(found) > _MOST_CANDIDATES else []
    lines = [f"{text!r} is the beginning of several operations:", *shown, *more]
    raise CommandError("\n".join(lines), EXIT_USAGE)


def short_ids(names: Iterable[str]) -> dict[str, str]:
    """Return the beginnings of IDs that distinguish them from each other, 8 characters at least."""
    known = sorted(set(names), key=str.lower)
    if not known:
        return {}
    shared = [_shared(one.lower(), other.lower()) for one, other in pairwise(known)]
    return {
        name: name[: max(_SHORT, before + 1, after + 1)]
        for name, before, after in zip(known, [0, *shared], [*shared, 0], strict=True)
    }


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
