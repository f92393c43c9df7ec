"""Checks of everything that the app needs, as values: the terminal prints them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from types import MappingProxyType
from typing import Any, TypeVar

import aiohttp
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.intake import Registration
from opswatch.core.mistakes import Part, problems_of
from opswatch.core.redact import redact_text
from opswatch.core.texts import one_line
from opswatch.ports import Query, Services
from opswatch.rows.messages import POISON_SUFFIX, QUEUES
from opswatch.rows.tables import TABLES

T = TypeVar("T")

UNREACHABLE = (AzureError, aiohttp.ClientError, OSError)  # what a call to Azure may raise
# What to do if a storage account refuses a connection string.
REFUSED_CREDENTIALS: Mapping[str, str] = MappingProxyType(
    {
        "key": "the account key in AzureWebJobsStorage is wrong or was replaced, the account "
        "permits no keys, or its firewall refuses this machine",
        "signature": "the shared access signature in AzureWebJobsStorage has expired or does not "
        "permit it: reading takes the service `t`, the resource types `co` and the permissions "
        "`rl`; posting takes `q`, `o` and `a`; stopping and redelivering take `tq`, `co` and "
        "`rlaud`",
    }
)
_REFUSED: Mapping[str, str] = MappingProxyType(
    {**REFUSED_CREDENTIALS, "token": "the identity lacks a role of `infra/README.md`"}
)
_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_NO_OPERATION = b"00000000-0000-0000-0000-000000000000"
_SUBSCRIPTIONS = "/subscriptions?api-version=2022-12-01"  # if no subscription is set
_LONGEST = 10.0  # seconds of one check
_SHOWN = 240  # characters of an error
_REFUSALS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "ARM rejects the token: is it of this cloud and tenant?",
    HTTPStatus.FORBIDDEN: "the identity may not read operations in this subscription",
    HTTPStatus.TOO_MANY_REQUESTS: "the subscription is being throttled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The outcome of one check."""

    topic: str  # settings, secret, storage, queue, poison, table, token or ARM
    is_good: bool
    text: str  # what was found, and what to do about it


async def check_all(services: Services) -> AsyncIterator[Check]:
    """Yield a check for each thing that the app needs; read only, and create nothing.

    What a wrong setting stops is not asked.
    """
    for problem in problems_of(services.mistakes, *Part):
        yield Check(topic="settings", is_good=False, text=problem)
    yield _check_secrets(services)
    if problems_of(services.mistakes, Part.STORAGE):
        return
    storage = await _check_storage(services)
    yield storage
    if storage.is_good:
        queues = (services.operations, services.deliveries)
        checks: list[Awaitable[Check]] = [
            *(
                _check("queue", name, queue.depth())
                for name, queue in zip(QUEUES, queues, strict=True)
            ),
            *(
                _check("poison", name + POISON_SUFFIX, queue.depth())
                for name, queue in zip(QUEUES, services.poison, strict=True)
            ),
            *(
                _check("table", name, getattr(services.store, name).find_page(Query(), 1))
                for name in TABLES
            ),
        ]
        for check in await asyncio.gather(*checks):
            yield check
    if not problems_of(services.mistakes, Part.POSTS, Part.POLLS):
        for check in await _check_arm(services):
            yield check


def _check_secrets(services: Services) -> Check:
    count = len(services.secrets)
    text = f"{count} to sign with, newest first"
    unresolved = [mistake.text for mistake in services.mistakes if not mistake.stops]
    if unresolved:
        text = f"{unresolved[0]}: no callback can be sent until then"
    elif not count:
        text = "no OPSWATCH_CALLBACK_SECRETS: no callback can be sent (`opswatch secret` makes one)"
    return Check(topic="secret", is_good=count > 0, text=text)


async def _check_storage(services: Services) -> Check:
    """Ask for a queue: any answer shows that the account can be reached."""
    try:
        async with answer_within(_LONGEST):
            await services.operations.depth()
    except UNREACHABLE as error:
        if _is_refused_key(error):
            return Check(topic="storage", is_good=False, text=_refusal(error))
        if isinstance(error, HttpResponseError) and error.status_code is not None:
            return Check(topic="storage", is_good=True, text=f"reachable ({error.status_code})")
        return Check(topic="storage", is_good=False, text=brief(error))
    return Check(topic="storage", is_good=True, text="reachable")


async def _check(topic: str, name: str, call: Awaitable[Any]) -> Check:
    """Check one queue or table by a call that returns its depth, or a page of it."""
    try:
        async with answer_within(_LONGEST):
            found = await call
    except ResourceNotFoundError:
        text = "does not exist: the app creates it when it starts"
        return Check(topic=topic, is_good=False, text=f"{name}: {text}")
    except UNREACHABLE as error:
        return Check(topic=topic, is_good=False, text=f"{name}: {_refusal(error)}")
    match topic:
        case "queue":
            return Check(
                topic=topic, is_good=True, text=f"{name}: {found} messages, hidden ones included"
            )
        case "poison":
            text = f"{name}: {found} messages"
            return Check(topic=topic, is_good=not found, text=text)
        case _:
            return Check(
                topic=topic, is_good=True, text=f"{name}: {'has rows' if found.values else 'empty'}"
            )


async def _check_arm(services: Services) -> list[Check]:
    """Poll an operation that does not exist: the least rights permit nothing else."""
    read = services.intake.read(_NO_OPERATION, services.clock())
    url = services.intake.endpoint + _SUBSCRIPTIONS
    if isinstance(read, Registration):
        url = read.operation.url
    has_token = Check(topic="token", is_good=True, text="available")
    match await services.arm.get(url):
        case NoAnswer("token", error):
            return [Check(topic="token", is_good=False, text=one_line(error, _SHOWN))]
        case NoAnswer(layer, error):
            text = f"{layer}: {one_line(error, _SHOWN)}"
            return [has_token, Check(topic="ARM", is_good=False, text=text)]
        case HttpResponse(code, _, body):
            refusal = _REFUSALS.get(code)
            if b"SubscriptionNotFound" in body:
                refusal = "the identity sees no such subscription"
            elif code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                refusal = "ARM has a problem"
            if refusal:
                return [has_token, Check(topic="ARM", is_good=False, text=f"{code}: {refusal}")]
            text = f"reachable ({code} for a test URL, as expected)"
            return [has_token, Check(topic="ARM", is_good=True, text=text)]


@asynccontextmanager
async def answer_within(
    seconds: float, error: Callable[[str], Exception] = TimeoutError
) -> AsyncIterator[None]:
    """Raise `error` with a text that says so if the block takes longer; infinity is no limit.

    The look-up of a name and the retries of a request have no limit of their own.
    """
    limit = asyncio.timeout(None if seconds == inf else seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise error(f"no answer within {seconds:g} s") from None


def _is_refused_key(error: Exception) -> bool:
    """Return whether the account refuses the key: then it refuses everything."""
    is_denied = getattr(error, "status_code", None) in _DENIED
    return is_denied and getattr(error, "credentials", None) == "key"


def _refusal(error: Exception) -> str:
    """Return why a call of the storage failed; of a refusal, what to do in place of its text."""
    if getattr(error, "status_code", None) not in _DENIED:
        return brief(error)
    code = getattr(error, "error_code", None)
    text = f"{error.status_code} {code}" if code else brief(error)  # type: ignore[attr-defined]
    advice = _REFUSED.get(getattr(error, "credentials", ""))
    return f"{text}: {advice}" if advice else text


def brief(error: Exception) -> str:
    """Return the first line of an error's text, free of secrets."""
    lines = redact_text(str(error) or type(error).__name__).splitlines()
    return one_line(lines[0], 300)
