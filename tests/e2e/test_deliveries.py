"""Deliveries to receivers of every kind: the real steps over real HTTP, in simulated time."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from standardwebhooks.webhooks import Webhook

from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.intake import Registration
from opswatch.core.keys import operation_from_url
from opswatch.core.policy import Policy
from opswatch.core.wakeups import WakeUp
from opswatch.dated import Span
from opswatch.lists import DeliveryFilter
from opswatch.steps.control import redeliver_all
from opswatch.steps.poll import poll
from opswatch.steps.register import register
from tests.support.builders import LOOPBACK
from tests.support.control import redeliver
from tests.support.harness import ENDPOINT, KEY, SECRET, Harness, ended, status_path
from tests.support.receivers import (
    BrokenTlsReceiver,
    Floods,
    Receiver,
    Request,
    Responder,
    answers,
    closes_early,
    hangs,
)

MINUTE = timedelta(minutes=1)
TIMEOUT = timedelta(seconds=15)
THREE_ATTEMPTS = Policy(callback_schedule=(timedelta(0), MINUTE, 60 * MINUTE))
DATE, SEVEN_LATER = "Mon, 23 Nov 2026 03:00:00 GMT", "Mon, 23 Nov 2026 03:07:00 GMT"


@asynccontextmanager
async def pending_delivery(
    url: str, *, policy: Policy, rules: CallbackRules = LOOPBACK, limit: timedelta = TIMEOUT
) -> AsyncIterator[Harness]:
    """Yield the app with an operation that has succeeded, and its pending delivery to `url`."""
    callbacks = HttpCallbacks(rules, timeout=limit)
    harness = Harness(policy, callbacks=callbacks)
    harness.status = ended()
    operation = operation_from_url(f"{ENDPOINT}{status_path()}?api-version=1")
    try:
        registration = Registration(operation=operation, callback_url=url)
        await register(harness.services, registration, harness.now)
        await poll(harness.services, WakeUp(key=KEY, seq=1))
        yield harness
    finally:
        await callbacks.close()


async def settle(harness: Harness) -> Delivery:
    """Make each attempt when it is due, until the delivery has settled."""
    await harness.settle()
    assert harness.store.outbox.rows == {}
    assert harness.deliveries.messages == {}
    return harness.settled


async def deliver_to(
    *responders: Responder, policy: Policy | None = None, limit: timedelta = TIMEOUT
) -> tuple[Receiver, Delivery]:
    """Deliver to a receiver with these responders, until the delivery has settled."""
    async with (
        Receiver(*responders) as receiver,
        pending_delivery(receiver.url, policy=policy or Policy(), limit=limit) as harness,
    ):
        delivery = await settle(harness)
    assert [attempt.at for attempt in delivery.attempt_log] == [
        datetime.fromtimestamp(int(post.headers["webhook-timestamp"]), UTC)
        for post in receiver.posts
    ]
    assert {post.headers["webhook-id"] for post in receiver.posts} == {delivery.delivery_id}
    assert all(is_signed(post) for post in receiver.posts)
    assert delivery.attempts == len(receiver.posts)
    return receiver, delivery


def is_signed(post: Request) -> bool:
    at = datetime.fromtimestamp(int(post.headers["webhook-timestamp"]), UTC)
    signature = Webhook(SECRET.text).sign(post.headers["webhook-id"], at, post.body.decode())
    return post.headers["webhook-signature"].split(" ") == [signature]


def gaps(delivery: Delivery) -> list[timedelta]:
    return [later.at - earlier.at for earlier, later in pairwise(delivery.attempt_log)]


def is_about(gap: timedelta, scheduled: timedelta) -> bool:
    """Return whether a gap is as scheduled, ± 20 %, in whole seconds."""
    return 0.8 * scheduled <= gap <= 1.2 * scheduled + timedelta(seconds=1)


# --- delivered in the end


async def test_accepted_event_is_posted_once() -> None:
    receiver, delivery = await deliver_to(answers(200, b"thanks"))
    (post,) = receiver.posts
    event = json.loads(post.body)
    assert (event["id"], event["type"]) == (delivery.delivery_id, "opswatch.operation.succeeded")
    assert (delivery.state, delivery.last_status_code) == (DeliveryState.DELIVERED, 200)
    assert delivery.delivered_at == delivery.last_attempt_at


async def test_failures_are_retried_as_scheduled() -> None:
    receiver, delivery = await deliver_to(answers(500, b"oh"), answers(500), answers(204))
    assert delivery.state is DeliveryState.DELIVERED
    assert [post.headers["opswatch-attempt"] for post in receiver.posts] == ["1", "2", "3"]
    assert [attempt.status_code for attempt in delivery.attempt_log] == [500, 500, 204]
    assert [attempt.error for attempt in delivery.attempt_log] == ["500 oh", "500", None]
    first, second = gaps(delivery)
    assert is_about(first, timedelta(seconds=5))
    assert is_about(second, timedelta(seconds=300))


@pytest.mark.parametrize(
    ("responder", "pause"),
    [
        (answers(429, Retry_After="120"), 2 * MINUTE),
        (answers(503, Retry_After=SEVEN_LATER, Date=DATE), 7 * MINUTE),
        (answers(429), MINUTE),
        *((answers(status), 5 * MINUTE) for status in (401, 403, 404)),
    ],
)
async def test_answer_decides_pause(responder: Responder, pause: timedelta) -> None:
    receiver, delivery = await deliver_to(responder, answers(204))
    assert len(receiver.posts) == 2
    assert gaps(delivery) == [pause]
    assert delivery.state is DeliveryState.DELIVERED


async def test_hanging_receiver_is_retried_after_a_minute() -> None:
    receiver, delivery = await deliver_to(hangs, answers(204), limit=timedelta(milliseconds=100))
    assert len(receiver.posts) == 2
    assert delivery.state is DeliveryState.DELIVERED
    assert (delivery.attempt_log[0].layer, delivery.attempt_log[0].status_code) == ("timeout", None)
    assert gaps(delivery) == [MINUTE]


async def test_early_close_is_retried() -> None:
    receiver, delivery = await deliver_to(closes_early, closes_early, answers(204))
    assert len(receiver.posts) == 3
    assert delivery.state is DeliveryState.DELIVERED
    assert [attempt.layer for attempt in delivery.attempt_log] == ["http", "http", None]


async def test_endless_answer_is_neither_read_nor_kept() -> None:
    refusing, accepting = Floods(500), Floods(200)
    receiver, delivery = await deliver_to(refusing, accepting)
    assert len(receiver.posts) == 2
    assert delivery.state is DeliveryState.DELIVERED
    assert max(refusing.sent, accepting.sent) < refusing.size / 5  # the size of the buffers
    assert len(delivery.attempt_log[0].error or "") <= 512


# --- abandoned


@pytest.mark.parametrize(
    ("responder", "posts", "reason"),
    [
        (answers(410), 1, "410"),
        (answers(503, webhook_delivery="abort-message"), 1, "503 abort-message"),
        *((answers(status), 3, str(status)) for status in (400, 413, 415, 422)),
    ],
)
async def test_answer_ends_delivery(responder: Responder, posts: int, reason: str) -> None:
    receiver, delivery = await deliver_to(responder)
    assert len(receiver.posts) == posts
    assert (delivery.state, delivery.reason) == (DeliveryState.ABANDONED, reason)
    assert delivery.next_attempt_at is None


async def test_redirect_is_a_failure_and_not_followed() -> None:
    async with Receiver(answers(204)) as private:
        redirect = answers(302, Location=private.url)
        receiver, delivery = await deliver_to(redirect, policy=THREE_ATTEMPTS)
    assert private.connections == 0
    assert len(receiver.posts) == 3
    assert (delivery.state, delivery.reason) == (DeliveryState.ABANDONED, "302")


async def test_broken_tls_is_retried_until_schedule_ends() -> None:
    async with (
        BrokenTlsReceiver() as receiver,
        pending_delivery(receiver.url, policy=THREE_ATTEMPTS) as harness,
    ):
        delivery = await settle(harness)
    assert (receiver.connections, receiver.requests) == (3, [])
    assert delivery.state is DeliveryState.ABANDONED
    assert [attempt.layer for attempt in delivery.attempt_log] == ["tls"] * 3
    assert (delivery.reason or "").startswith("tls: ")


async def test_refused_connection_is_retried_until_schedule_ends() -> None:
    async with Receiver() as receiver:
        url = receiver.url
    async with pending_delivery(url, policy=THREE_ATTEMPTS) as harness:
        delivery = await settle(harness)
    assert delivery.state is DeliveryState.ABANDONED
    assert [attempt.layer for attempt in delivery.attempt_log] == ["connect"] * 3


async def test_forbidden_address_ends_delivery_without_connection() -> None:
    async with Receiver(answers(204)) as receiver:
        url = receiver.url.replace("http:", "https:")
        async with pending_delivery(url, policy=Policy(), rules=CallbackRules()) as harness:
            delivery = await settle(harness)
    assert receiver.connections == 0
    assert (delivery.state, delivery.attempts) == (DeliveryState.ABANDONED, 1)
    assert delivery.attempt_log[0].layer == "refused"
    assert "loopback" in (delivery.reason or "")


async def test_failing_receiver_gets_ten_attempts_over_days() -> None:
    receiver, delivery = await deliver_to(answers(500))
    assert len(receiver.posts) == 10
    assert (delivery.state, delivery.reason) == (DeliveryState.ABANDONED, "500")
    for gap, scheduled in zip(gaps(delivery), Policy().callback_schedule[1:], strict=True):
        assert is_about(gap, scheduled)


# --- rows and replays


async def test_delivery_moves_from_outbox_to_record() -> None:
    async with (
        Receiver(answers(500), answers(204)) as receiver,
        pending_delivery(receiver.url, policy=Policy()) as harness,
    ):
        assert (harness.pending.state, harness.pending.attempts) == (DeliveryState.PENDING, 0)
        await harness.pump_deliveries()
        assert (harness.pending.state, harness.pending.attempts) == (DeliveryState.PENDING, 1)
        assert (harness.pending.last_status_code, harness.pending.last_error) == (500, "500")
        assert harness.store.deliveries.rows == {}
        pending = harness.pending
        delivery = await settle(harness)
        assert delivery.key == pending.key


@asynccontextmanager
async def abandoned_delivery() -> AsyncIterator[tuple[Harness, Receiver, Delivery]]:
    """Yield a delivery that was abandoned a minute ago; the receiver now accepts everything."""
    async with (
        Receiver(answers(410), answers(204)) as receiver,
        pending_delivery(receiver.url, policy=Policy()) as harness,
    ):
        abandoned = await settle(harness)
        harness.advance(minutes=1)
        yield harness, receiver, abandoned


async def test_replay_keeps_id_and_log() -> None:
    async with abandoned_delivery() as (harness, receiver, abandoned):
        assert await redeliver(harness.services, KEY) == 1
        delivered = await settle(harness)
    first, second = receiver.posts
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivered.delivery_id
    assert first.body == second.body
    assert (abandoned.state, delivered.state) == (DeliveryState.ABANDONED, DeliveryState.DELIVERED)
    assert [attempt.status_code for attempt in delivered.attempt_log] == [410, 204]
    assert delivered.reason is None


async def test_abandoned_deliveries_are_replayed_from_instant() -> None:
    async with abandoned_delivery() as (harness, receiver, abandoned):
        last = abandoned.last_attempt_at
        assert last is not None

        def abandoned_since(since: datetime) -> DeliveryFilter:
            span = Span(since=since, until=harness.now + timedelta(seconds=1))
            return DeliveryFilter(span=span, states=(DeliveryState.ABANDONED,))

        late = last + timedelta(microseconds=1)
        assert await redeliver_all(harness.services, abandoned_since(late)) == (0, False)
        assert await redeliver_all(harness.services, abandoned_since(last)) == (1, False)
        delivered = await settle(harness)
        assert delivered.state is DeliveryState.DELIVERED
        assert await redeliver_all(harness.services, abandoned_since(last)) == (0, False)
    assert len(receiver.posts) == 2
