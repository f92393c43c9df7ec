"""Outages of hours and days: of ARM, of a receiver, and of the app itself."""

from datetime import timedelta

import pytest

from opswatch.core.deliveries import DeliveryState
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.policy import Policy
from opswatch.core.watches import FinalStatus
from opswatch.steps.control import redeliver
from tests.support.harness import HOOK, KEY, START, Harness, ended

SILENCE = NoAnswer("connect", "Connection refused")
DOWN = HttpResponse(503, {})


@pytest.fixture
def harness() -> Harness:
    """A harness with the schedule, the time-out and the grace of the contract."""
    return Harness(Policy())


async def go_on(harness: Harness, until: timedelta) -> None:
    """Act on each message when it is due, until `until` from the start."""
    while harness.now < START + until:
        while await harness.pump():
            pass
        messages = (*harness.operations.messages.values(), *harness.deliveries.messages.values())
        harness.now = min([START + until, *(message.visible_at for message in messages)])


@pytest.mark.parametrize("outage", [SILENCE, DOWN], ids=["silence", "503"])
async def test_an_arm_outage_of_most_of_a_day_delays_the_end_and_changes_nothing(
    harness: Harness, outage: HttpResponse | NoAnswer
) -> None:
    await harness.watched(HOOK)
    harness.status = outage
    await go_on(harness, timedelta(hours=20))
    assert harness.watch.facts.misses == harness.watch.facts.polls - 1
    harness.status = ended("Failed")
    await harness.settle()
    assert harness.result.end.status is FinalStatus.FAILED
    assert harness.called() == [HOOK]


async def test_an_arm_outage_past_the_deadline_is_a_time_out_and_nothing_else(
    harness: Harness,
) -> None:
    await harness.watched(HOOK)
    harness.status = SILENCE
    await harness.settle(most=400)
    assert harness.result.end.status is FinalStatus.TIMED_OUT
    assert timedelta(0) <= harness.now - harness.result.facts.deadline_at < timedelta(seconds=2)


async def test_a_receiver_that_is_away_for_two_days_gets_its_event_once_it_is_back(
    harness: Harness,
) -> None:
    harness.callbacks.answer = lambda _: (
        DOWN if harness.now - START < timedelta(days=2) else HttpResponse(204, {})
    )
    await harness.ended(HOOK)
    assert harness.settled.state is DeliveryState.DELIVERED
    assert len({request.headers["webhook-id"] for request in harness.callbacks.requests}) == 1


async def test_a_receiver_that_is_away_for_a_week_gets_its_event_when_it_is_replayed(
    harness: Harness,
) -> None:
    harness.callbacks.answer = lambda _: DOWN
    await harness.ended(HOOK)
    assert harness.settled.reason == "503"  # abandoned
    harness.callbacks.answer = lambda _: HttpResponse(204, {})
    assert await redeliver(harness.services, KEY) == 1
    await harness.settle()
    assert harness.settled.state is DeliveryState.DELIVERED
    assert len({request.headers["webhook-id"] for request in harness.callbacks.requests}) == 1


async def test_an_app_that_was_stopped_for_days_goes_on_where_it_stood(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.advance(days=3)  # past the deadline, too
    harness.status = ended("Canceled")
    await harness.settle()
    assert harness.result.end.status is FinalStatus.CANCELED
    assert harness.called() == [HOOK]


async def test_what_is_posted_while_the_app_is_stopped_is_taken_in_later(harness: Harness) -> None:
    harness.post(HOOK)
    harness.advance(days=3)
    harness.status = ended()
    await harness.settle()
    assert harness.result.facts.registered_at == harness.now
    assert harness.called() == [HOOK]
