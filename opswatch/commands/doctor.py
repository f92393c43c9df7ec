"""`opswatch doctor`: checks all that the app needs, one line each."""

import argparse
import asyncio
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus

import aiohttp
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from opswatch.adapters.account import Account
from opswatch.bootstrap import intake_of, open_account, open_arm
from opswatch.commands.terminal import (
    NOT_AS_WISHED,
    OK,
    Mark,
    Say,
    brief,
    console,
    environment,
    run,
    teller,
)
from opswatch.config import Settings
from opswatch.core.errors import ConfigError
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.intake import Registration
from opswatch.core.texts import one_line
from opswatch.rows.messages import OPERATIONS_QUEUE, POISON_SUFFIX, QUEUES
from opswatch.rows.tables import TABLES

_NO_OPERATION = b"00000000-0000-0000-0000-000000000000"
_SUBSCRIPTIONS = "/subscriptions?api-version=2022-12-01"  # where no subscription is set
_SHOWN = 240  # characters of an error
_REFUSALS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "ARM does not take the token: is it of this cloud and tenant?",
    HTTPStatus.FORBIDDEN: "the identity may not read operations in this subscription",
    HTTPStatus.TOO_MANY_REQUESTS: "the subscription is being throttled",
}

Verdict = tuple[Mark, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch doctor` to `parser`: there are none."""
    parser.epilog = "The exit code is 1 if anything is ✗."


def command(_: argparse.Namespace) -> int:
    """Check everything; return 1 if anything is amiss."""
    return run(_doctor())


async def _doctor() -> int:
    tell, marks = teller(console()), list[Mark]()

    def say(mark: Mark, topic: str, text: str) -> None:
        marks.append(mark)
        tell(mark, topic, text)

    await _examine(say)
    return NOT_AS_WISHED if Mark.BAD in marks else OK


async def _examine(say: Say) -> None:
    try:
        env = environment()
        settings = Settings.from_env(env)
    except ConfigError as error:
        for problem in error.problems:
            say(Mark.BAD, "settings", problem)
        return
    say(Mark.GOOD, "settings", f"can be used; ARM is {settings.arm_endpoint}")
    say(*_secrets(settings))
    async with open_account(settings, env) as account:
        await _storage(account, say)
    await _arm(settings, env, say)


def _secrets(settings: Settings) -> tuple[Mark, str, str]:
    count = len(settings.secrets)
    if not count:
        text = "no OPSWATCH_CALLBACK_SECRETS: no callback can be sent (`opswatch secret` makes one)"
        return Mark.BAD, "secret", text
    return Mark.GOOD, "secret", f"{count} to sign with, newest first"


async def _storage(account: Account, say: Say) -> None:
    mark, text = await _reached(account)
    say(mark, "storage", text)
    if mark is Mark.BAD:
        return
    checks = [
        *(_checked("queue", name, _queue(account, name)) for name in QUEUES),
        *(_checked("poison", name, _poison(account, name)) for name in QUEUES),
        *(_checked("table", name, _table(account, name)) for name in TABLES),
    ]
    for line in await asyncio.gather(*checks):
        say(*line)


async def _reached(account: Account) -> Verdict:
    try:
        await account.queue(OPERATIONS_QUEUE).get_queue_properties()
    except HttpResponseError as error:
        return Mark.GOOD, f"answers ({error.status_code})"
    except (AzureError, aiohttp.ClientError, OSError) as error:
        return Mark.BAD, brief(error)
    return Mark.GOOD, "answers"


async def _checked(topic: str, name: str, check: Awaitable[Verdict]) -> tuple[Mark, str, str]:
    try:
        mark, text = await check
    except ResourceNotFoundError:
        mark, text = Mark.BAD, "not there yet: the app makes it when it starts"
    except (AzureError, aiohttp.ClientError, OSError) as error:
        mark, text = Mark.BAD, brief(error)
    return mark, topic, f"{name}: {text}"


async def _queue(account: Account, name: str) -> Verdict:
    return Mark.GOOD, f"{await _depth(account, name)} messages, hidden ones included"


async def _poison(account: Account, name: str) -> Verdict:
    try:
        depth = await _depth(account, name + POISON_SUFFIX)
    except ResourceNotFoundError:  # the host makes it when it gives up the first one
        depth = 0
    return Mark.BAD if depth else Mark.GOOD, f"{depth} messages given up"


async def _depth(account: Account, name: str) -> int:
    properties = await account.queue(name).get_queue_properties()
    return properties.approximate_message_count or 0


async def _table(account: Account, name: str) -> Verdict:
    async for _ in account.table(name).list_entities(results_per_page=1):
        return Mark.GOOD, "has rows"
    return Mark.GOOD, "is empty"


async def _arm(settings: Settings, env: Mapping[str, str], say: Say) -> None:
    """Ask for an operation that is none, as a poll would: least rights open nothing else."""
    read = intake_of(settings).read(_NO_OPERATION, datetime.now(UTC))
    url = settings.arm_endpoint + _SUBSCRIPTIONS
    if isinstance(read, Registration):
        url = read.operation.url
    async with open_arm(settings, env) as arm:
        answer = await arm.get(url)
    match answer:
        case NoAnswer("token", error):
            say(Mark.BAD, "token", one_line(error, _SHOWN))
        case NoAnswer(layer, error):
            say(Mark.GOOD, "token", "can be had")
            say(Mark.BAD, "ARM", f"{layer}: {one_line(error, _SHOWN)}")
        case HttpResponse(status_code=code, body=body):
            say(Mark.GOOD, "token", "can be had")
            say(*_reading(code, body))


def _reading(code: int, body: bytes) -> tuple[Mark, str, str]:
    refusal = _REFUSALS.get(code)
    if b"SubscriptionNotFound" in body:
        refusal = "the identity sees no such subscription"
    elif code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        refusal = "ARM is not well"
    if refusal:
        return Mark.BAD, "ARM", f"{code}: {refusal}"
    return Mark.GOOD, "ARM", f"answers ({code}, to a question about nothing)"
