"""A user stops a watch, or has results delivered again."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from opswatch.core.deliveries import DeliveryState
from opswatch.core.keys import Key
from opswatch.core.timeline import settled_entry
from opswatch.core.wakeups import WakeUp
from opswatch.dated import Span
from opswatch.lists import DeliveryFilter
from opswatch.rows.codec import UnreadableRowError
from opswatch.steps import control
from opswatch.steps.control import StopOutcome, redeliver_all, redeliver_due, stop
from opswatch.steps.deliver import deliver
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from opswatch.steps.repair import repair
from tests.steps.conftest import answer, interrupt, live_rows
from tests.support.control import redeliver
from tests.support.harness import HOOK, KEY, OTHER, Harness, ended, running

# --- stop


async def test_stopped_watch_is_not_polled(harness: Harness) -> None:
    await harness.watched(HOOK)
    asked = len(harness.arm.asked)
    assert await stop(harness.services, KEY) is StopOutcome.STOPPED
    await harness.settle()
    assert len(harness.arm.asked) == asked
    assert harness.result.end.status == "Stopped"


async def test_unknown_or_ended_operation_cannot_be_stopped(harness: Harness) -> None:
    assert await stop(harness.services, KEY) is StopOutcome.UNKNOWN
    await harness.ended(HOOK)
    before = harness.rows()
    assert await stop(harness.services, KEY) is StopOutcome.ENDED_BEFORE
    assert harness.rows() == before


def stop_before(harness: Harness, effect: str) -> list[StopOutcome]:
    """Stop the watch just before an effect takes place; the outcome is in the list afterwards."""
    outcomes: list[StopOutcome] = []

    async def stop_now() -> None:
        outcomes.append(await stop(harness.services, KEY))

    harness.effects.before[effect] = stop_now
    return outcomes


async def test_stop_between_end_and_record_is_late(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = ended()
    outcomes = stop_before(harness, "results.insert")
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    assert outcomes == [StopOutcome.ENDED_BEFORE]
    assert harness.result.end.status == "Succeeded"


async def test_end_that_is_kept_first_wins(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = ended()
    harness.effects.before["watches.replace"] = lambda: poll(
        harness.services, WakeUp(key=KEY, seq=2)
    )
    assert await stop(harness.services, KEY) is StopOutcome.ENDED_BEFORE
    assert harness.result.end.status == "Succeeded"


async def test_stop_is_repeated_after_concurrent_poll(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.effects.before["watches.replace"] = lambda: poll(
        harness.services, WakeUp(key=KEY, seq=2)
    )
    assert await stop(harness.services, KEY) is StopOutcome.STOPPED
    assert (harness.result.end.status, harness.result.facts.polls) == ("Stopped", 2)


async def test_late_receivers_watch_cannot_be_stopped(harness: Harness) -> None:
    await harness.ended(HOOK)
    body = harness.post(OTHER)
    outcomes = stop_before(harness, "outbox.insert")
    await operations_message(harness.services, body)
    await harness.settle()
    assert outcomes == [StopOutcome.ENDED_BEFORE]
    assert harness.result.end.status == "Succeeded"
    assert harness.called() == [HOOK, OTHER]


@pytest.mark.parametrize("cut_after", [1, 2, 3, 4])
async def test_next_wake_up_finishes_interrupted_stop(harness: Harness, cut_after: int) -> None:
    await harness.watched(HOOK)
    await interrupt(harness, stop(harness.services, KEY), after=cut_after)
    await harness.settle()
    assert harness.result.end.status == "Stopped"
    assert harness.called() == []
    assert not harness.store.watches.rows


@pytest.mark.parametrize("cut_after", [1, 2, 3, 4])
async def test_repeated_stop_finishes_interrupted_one(harness: Harness, cut_after: int) -> None:
    """Its next poll may be due hours later."""
    harness.status = running(**{"retry-after": "3000"})
    await harness.watched(HOOK)
    await interrupt(harness, stop(harness.services, KEY), after=cut_after)
    assert await stop(harness.services, KEY) is StopOutcome.STOPPED
    assert harness.result.end.status == "Stopped"
    assert not harness.store.watches.rows


async def test_interrupted_stop_of_a_far_wait_is_repaired(harness: Harness) -> None:
    """Without another request, and long before the next poll is due."""
    harness.status = running(**{"retry-after": "3000"})
    await harness.watched(HOOK)
    await interrupt(harness, stop(harness.services, KEY), after=1)
    harness.operations.messages.clear()
    harness.advance(minutes=3)
    await repair(harness.services)
    await harness.pump_all()
    assert harness.result.end.status == "Stopped"
    assert not harness.store.watches.rows


async def test_stopped_operation_calls_no_receiver(harness: Harness) -> None:
    await harness.watched(HOOK)
    assert await stop(harness.services, KEY) is StopOutcome.STOPPED
    harness.post(OTHER)
    await harness.settle()
    assert harness.result.end.status == "Stopped"
    assert harness.called() == []
    assert not live_rows(harness)
    assert [entry.status for entry in harness.store.timeline.values()] == ["Stopped"]


# --- redeliver


async def test_redelivery_keeps_id_and_log(harness: Harness) -> None:
    await harness.ended(HOOK, OTHER)
    harness.advance(hours=1)
    assert await redeliver(harness.services, KEY) == 2
    await harness.settle()
    assert harness.called() == [HOOK, OTHER, HOOK, OTHER]
    for record in harness.store.deliveries.values():
        assert (record.state, record.attempts, len(record.attempt_log)) == (
            DeliveryState.DELIVERED, 2, 2,
        )  # fmt: skip
    assert len({request.headers["webhook-id"] for request in harness.callbacks.requests}) == 2


async def test_abandoned_delivery_gets_its_whole_schedule_again(harness: Harness) -> None:
    answer(harness, 401)
    await harness.ended(HOOK)
    before = harness.settled
    assert await redeliver(harness.services, KEY) == 1
    await harness.settle()
    assert harness.settled.attempts == 2 * before.attempts
    assert harness.settled.round_attempts == before.attempts


async def end_with_pending_delivery(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.status = ended("Failed")
    await poll(harness.services, WakeUp(key=KEY, seq=2))


async def test_pending_delivery_is_not_requeued(harness: Harness) -> None:
    await end_with_pending_delivery(harness)
    assert await redeliver(harness.services, KEY) == 0
    await harness.settle()
    assert harness.called() == [HOOK]


async def test_attempt_now_that_is_written_late_is_woken(harness: Harness) -> None:
    """Its first wake-up may have been given up as too early."""
    await end_with_pending_delivery(harness)
    harness.deliveries.messages.clear()

    async def stall() -> None:
        harness.advance(minutes=3)

    harness.effects.before["outbox.replace"] = stall
    assert len(await redeliver_due(harness.services, KEY)) == 1
    assert harness.seqs(harness.deliveries) == [2, 2]


async def test_redelivery_under_way_is_not_begun_again(harness: Harness) -> None:
    await harness.ended(HOOK)
    answer(harness, 401)
    assert await redeliver(harness.services, KEY) == 1
    await harness.pump()
    assert await redeliver(harness.services, KEY) == 0
    assert (harness.pending.seq, harness.pending.round_attempts) == (3, 1)
    assert harness.called() == [HOOK, HOOK]


async def test_redelivery_interrupted_before_its_message_is_sent_again(harness: Harness) -> None:
    await harness.ended(HOOK)
    harness.effects.names.clear()
    await interrupt(harness, redeliver(harness.services, KEY), after=1)
    assert harness.effects.names == ["outbox.insert"]
    assert await redeliver(harness.services, KEY) == 1
    await harness.settle()
    assert harness.called() == [HOOK, HOOK]


async def test_redelivery_while_delivery_settles_is_made(harness: Harness) -> None:
    await end_with_pending_delivery(harness)
    requeued: list[int] = []

    async def request() -> None:
        harness.advance(seconds=1)
        requeued.append(await redeliver(harness.services, KEY))

    harness.effects.before["outbox.delete"] = request
    await harness.settle()
    assert requeued == [1]
    assert harness.called() == [HOOK, HOOK]
    assert harness.settled.attempts == 2
    assert not harness.store.outbox.rows


async def test_only_this_operations_deliveries_are_requeued(harness: Harness) -> None:
    await harness.ended(HOOK)
    longer = replace(KEY, row=f"{KEY.row}~deadbeef")  # its keys begin as this operation's do
    key = replace(harness.settled.key, row=f"{longer.row}~00000000")
    await harness.store.deliveries.put(replace(harness.settled, key=key, operation=longer))
    assert await redeliver(harness.services, KEY) == 1


async def test_delivery_without_result_is_not_requeued(harness: Harness) -> None:
    """A purge was interrupted: there is nothing to deliver."""
    await harness.ended(HOOK)
    await harness.store.results.delete(KEY)
    assert await redeliver(harness.services, KEY) == 0
    assert not harness.store.outbox.rows


def abandoned_since(since: datetime, *, until: datetime) -> DeliveryFilter:
    span = Span(since=since, until=until + datetime.resolution)
    return DeliveryFilter(span=span, states=(DeliveryState.ABANDONED,))


async def test_abandoned_deliveries_since_an_instant_are_requeued(harness: Harness) -> None:
    """It includes every operation; delivered, older and later ones are left."""
    answer(harness, 410)
    await harness.ended(HOOK)
    abandoned = harness.settled
    last = abandoned.last_attempt_at
    assert last is not None
    facts = harness.result.facts
    operation = replace(facts.operation, key=Key("another subscription", KEY.row))
    await harness.store.results.put(
        replace(harness.result, facts=replace(facts, operation=operation))
    )
    for number, (state, age) in enumerate(
        [
            (DeliveryState.DELIVERED, 0), (DeliveryState.ABANDONED, 1),
            (DeliveryState.ABANDONED, 0), (DeliveryState.ABANDONED, -1),
        ]
    ):  # fmt: skip
        other = replace(
            abandoned,
            key=Key("another subscription", f"operation~{number}"),
            operation=operation.key,
            state=state,
            settled_at=last - timedelta(seconds=age),
        )
        await harness.store.deliveries.put(other)
        await harness.store.settled.put(settled_entry(other))
    harness.now = last
    assert await redeliver_all(harness.services, abandoned_since(last, until=last)) == (2, False)
    assert {pending.key.row for pending in harness.store.outbox.values()} == {
        abandoned.key.row, "operation~2",
    }  # fmt: skip


async def test_abandoned_deliveries_are_requeued_however_many(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MOST_REDELIVERED", 2)
    answer(harness, 410)
    await harness.ended(HOOK)
    abandoned = harness.settled
    for number in range(4):
        other = replace(abandoned, key=replace(abandoned.key, row=f"{KEY.row}~{number}"))
        await harness.store.deliveries.put(other)
        await harness.store.settled.put(settled_entry(other))
    since = harness.now - timedelta(days=1)
    wanted = abandoned_since(since, until=harness.now)
    assert await redeliver_all(harness.services, wanted, dry_run=True) == (2, True)
    counts = [await redeliver_all(harness.services, wanted) for _ in range(3)]
    assert counts == [(2, True), (2, True), (1, False)]
    assert not harness.store.settled.values()


@pytest.mark.parametrize("table", ["deliveries", "outbox"])
async def test_unreadable_delivery_stops_no_other_replay(harness: Harness, table: str) -> None:
    """Its entry stays in the index, so each request meets it again."""
    answer(harness, 410)
    await harness.ended(HOOK)
    abandoned = harness.settled
    for number in range(3):
        other = replace(abandoned, key=replace(abandoned.key, row=f"{KEY.row}~{number}"))
        await harness.store.deliveries.put(other)
        await harness.store.settled.put(settled_entry(other))
    spoiled = replace(abandoned.key, row=f"{KEY.row}~1")
    getattr(harness.store, table).rows[spoiled] = ({}, "unreadable")
    wanted = abandoned_since(harness.now - timedelta(days=1), until=harness.now)
    assert await redeliver_all(harness.services, wanted) == (3, False)
    assert [entry.record for entry in harness.store.settled.values()] == [spoiled]


async def test_unreadable_delivery_stops_no_other_of_its_operation(harness: Harness) -> None:
    answer(harness, 410)
    await harness.watched(HOOK, OTHER)
    harness.status = ended()
    await harness.settle()
    first = min(harness.store.deliveries.rows, key=lambda key: key.row)
    harness.store.outbox.rows[first] = ({}, "unreadable")
    with pytest.raises(UnreadableRowError):
        await redeliver_due(harness.services, KEY)
    del harness.store.outbox.rows[first]
    assert len(harness.store.outbox.values()) == 1


async def test_replay_outlasts_the_removal_of_a_left_over_row(harness: Harness) -> None:
    """Both began at the same instant, and a worker is about to remove the one that is left over."""
    answer(harness, 410)
    await harness.ended(HOOK)
    harness.advance(minutes=5)
    left_over = replace(harness.settled, state=DeliveryState.PENDING, attempts=0, round_attempts=0)
    await harness.store.outbox.put(
        replace(left_over, started_at=harness.now, next_attempt_at=harness.now)
    )
    wanted = abandoned_since(harness.now - timedelta(days=1), until=harness.now)
    harness.effects.before["outbox.delete"] = lambda: redeliver_all(harness.services, wanted)
    await deliver(harness.services, WakeUp(key=left_over.key, seq=left_over.seq))
    await harness.settle()
    assert harness.called() == [HOOK, HOOK]
    assert harness.settled.attempts == 2


async def test_replay_during_a_slow_settling_has_the_only_entry(harness: Harness) -> None:
    """The worker stalls between the record and its entry; the replay replaces the record."""

    async def replay() -> None:
        harness.advance(seconds=20)
        assert await redeliver(harness.services, KEY) == 1
        await harness.pump_deliveries()

    harness.effects.before["settled.put"] = replay
    await harness.ended(HOOK)
    assert harness.called() == [HOOK, HOOK]
    assert [entry.key for entry in harness.store.settled.values()] == [
        settled_entry(harness.settled).key
    ]


async def test_entry_of_an_earlier_round_requeues_nothing(harness: Harness) -> None:
    """Its write took effect so late that the delivery had been delivered again by then."""
    answer(harness, 410)
    await harness.ended(HOOK)
    late = settled_entry(harness.settled)
    harness.advance(minutes=1)
    answer(harness, 204)
    await redeliver(harness.services, KEY)
    await harness.settle()
    await harness.store.settled.put(late)
    wanted = abandoned_since(late.settled_at, until=late.settled_at + timedelta(minutes=2))
    assert await redeliver_all(harness.services, wanted) == (0, False)
    assert not harness.store.outbox.rows
