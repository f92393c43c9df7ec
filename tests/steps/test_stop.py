"""A user's wish that a watch ends."""

import pytest

from opswatch.core.keys import WakeUp
from opswatch.steps.control import StopOutcome, stop
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from tests.support.harness import HOOK, KEY, Harness, InterruptedStepError, ended


async def test_a_stopped_watch_is_polled_no_more(harness: Harness) -> None:
    await harness.watched(HOOK)
    asked = len(harness.arm.asked)
    assert await stop(harness.services, KEY) is StopOutcome.STOPPED
    await harness.settle()
    assert len(harness.arm.asked) == asked
    assert harness.result.end.status == "Stopped"


async def test_what_is_unknown_or_has_ended_cannot_be_stopped(harness: Harness) -> None:
    assert await stop(harness.services, KEY) is StopOutcome.UNKNOWN
    await harness.ended(HOOK)
    before = harness.rows()
    assert await stop(harness.services, KEY) is StopOutcome.ENDED_BEFORE
    assert harness.rows() == before


async def test_a_stop_that_comes_between_the_end_and_its_record_is_too_late(
    harness: Harness,
) -> None:
    await harness.watched(HOOK)
    harness.status = ended()
    answers: list[StopOutcome] = []

    async def stop_now() -> None:
        answers.append(await stop(harness.services, KEY))

    harness.effects.before["results.insert"] = stop_now
    await poll(harness.services, WakeUp(KEY, 2))
    assert answers == [StopOutcome.ENDED_BEFORE]
    assert harness.result.end.status == "Succeeded"


async def test_a_stop_loses_to_an_end_that_is_kept_first(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = ended()
    harness.effects.before["watches.replace"] = lambda: poll(harness.services, WakeUp(KEY, 2))
    assert await stop(harness.services, KEY) is StopOutcome.ENDED_BEFORE
    assert harness.result.end.status == "Succeeded"


async def test_a_stop_goes_on_when_a_poll_has_moved_the_row(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.effects.before["watches.replace"] = lambda: poll(harness.services, WakeUp(KEY, 2))
    assert await stop(harness.services, KEY) is StopOutcome.STOPPED
    assert (harness.result.end.status, harness.result.facts.polls) == ("Stopped", 2)


async def test_a_stop_of_a_late_receivers_watch_tells_that_the_operation_has_ended(
    harness: Harness,
) -> None:
    await harness.ended(HOOK)
    body = harness.post("https://other.example.com/2")
    answers: list[StopOutcome] = []

    async def stop_now() -> None:
        answers.append(await stop(harness.services, KEY))

    harness.effects.before["timeline.put"] = stop_now
    await operations_message(harness.services, body)
    await harness.settle()
    assert answers == [StopOutcome.ENDED_BEFORE]
    assert harness.result.end.status == "Succeeded"
    assert harness.called() == [HOOK, "https://other.example.com/2"]


@pytest.mark.parametrize("cut_after", [1, 2, 3, 4])
async def test_a_stop_cut_off_anywhere_is_finished_by_the_next_wake_up(
    harness: Harness, cut_after: int
) -> None:
    await harness.watched(HOOK)
    harness.effects.names.clear()
    harness.effects.cut_after = cut_after
    with pytest.raises(InterruptedStepError):
        await stop(harness.services, KEY)
    harness.effects.cut_after = None
    await harness.settle()
    assert harness.result.end.status == "Stopped"
    assert harness.called() == []
    assert not harness.store.watches.rows
