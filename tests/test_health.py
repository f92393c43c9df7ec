"""Each check, good and bad, over fakes; `test_bootstrap.py` runs them over a real account."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)

from opswatch import health
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.intake import Defaults
from opswatch.core.mistakes import Mistake, Part
from opswatch.health import Check, brief, check_all
from opswatch.ports import Services
from opswatch.rows.messages import POISON_SUFFIX, QUEUES
from opswatch.rows.tables import TABLES
from opswatch.testing import MemoryArm, MemoryPoisonQueue, MemoryQueue
from tests.support.harness import Harness, status_path

NOT_FOUND = HttpResponse(404, {}, b"{}")


class FailingPort:
    """A queue or a table whose every method raises `error`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def fail(*_: object, **__: object) -> None:
            raise self._error

        return fail


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    harness.status = NOT_FOUND  # ARM's answer to a read of an operation that does not exist
    poison = tuple(MemoryPoisonQueue(MemoryQueue(harness.clock)) for _ in QUEUES)
    harness.services = replace(harness.services, poison=poison)
    return harness


async def checks_of(services: Services) -> list[Check]:
    return [check async for check in check_all(services)]


async def bad(services: Services) -> list[tuple[str, str]]:
    """Return the topic and the text of each check that is not good."""
    checks = await checks_of(services)
    return [(check.topic, check.text) for check in checks if not check.is_good]


async def test_working_app_passes_every_check(harness: Harness) -> None:
    harness.operations.post(b"{}")
    await harness.pump()
    checks = await checks_of(harness.services)
    assert all(check.is_good for check in checks)
    texts = [(check.topic, check.text) for check in checks]
    assert texts == [
        ("secret", "1 to sign with, newest first"),
        ("storage", "reachable"),
        *(("queue", f"{name}: 0 messages, hidden ones included") for name in QUEUES),
        *(("poison", f"{name}{POISON_SUFFIX}: 0 messages") for name in QUEUES),
        *(
            ("table", f"{name}: {'has rows' if name == 'rejections' else 'empty'}")
            for name in TABLES
        ),
        ("token", "available"),
        ("ARM", "reachable (404 for a test URL, as expected)"),
    ]


async def test_missing_secret_is_bad(harness: Harness) -> None:
    ((topic, text),) = await bad(replace(harness.services, secrets=()))
    assert topic == "secret"
    assert "OPSWATCH_CALLBACK_SECRETS" in text


async def test_poison_message_is_bad(harness: Harness) -> None:
    queue = MemoryQueue(harness.clock)
    queue.post(b"x")
    services = replace(
        harness.services, poison=(harness.services.poison[0], MemoryPoisonQueue(queue))
    )
    assert await bad(services) == [("poison", "deliveries-poison: 1 messages")]


UNREACHABLE = [
    ServiceRequestError("no such host"),
    aiohttp.ClientConnectionError("refused"),
    OSError("no route"),
]


@pytest.mark.parametrize("error", UNREACHABLE, ids=lambda error: type(error).__name__)
async def test_unreachable_storage_is_reported_once(harness: Harness, error: Exception) -> None:
    failing: Any = FailingPort(error)
    services = replace(harness.services, operations=failing, deliveries=failing)
    assert await bad(services) == [("storage", str(error))]
    assert [check.topic for check in await checks_of(services)] == [
        "secret", "storage", "token", "ARM",
    ]  # fmt: skip


async def test_storage_without_a_token_is_not_reached(harness: Harness) -> None:
    failing: Any = FailingPort(ClientAuthenticationError("no token within 7 s"))
    found = await bad(replace(harness.services, operations=failing))
    assert ("storage", "no token within 7 s") in found
    assert "table" not in [topic for topic, _ in found]


async def test_storage_that_hangs_is_not_reached(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(MemoryQueue):
        async def depth(self) -> int:
            await asyncio.Event().wait()
            return 0

    monkeypatch.setattr(health, "_LONGEST", 0.01)
    services = replace(harness.services, operations=Hanging(harness.clock))
    assert ("storage", "no answer within 0.01 s") in await bad(services)


async def test_timeout_of_a_request_keeps_its_own_text(harness: Harness) -> None:
    class TimedOut(MemoryQueue):
        async def depth(self) -> int:
            raise TimeoutError("the name server has not answered")

    services = replace(harness.services, operations=TimedOut(harness.clock))
    assert ("storage", "the name server has not answered") in await bad(services)


async def test_refused_queue_shows_reachable_storage(harness: Harness) -> None:
    error = HttpResponseError("403 AuthorizationFailure: no")
    error.status_code = 403
    failing: Any = FailingPort(error)
    services = replace(harness.services, operations=failing)
    storage = (await checks_of(services))[1]
    assert storage == Check(topic="storage", is_good=True, text="reachable (403)")
    assert await bad(services) == [("queue", "operations: 403 AuthorizationFailure: no")]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ResourceNotFoundError("404"), "does not exist: the app creates it when it starts"),
        (ServiceRequestError("reset\nby peer"), "reset"),
    ],
)
async def test_bad_table_is_named(
    harness: Harness, table: str, error: Exception, text: str
) -> None:
    store = replace(harness.services.store, **{table: FailingPort(error)})
    assert await bad(replace(harness.services, store=store)) == [("table", f"{table}: {text}")]


@pytest.mark.parametrize(
    ("answer", "topic", "text"),
    [
        (NoAnswer("token", "no\x1b identity"), "token", "no\\x1b identity"),
        (NoAnswer("dns", "no such name"), "ARM", "dns: no such name"),
        (HttpResponse(401, {}), "ARM", "401: ARM rejects the token: is it of this cloud and"),
        (HttpResponse(403, {}), "ARM", "403: the identity may not read operations in this"),
        (HttpResponse(429, {}), "ARM", "429: the subscription is being throttled"),
        (HttpResponse(500, {}), "ARM", "500: ARM has a problem"),
        (
            HttpResponse(404, {}, b'{"error": {"code": "SubscriptionNotFound"}}'),
            "ARM",
            "404: the identity sees no such subscription",
        ),
    ],
)
async def test_bad_answer_of_arm_is_explained(
    harness: Harness, answer: HttpResponse | NoAnswer, topic: str, text: str
) -> None:
    harness.status = answer
    ((found, why),) = await bad(harness.services)
    assert (found, why[: len(text)]) == (topic, text)
    checked = {check.topic for check in await checks_of(harness.services)}
    assert ("ARM" in checked) == (topic == "ARM")  # without a token there is no answer of ARM


@pytest.mark.parametrize("code", [200, 202, 400, 404])
async def test_other_answers_of_arm_are_good(harness: Harness, code: int) -> None:
    harness.status = HttpResponse(code, {})
    assert await bad(harness.services) == []


async def test_arm_is_asked_in_the_configured_subscription(harness: Harness) -> None:
    arm = MemoryArm(lambda _: NOT_FOUND)
    services = replace(harness.services, arm=arm)
    await checks_of(services)
    without = replace(services.intake, defaults=Defaults(subscription_id="", location=""))
    await checks_of(replace(services, intake=without))
    subscription = status_path().split("/")[2]
    assert f"/subscriptions/{subscription}/" in arm.asked[0]
    assert arm.asked[1].endswith("/subscriptions?api-version=2022-12-01")


def test_error_is_shown_in_one_clean_line() -> None:
    url = "https://a.queue.core.windows.net/q?sv=1&sig=hushhush"
    shown = brief(ServiceRequestError(f"cannot reach {url}\nsecond line"))
    assert shown.startswith("cannot reach https://a.queue.core.windows.net/q")
    assert "hushhush" not in shown
    assert "second" not in shown
    assert brief(TimeoutError()) == "TimeoutError"
    assert len(brief(OSError("x" * 999))) <= 300


# --- wrong settings


@pytest.mark.parametrize(
    ("part", "asked"),
    [
        (Part.STORAGE, {"settings", "secret"}),
        (Part.POSTS, {"settings", "secret", "storage", "queue", "poison", "table"}),
        (Part.POLLS, {"settings", "secret", "storage", "queue", "poison", "table"}),
        (
            Part.DELIVERIES,
            {"settings", "secret", "storage", "queue", "poison", "table", "token", "ARM"},
        ),
    ],
)
async def test_what_a_wrong_setting_stops_is_not_asked(
    harness: Harness, part: Part, asked: set[str]
) -> None:
    mistake = Mistake("OPSWATCH_X: wrong", frozenset({part}))
    services = replace(harness.services, mistakes=(mistake,))
    checks = await checks_of(services)
    assert {check.topic for check in checks} == asked
    assert await bad(services) == [("settings", "OPSWATCH_X: wrong")]
