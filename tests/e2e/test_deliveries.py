"""Deliveries to receivers of every temper: the real steps over real HTTP, in simulated time."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from itertools import pairwise

import pytest
from standardwebhooks.webhooks import Webhook

from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.http import HttpResponse
from opswatch.core.intake import Registration
from opswatch.core.keys import WakeUp, operation_from_url
from opswatch.core.policy import Policy
from opswatch.ports import Services
from opswatch.steps.control import redeliver, redeliver_abandoned
from opswatch.steps.messages import deliveries_message
from opswatch.steps.poll import poll
from opswatch.steps.register import register
from opswatch.testing import MemoryArm, MemoryQueue, MemoryStore, pump
from tests.support.harness import ENDPOINT, SECRET, make_services, status_path
from tests.support.receivers import (
    Floods,
    Receiver,
    Request,
    Temper,
    answers,
    breaking_hellos,
    closes_early,
    hangs,
    receiving,
)

OPERATION = operation_from_url(f"{ENDPOINT}{status_path('1b2c')}?api-version=1")
LOOPBACK = CallbackRules(networks=(ip_network("127.0.0.0/8"),))
THREE_ATTEMPTS = Policy(callback_schedule=(timedelta(0), timedelta(minutes=1), timedelta(hours=1)))
MINUTE = timedelta(minutes=1)


@dataclass
class Clock:
    """A clock that stands until somebody moves it."""

    now: datetime = datetime(2026, 11, 23, 3, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A world whose one operation has succeeded, and its parts."""

    services: Services
    store: MemoryStore
    queue: MemoryQueue
    clock: Clock

    async def settle(self) -> Delivery:
        """Make attempts, each when it is due, until the one delivery is settled."""
        while self.store.outbox.rows:
            due_at = min(message.visible_at for message in self.queue.messages.values())
            self.clock.now = max(self.clock.now, due_at)
            await pump(self.queue, partial(deliveries_message, self.services))
        assert self.queue.messages == {}
        (delivery,) = self.store.deliveries.values()
        return delivery

    @property
    def owed(self) -> Delivery:
        (delivery,) = self.store.outbox.values()
        return delivery


@asynccontextmanager
async def house(
    url: str,
    *,
    policy: Policy | None = None,
    rules: CallbackRules = LOOPBACK,
    timeout: timedelta = timedelta(seconds=15),  # noqa: ASYNC109 - the adapter's
) -> AsyncIterator[House]:
    clock, store = Clock(), MemoryStore()
    queue, operations = MemoryQueue(clock), MemoryQueue(clock)
    callbacks = HttpCallbacks(rules, timeout=timeout)
    services = make_services(
        operations=operations,
        deliveries=queue,
        arm=MemoryArm(lambda _: HttpResponse(200, {}, b'{"status": "Succeeded"}')),
        clock=clock,
        store=store,
        callbacks=callbacks,
        policy=policy,
    )
    try:
        await register(services, Registration(operation=OPERATION, callback_url=url), clock.now)
        await poll(services, WakeUp(OPERATION.key, 1))
        yield House(services=services, store=store, queue=queue, clock=clock)
    finally:
        await callbacks.close()


async def delivered_to(
    *tempers: Temper,
    policy: Policy | None = None,
    timeout: timedelta = timedelta(seconds=15),  # noqa: ASYNC109 - the adapter's
) -> tuple[Receiver, Delivery]:
    """Deliver to a receiver of these tempers to the end."""
    async with (
        receiving(*tempers) as receiver,
        house(receiver.url, policy=policy, timeout=timeout) as ours,
    ):
        delivery = await ours.settle()
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
    """Tell whether a gap is as scheduled, ± 20 %, in whole seconds."""
    return 0.8 * scheduled <= gap <= 1.2 * scheduled + timedelta(seconds=1)


# --- what is delivered in the end


async def test_who_takes_the_event_at_once_gets_it_once() -> None:
    receiver, delivery = await delivered_to(answers(200, b"thanks"))
    (post,) = receiver.posts
    event = json.loads(post.body)
    assert (event["id"], event["type"]) == (delivery.delivery_id, "opswatch.operation.succeeded")
    assert (delivery.state, delivery.last_status_code) == (DeliveryState.DELIVERED, 200)
    assert delivery.delivered_at == delivery.last_attempt_at


async def test_who_fails_twice_is_called_a_third_time_as_scheduled() -> None:
    receiver, delivery = await delivered_to(answers(500, b"oh"), answers(500), answers(204))
    assert delivery.state is DeliveryState.DELIVERED
    assert [post.headers["opswatch-attempt"] for post in receiver.posts] == ["1", "2", "3"]
    assert [attempt.status_code for attempt in delivery.attempt_log] == [500, 500, 204]
    assert [attempt.error for attempt in delivery.attempt_log] == ["500 oh", "500", None]
    first, second = gaps(delivery)
    assert is_about(first, timedelta(seconds=5))
    assert is_about(second, timedelta(seconds=300))


async def test_who_asks_for_a_pause_gets_it() -> None:
    busy = answers(429, Retry_After="120")
    receiver, delivery = await delivered_to(busy, answers(204))
    assert len(receiver.posts) == 2
    assert gaps(delivery) == [2 * MINUTE]
    assert delivery.state is DeliveryState.DELIVERED


async def test_who_asks_for_a_pause_until_an_instant_gets_it() -> None:
    date, then = "Mon, 23 Nov 2026 03:00:00 GMT", "Mon, 23 Nov 2026 03:07:00 GMT"
    _, delivery = await delivered_to(answers(503, Retry_After=then, Date=date), answers(204))
    assert gaps(delivery) == [7 * MINUTE]


async def test_who_has_too_much_to_do_is_left_alone_for_a_minute() -> None:
    _, delivery = await delivered_to(answers(429), answers(204))
    assert gaps(delivery) == [MINUTE]


async def test_who_hangs_is_called_again_after_a_minute() -> None:
    short = timedelta(milliseconds=100)
    receiver, delivery = await delivered_to(hangs, answers(204), timeout=short)
    assert len(receiver.posts) == 2
    assert delivery.state is DeliveryState.DELIVERED
    assert (delivery.attempt_log[0].layer, delivery.attempt_log[0].status_code) == ("timeout", None)
    assert gaps(delivery) == [MINUTE]


async def test_who_closes_early_is_called_again() -> None:
    receiver, delivery = await delivered_to(closes_early, closes_early, answers(204))
    assert len(receiver.posts) == 3
    assert delivery.state is DeliveryState.DELIVERED
    assert [attempt.layer for attempt in delivery.attempt_log] == ["http", "http", None]


async def test_of_a_hundred_megabytes_next_to_nothing_is_read_and_less_is_kept() -> None:
    refusing, taking = Floods(500), Floods(200)
    receiver, delivery = await delivered_to(refusing, taking)
    assert len(receiver.posts) == 2
    assert delivery.state is DeliveryState.DELIVERED
    assert max(refusing.sent, taking.sent) < refusing.size / 5  # what the buffers on the way hold
    assert len(delivery.attempt_log[0].error or "") <= 512


# --- what is abandoned


async def test_who_has_retired_is_called_no_more() -> None:
    receiver, delivery = await delivered_to(answers(410))
    assert len(receiver.posts) == 1
    assert (delivery.state, delivery.reason) == (DeliveryState.ABANDONED, "410")
    assert delivery.next_attempt_at is None


async def test_who_wants_no_more_of_this_event_is_called_no_more() -> None:
    stop = answers(503, webhook_delivery="abort-message")
    receiver, delivery = await delivered_to(stop)
    assert len(receiver.posts) == 1
    assert (delivery.state, delivery.reason) == (DeliveryState.ABANDONED, "503 abort-message")


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_who_blames_the_request_is_called_three_times(status: int) -> None:
    receiver, delivery = await delivered_to(answers(status))
    assert len(receiver.posts) == 3
    assert (delivery.state, delivery.reason) == (DeliveryState.ABANDONED, str(status))


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_who_has_something_to_mend_is_given_five_minutes(status: int) -> None:
    receiver, delivery = await delivered_to(answers(status), answers(204))
    assert len(receiver.posts) == 2
    assert gaps(delivery) == [5 * MINUTE]


async def test_a_redirect_is_a_failure_and_is_not_followed() -> None:
    async with receiving(answers(204)) as private:
        elsewhere = answers(302, Location=private.url)
        receiver, delivery = await delivered_to(elsewhere, policy=THREE_ATTEMPTS)
    assert private.connections == 0
    assert len(receiver.posts) == 3
    assert (delivery.state, delivery.reason) == (DeliveryState.ABANDONED, "302")


async def test_a_broken_tls_hello_is_tried_as_long_as_the_schedule_goes() -> None:
    async with (
        breaking_hellos() as receiver,
        house(receiver.url, policy=THREE_ATTEMPTS) as ours,
    ):
        delivery = await ours.settle()
    assert (receiver.connections, receiver.requests) == (3, [])
    assert delivery.state is DeliveryState.ABANDONED
    assert [attempt.layer for attempt in delivery.attempt_log] == ["tls"] * 3
    assert delivery.reason is not None
    assert delivery.reason.startswith("tls: ")


async def test_who_is_not_there_is_tried_as_long_as_the_schedule_goes() -> None:
    async with receiving() as receiver:
        url = receiver.url
    async with house(url, policy=THREE_ATTEMPTS) as ours:
        delivery = await ours.settle()
    assert delivery.state is DeliveryState.ABANDONED
    assert [attempt.layer for attempt in delivery.attempt_log] == ["connect"] * 3


async def test_an_address_that_is_not_permitted_ends_the_delivery_and_gets_no_connection() -> None:
    async with receiving(answers(204)) as receiver:
        url = receiver.url.replace("http:", "https:")
        async with house(url, rules=CallbackRules()) as ours:
            delivery = await ours.settle()
    assert receiver.connections == 0
    assert (delivery.state, delivery.attempts) == (DeliveryState.ABANDONED, 1)
    assert delivery.attempt_log[0].layer == "refused"
    assert "loopback" in (delivery.reason or "")


async def test_who_never_takes_it_is_called_ten_times_in_the_days_of_the_schedule() -> None:
    receiver, delivery = await delivered_to(answers(500))
    assert len(receiver.posts) == 10
    assert (delivery.state, delivery.reason) == (DeliveryState.ABANDONED, "500")
    for gap, scheduled in zip(gaps(delivery), Policy().callback_schedule[1:], strict=True):
        assert is_about(gap, scheduled)


# --- the rows on the way, and after it


async def test_a_delivery_is_in_the_outbox_while_it_is_owed_and_in_the_archive_afterwards() -> None:
    async with receiving(answers(500), answers(204)) as receiver, house(receiver.url) as ours:
        assert (ours.owed.state, ours.owed.attempts) == (DeliveryState.PENDING, 0)
        await pump(ours.queue, partial(deliveries_message, ours.services))
        assert (ours.owed.state, ours.owed.attempts) == (DeliveryState.PENDING, 1)
        assert (ours.owed.last_status_code, ours.owed.last_error) == (500, "500")
        assert ours.store.deliveries.rows == {}
        delivery = await ours.settle()
        assert delivery.key == ours.store.deliveries.values()[0].key
        assert ours.store.outbox.rows == {}


async def test_a_replay_has_the_same_id_and_its_log_goes_on() -> None:
    async with receiving(answers(410), answers(204)) as receiver, house(receiver.url) as ours:
        abandoned = await ours.settle()
        ours.clock.now += MINUTE
        assert await redeliver(ours.services, OPERATION.key) == 1
        delivered = await ours.settle()
    first, second = receiver.posts
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivered.delivery_id
    assert first.body == second.body
    assert (abandoned.state, delivered.state) == (DeliveryState.ABANDONED, DeliveryState.DELIVERED)
    assert [attempt.status_code for attempt in delivered.attempt_log] == [410, 204]
    assert delivered.reason is None


async def test_all_that_was_abandoned_since_an_instant_is_replayed() -> None:
    async with receiving(answers(410), answers(204)) as receiver, house(receiver.url) as ours:
        abandoned = await ours.settle()
        ours.clock.now += MINUTE
        assert abandoned.last_attempt_at is not None
        late = abandoned.last_attempt_at + timedelta(microseconds=1)
        assert await redeliver_abandoned(ours.services, late) == 0
        assert await redeliver_abandoned(ours.services, abandoned.last_attempt_at) == 1
        delivered = await ours.settle()
        assert delivered.state is DeliveryState.DELIVERED
        assert await redeliver_abandoned(ours.services, abandoned.last_attempt_at) == 0
    assert len(receiver.posts) == 2
