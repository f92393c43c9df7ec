"""Outages of hours and days: of ARM, of a receiver, and of the app itself."""

from datetime import timedelta

import pytest

from opswatch import steps
from opswatch.core.deliveries import DeliveryState
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.policy import Policy
from opswatch.core.watches import FinalStatus
from tests.steps.house import HOOK, KEY, START, House, ended

SILENCE = NoAnswer("connect", "Connection refused")
DOWN = HttpResponse(503, {})


@pytest.fixture
def house() -> House:
    """A house with the schedule, the time-out and the grace of the contract."""
    return House(Policy())


async def go_on(house: House, until: timedelta) -> None:
    """Act on each message when it is due, until `until` from the start."""
    while house.now < START + until:
        while await house.pump():
            pass
        messages = (*house.operations.messages.values(), *house.deliveries.messages.values())
        house.now = min([START + until, *(message.visible_at for message in messages)])


@pytest.mark.parametrize("outage", [SILENCE, DOWN], ids=["silence", "503"])
async def test_an_arm_outage_of_most_of_a_day_delays_the_end_and_changes_nothing(
    house: House, outage: HttpResponse | NoAnswer
) -> None:
    await house.watched(HOOK)
    house.status = outage
    await go_on(house, timedelta(hours=20))
    assert house.watch.misses == house.watch.polls - 1
    house.status = ended("Failed")
    await house.settle()
    assert house.result.end.status is FinalStatus.FAILED
    assert house.called() == [HOOK]


async def test_an_arm_outage_past_the_deadline_is_a_time_out_and_nothing_else(
    house: House,
) -> None:
    await house.watched(HOOK)
    house.status = SILENCE
    await house.settle(most=400)
    assert house.result.end.status is FinalStatus.TIMED_OUT
    assert timedelta(0) <= house.now - house.result.deadline_at < timedelta(seconds=2)


async def test_a_receiver_that_is_away_for_two_days_gets_its_event_once_it_is_back(
    house: House,
) -> None:
    house.callbacks.answer = lambda _: (
        DOWN if house.now - START < timedelta(days=2) else HttpResponse(204, {})
    )
    await house.ended(HOOK)
    assert house.settled.state is DeliveryState.DELIVERED
    assert len({request.headers["webhook-id"] for request in house.callbacks.requests}) == 1


async def test_a_receiver_that_is_away_for_a_week_gets_its_event_when_it_is_replayed(
    house: House,
) -> None:
    house.callbacks.answer = lambda _: DOWN
    await house.ended(HOOK)
    assert house.settled.reason == "503"  # abandoned
    house.callbacks.answer = lambda _: HttpResponse(204, {})
    assert await steps.redeliver(house.services, KEY) == 1
    await house.settle()
    assert house.settled.state is DeliveryState.DELIVERED
    assert len({request.headers["webhook-id"] for request in house.callbacks.requests}) == 1


async def test_an_app_that_was_stopped_for_days_goes_on_where_it_stood(house: House) -> None:
    await house.watched(HOOK)
    house.advance(days=3)  # past the deadline, too
    house.status = ended("Canceled")
    await house.settle()
    assert house.result.end.status is FinalStatus.CANCELED
    assert house.called() == [HOOK]


async def test_what_is_posted_while_the_app_is_stopped_is_taken_in_later(house: House) -> None:
    house.post(HOOK)
    house.advance(days=3)
    house.status = ended()
    await house.settle()
    assert house.result.registered_at == house.now
    assert house.called() == [HOOK]
