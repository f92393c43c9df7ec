"""A user's wish that a watch ends."""

import pytest

from opswatch import steps
from opswatch.core.keys import WakeUp
from opswatch.steps.control import StopOutcome
from tests.steps.house import HOOK, KEY, CutOffError, House, ended


async def test_a_stopped_watch_is_polled_no_more(house: House) -> None:
    await house.watched(HOOK)
    asked = len(house.arm.asked)
    assert await steps.stop(house.services, KEY) is StopOutcome.STOPPED
    await house.settle()
    assert len(house.arm.asked) == asked
    assert house.result.end.status == "Stopped"


async def test_what_is_unknown_or_has_ended_cannot_be_stopped(house: House) -> None:
    assert await steps.stop(house.services, KEY) is StopOutcome.UNKNOWN
    await house.ended(HOOK)
    before = house.rows()
    assert await steps.stop(house.services, KEY) is StopOutcome.ENDED_BEFORE
    assert house.rows() == before


async def test_a_stop_that_comes_between_the_end_and_its_record_is_too_late(house: House) -> None:
    await house.watched(HOOK)
    house.status = ended()
    answers: list[StopOutcome] = []

    async def stop() -> None:
        answers.append(await steps.stop(house.services, KEY))

    house.effects.before["results.insert"] = stop
    await steps.poll(house.services, WakeUp(KEY, 2))
    assert answers == [StopOutcome.ENDED_BEFORE]
    assert house.result.end.status == "Succeeded"


async def test_a_stop_loses_to_an_end_that_is_kept_first(house: House) -> None:
    await house.watched(HOOK)
    house.status = ended()
    house.effects.before["watches.replace"] = lambda: steps.poll(house.services, WakeUp(KEY, 2))
    assert await steps.stop(house.services, KEY) is StopOutcome.ENDED_BEFORE
    assert house.result.end.status == "Succeeded"


async def test_a_stop_goes_on_when_a_poll_has_moved_the_row(house: House) -> None:
    await house.watched(HOOK)
    house.effects.before["watches.replace"] = lambda: steps.poll(house.services, WakeUp(KEY, 2))
    assert await steps.stop(house.services, KEY) is StopOutcome.STOPPED
    assert (house.result.end.status, house.result.polls) == ("Stopped", 2)


async def test_a_stop_of_a_late_receivers_watch_tells_that_the_operation_has_ended(
    house: House,
) -> None:
    await house.ended(HOOK)
    body = house.post("https://other.example.com/2")
    answers: list[StopOutcome] = []

    async def stop() -> None:
        answers.append(await steps.stop(house.services, KEY))

    house.effects.before["timeline.put"] = stop
    await steps.operations_message(house.services, body)
    await house.settle()
    assert answers == [StopOutcome.ENDED_BEFORE]
    assert house.result.end.status == "Succeeded"
    assert house.called() == [HOOK, "https://other.example.com/2"]


@pytest.mark.parametrize("cut_after", [1, 2, 3, 4])
async def test_a_stop_cut_off_anywhere_is_finished_by_the_next_wake_up(
    house: House, cut_after: int
) -> None:
    await house.watched(HOOK)
    house.effects.names.clear()
    house.effects.cut_after = cut_after
    with pytest.raises(CutOffError):
        await steps.stop(house.services, KEY)
    house.effects.cut_after = None
    await house.settle()
    assert house.result.end.status == "Stopped"
    assert house.called() == []
    assert not house.store.watches.rows
