"""Outages of hours and days: of ARM, of a receiver, and of the app itself."""

from datetime import timedelta

import pytest

from opswatch.core.deliveries import DeliveryState
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.policy import Policy
from opswatch.core.watches import FinalStatus
from tests.steps.conftest import answer
from tests.support.control import redeliver
from tests.support.harness import HOOK, KEY, START, Harness, ended

SILENCE = NoAnswer("connect", "Connection refused")
DOWN = HttpResponse(503, {})


@pytest.fixture
def harness() -> Harness:
    """A harness with the default schedule, time-out and grace."""
    return Harness(Policy())


async def run_until(harness: Harness, until: timedelta) -> None:
    """Process each message when it is due, until that much time has passed since the start."""
    while harness.now < START + until:
        await harness.pump_all()
        harness.now = min(START + until, harness.next_event_at() or START + until)


@pytest.mark.parametrize("outage", [SILENCE, DOWN], ids=["silence", "503"])
async def test_arm_outage_before_deadline_only_delays_end(
    harness: Harness, outage: HttpResponse | NoAnswer
) -> None:
    await harness.watched(HOOK)
    harness.status = outage
    await run_until(harness, timedelta(hours=20))
    assert harness.watch.facts.misses == harness.watch.facts.polls - 1
    harness.status = ended("Failed")
    await harness.settle()
    assert harness.result.end.status is FinalStatus.FAILED
    assert harness.called() == [HOOK]


async def test_arm_outage_past_deadline_is_a_timeout(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = SILENCE
    await harness.settle()
    assert harness.result.end.status is FinalStatus.TIMED_OUT
    assert harness.result.end.finished_at == harness.result.facts.deadline_at


async def test_receiver_back_after_two_days_gets_its_event(harness: Harness) -> None:
    harness.callbacks.answer = lambda _: (
        DOWN if harness.now - START < timedelta(days=2) else HttpResponse(204, {})
    )
    await harness.ended(HOOK)
    assert harness.settled.state is DeliveryState.DELIVERED
    assert len({request.headers["webhook-id"] for request in harness.callbacks.requests}) == 1


async def test_receiver_back_after_a_week_gets_redelivery(harness: Harness) -> None:
    answer(harness, 503)
    await harness.ended(HOOK)
    assert harness.settled.reason == "503"  # abandoned
    answer(harness, 204)
    assert await redeliver(harness.services, KEY) == 1
    await harness.settle()
    assert harness.settled.state is DeliveryState.DELIVERED
    assert len({request.headers["webhook-id"] for request in harness.callbacks.requests}) == 1


async def test_app_stopped_for_days_continues_watch(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.advance(days=3)  # past the deadline, too
    harness.status = ended("Canceled")
    await harness.settle()
    assert harness.result.end.status is FinalStatus.CANCELED
    assert harness.called() == [HOOK]


async def test_post_to_stopped_app_is_registered_later(harness: Harness) -> None:
    harness.post(HOOK)
    harness.advance(days=3)
    harness.status = ended()
    await harness.settle()
    assert harness.result.facts.registered_at == harness.now
    assert harness.called() == [HOOK]
