"""What the terminal posts: a text and options become the message that is sent."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import click

from opswatch import queries
from opswatch.cli.failures import AnswerError, is_refused
from opswatch.cli.operations import BEGINNING, find_key, get_operation, key_of, unknown
from opswatch.cli.source import Source, time_limit, utc_now
from opswatch.core.errors import Reason
from opswatch.core.intake import CALLBACK_ENDS, Intake, Rejection
from opswatch.core.keys import GUID, Key, key_from_text
from opswatch.core.texts import from_json, to_json
from opswatch.core.watches import can_be_watched_again

_AT_ONCE = 16
_AROUND = " \t\r\n\ufeff"
# Properties that name the operation: the resolved path replaces them.
_NAMING = frozenset(
    {
        *("operation", "id", "operationId", "subscriptionId", "location"),
        *("provider", "collection", "apiVersion"),
    }
)


@dataclass(frozen=True, slots=True)
class Draft:
    """One post, as a person wrote it."""

    name: str  # in errors: the line of a batch, or the text itself
    text: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A post that was sent."""

    draft: Draft
    key: Key | None  # None: it was sent although it will be rejected
    refusal: str | None = None  # why it will be
    ended_round: int = 0  # the round that this post ends, if it asks to watch it again
    # The URL that the post names, with its ends: of a post that the app is yet to read.
    callbacks: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """A post that was not sent, because it would be rejected, or because the app rejected it."""

    draft: Draft
    reason: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """A post that could not be sent."""

    draft: Draft
    error: Exception


Outcome = Sent | Refused | NotSent


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent for a draft."""

    value: str | dict[str, Any]
    key: Key | None = None
    refusal: str | None = None  # why these settings would reject it
    callbacks: Mapping[str, Collection[str]] = field(default_factory=dict)  # as of `Sent`


def message_of(text: str, options: Mapping[str, Any], intake: Intake, now: datetime) -> Message:
    """Return the message for `text`; `options` replace what a JSON object has.

    An operation that these settings can resolve is sent as its path, so that what the terminal
    reports is what the app watches, whatever the app's settings are. An absolute URL stays one: the
    app compares its host with its own endpoint.
    """
    stripped = text.strip(_AROUND)
    posted: dict[str, Any] | None = None
    if stripped.startswith("{"):
        try:
            posted = from_json(stripped)
        except ValueError as error:
            return Message(text, refusal=f"{Reason.NOT_JSON}: {error}")
    elif options and stripped.isprintable():
        posted = {"operation": stripped}
    given = {**posted, **options} if posted is not None else None
    body = text.encode("utf-8", "surrogateescape") if given is None else to_json(given).encode()
    read = intake.read(body, now)
    if isinstance(read, Rejection):
        refusal = f"{read.reason}: {read.detail}"
        return Message(text if given is None else given, refusal=refusal)
    operation, key = read.operation, read.operation.key
    callbacks: dict[str, Collection[str]] = {}
    if read.callback_url is not None and not read.is_default_callback:
        callbacks[read.callback_url] = read.callback_on or CALLBACK_ENDS
    if given is None:
        is_plain = "/" in stripped or operation.operation_id.lower() == stripped.lower()
        if not is_plain:  # base64, perhaps of an object
            return Message(text, key, callbacks=callbacks)
        given = {"operation": stripped}
    names = ("operation", "id", "operationId")  # in the order in which the intake looks
    named = next(str(given[name]) for name in names if given.get(name) is not None)
    target = operation.url if "://" in named else operation.url.removeprefix(intake.endpoint)
    kept = {name: value for name, value in given.items() if name not in _NAMING}
    value = {"operation": target, **kept} if kept else target
    return Message(value, key, callbacks=callbacks)


async def send_all(
    source: Source,
    drafts: Sequence[Draft],
    options: Mapping[str, Any],
    *,
    is_forced: bool,
    is_awaited: bool,
) -> AsyncIterator[Outcome]:
    """Send posts and yield what became of each, in their order.

    The rounds that they end are read only if the new ends are awaited. After one that cannot be
    sent, only those are tried that go with it at the same time.
    """
    for start in range(0, len(drafts), _AT_ONCE):
        together = drafts[start : start + _AT_ONCE]
        sending = (
            _send(source, draft, options, is_forced=is_forced, is_awaited=is_awaited)
            for draft in together
        )
        outcomes = await asyncio.gather(*sending)
        for outcome in outcomes:
            yield outcome
        if any(isinstance(outcome, NotSent) for outcome in outcomes):
            return


async def _send(
    source: Source, draft: Draft, options: Mapping[str, Any], *, is_forced: bool, is_awaited: bool
) -> Outcome:
    """Send one post; errors are outcomes, so that the others go on."""
    try:
        text = await _url_of_named(source, draft.text, is_again=bool(options.get("again")))
        message = message_of(text, options, source.intake, utc_now())
        if source.services is None:  # the app decides, by its own settings
            row = await source.call("POST", "operations", body=message.value)
            return Sent(draft, key_of(row))
        if message.refusal is not None and not is_forced:
            return Refused(draft, message.refusal)
        value, ended_round = message.value, 0
        is_again = isinstance(value, dict) and bool(value.get("again"))
        if is_awaited and is_again and message.key is not None:
            async with time_limit():
                ended = await source.services.store.results.get(message.key)
            if ended is not None and can_be_watched_again(ended.value):
                ended_round = ended.value.facts.round
        text = value if isinstance(value, str) else to_json(value)
        async with time_limit():
            await source.services.operations.send(text.encode("utf-8", "surrogateescape"))
    except click.ClickException as error:  # no operation, or several, are named so
        return Refused(draft, error.format_message())
    except AnswerError as error:
        if error.status == HTTPStatus.BAD_REQUEST and error.code in list(Reason):
            return Refused(draft, str(error))
        return NotSent(draft, error)
    except Exception as error:
        return NotSent(draft, error)
    return Sent(draft, message.key, message.refusal, ended_round, message.callbacks)


async def _url_of_named(source: Source, text: str, *, is_again: bool) -> str:
    """Return the URL of an operation that is named by its key; any other text as it is.

    An operation that is to be watched again is mostly known, so a beginning of its ID names it,
    too. Only a whole GUID may be new: a beginning would become an operation that does not exist.
    A poster that may not read the tables needs the whole GUID, or a path.
    """
    name = text.strip(_AROUND)
    is_key = key_from_text(name) is not None
    if not is_key and not (is_again and BEGINNING.fullmatch(name)):
        return text
    may_be_new = GUID.fullmatch(name) is not None
    try:
        url = await _url_of_known(source, await find_key(source, name, may_be_new=may_be_new))
    except Exception as error:
        if may_be_new and is_refused(error):
            return text
        raise
    if url is None and not may_be_new:
        raise unknown(name)
    return text if url is None else url


async def _url_of_known(source: Source, key: Key) -> str | None:
    if source.services is not None:
        async with time_limit():
            view = await queries.get_operation(source.services.store, key)
        if view is not None:
            return view.facts.operation.url  # whole, with its signature
    row = await get_operation(source, key)
    if row is None:
        return None
    version = row.get("apiVersion")
    return f"{row['url']}?{urlencode({'api-version': version})}" if version else str(row["url"])
