"""The purge: what is old goes in slices, and nothing that is younger or owed goes with it."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.hosts import HostCircuit
from opswatch.core.keys import Key
from opswatch.core.timeline import settled_entry
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import FinalStatus, timeline_entry
from opswatch.steps.deliver import deliver
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from opswatch.steps.purge import CHUNK, purge
from opswatch.steps.register import reject
from opswatch.steps.repair import repair
from tests.steps.conftest import answer, take_post
from tests.support import builders
from tests.support.control import redeliver
from tests.support.harness import (
    HOOK,
    KEY,
    OTHER,
    POLICY,
    START,
    Harness,
    InterruptedStepError,
    ended,
    running,
)

RETENTION = timedelta(days=30)


async def lose_delivery_wake_up(harness: Harness) -> None:
    """End the operation, and lose the message of its delivery."""
    await harness.watched(HOOK)
    harness.status = ended()
    harness.operations.messages.clear()
    await poll(harness.services, WakeUp(key=KEY, seq=2))
    harness.deliveries.messages.clear()


async def interrupt_purge(harness: Harness, *, after: int) -> None:
    """Run a purge whose parts are interrupted from so many effects on."""
    harness.effects.cut_after = len(harness.effects.names) + after
    with pytest.raises(ExceptionGroup) as raised:
        await purge(harness.services)
    assert {type(error) for error in raised.value.exceptions} == {InterruptedStepError}
    harness.effects.cut_after = None


async def put_results(harness: Harness, count: int, finished_at: datetime = START) -> None:
    """Put ended operations of three subscriptions, and their entries in the timeline."""
    for number in range(count):
        key = Key(f"subscription {number % 3}", f"{number:04}")
        result = builders.result(
            operation=replace(builders.operation(), key=key),
            registered_at=START,
            end=builders.end(finished_at=finished_at),
        )
        await harness.store.results.put(result)
        await harness.store.timeline.put(timeline_entry(result.facts, result.end))


async def end_and_reject(harness: Harness, *callback_urls: str) -> None:
    await harness.ended(*callback_urls)
    harness.operations.post(b"{nonsense")
    await harness.pump()


async def test_old_result_goes_with_its_rows(harness: Harness) -> None:
    await end_and_reject(harness, HOOK, OTHER)
    harness.now = START + RETENTION + timedelta(days=1, hours=1)
    await purge(harness.services)
    assert not any(harness.rows().values())


@pytest.mark.parametrize("code", [204, 410])
async def test_attempt_that_ends_after_the_purge_leaves_no_record(
    harness: Harness, code: int
) -> None:
    """It stalls; another attempt settles the delivery, and its operation is purged."""
    answer(harness, code)

    async def settle_and_purge() -> None:
        (pending,) = harness.store.outbox.values()
        await deliver(harness.services, WakeUp(key=pending.key, seq=pending.seq))
        assert not harness.store.outbox.rows
        harness.advance(days=32)
        await purge(harness.services)
        assert not harness.store.deliveries.rows

    harness.effects.before["deliveries.insert"] = settle_and_purge
    await harness.ended(HOOK)
    assert harness.called() == [HOOK, HOOK]
    assert not harness.store.deliveries.rows
    assert not harness.store.settled.values()


@pytest.mark.parametrize("code", [204, 410])
async def test_attempt_that_ends_during_the_purge_keeps_the_result(
    harness: Harness, code: int
) -> None:
    """The purge has removed another attempt's record; this one's is removed by the next run."""
    answer(harness, code)
    stalled, goes_on = asyncio.Event(), asyncio.Event()

    async def stall() -> None:
        stalled.set()
        await goes_on.wait()

    await lose_delivery_wake_up(harness)
    wake = WakeUp(key=harness.pending.key, seq=harness.pending.seq)
    harness.effects.before["deliveries.insert"] = stall
    slow = asyncio.create_task(deliver(harness.services, wake))
    await stalled.wait()
    await deliver(harness.services, wake)
    harness.advance(days=32)

    async def let_it_end() -> None:
        assert not harness.store.deliveries.rows
        goes_on.set()
        await slow

    harness.effects.before["results.delete_all"] = let_it_end
    await purge(harness.services)
    assert harness.store.deliveries.rows
    await purge(harness.services)
    assert not any(harness.rows().values())


@pytest.mark.parametrize("effect", ["results.insert", "outbox.insert"])
async def test_late_registration_that_stalls_over_the_purge_leaves_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, effect: str
) -> None:
    """Another worker finishes it meanwhile, so its message does not come again."""
    await harness.ended(HOOK)
    harness.advance(days=40)
    body = take_post(harness, HOOK)

    async def fail(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as outage:

        async def finish_and_purge() -> None:
            await operations_message(harness.services, body)
            await purge(harness.services)
            assert not harness.store.results.rows
            outage.setattr(harness.store.timeline, "put", fail)

        harness.effects.before[effect] = finish_and_purge
        with suppress(ConnectionError):
            await operations_message(harness.services, body)
    await harness.settle()
    harness.advance(days=40)
    await purge(harness.services)
    assert not any(harness.rows().values())


@pytest.mark.parametrize("after", [timedelta(days=1), RETENTION - timedelta(minutes=1)])
async def test_younger_rows_are_kept(harness: Harness, after: timedelta) -> None:
    await end_and_reject(harness, HOOK)
    before = harness.rows()
    harness.now = harness.result.end.finished_at + after
    await purge(harness.services)
    assert harness.rows() == before


@pytest.mark.parametrize("has_ended", [True, False])
async def test_retention_counts_from_the_end(has_ended: bool) -> None:
    """An operation that was registered long ago is kept if it ended recently, or not yet."""
    harness = Harness(replace(POLICY, timeout=timedelta(days=7), retention=timedelta(days=1)))
    await harness.watched(HOOK)
    harness.advance(days=5)
    if has_ended:
        harness.status = ended()
        await harness.settle()
    before = harness.rows()
    await purge(harness.services)
    assert harness.rows() == before


async def test_pending_delivery_keeps_its_result(harness: Harness) -> None:
    await lose_delivery_wake_up(harness)
    before = harness.rows()
    harness.advance(days=40)
    await purge(harness.services)
    assert harness.rows() == before
    await deliver(harness.services, WakeUp(key=harness.pending.key, seq=1))
    assert harness.called() == [HOOK]
    await purge(harness.services)
    assert not any(harness.rows().values())


async def test_pending_delivery_of_another_operation_keeps_nothing(harness: Harness) -> None:
    await harness.ended(HOOK)
    longer = replace(KEY, row=f"{KEY.row}~deadbeef")  # its keys begin as this operation's do
    key = replace(harness.settled.key, row=f"{longer.row}~00000000")
    foreign = replace(harness.settled, key=key, operation=longer)
    await harness.store.outbox.put(foreign)
    await harness.store.deliveries.put(foreign)
    harness.advance(days=40)
    await purge(harness.services)
    assert not harness.store.results.rows
    assert [record.operation for record in harness.store.deliveries.values()] == [longer]
    assert [pending.operation for pending in harness.store.outbox.values()] == [longer]


@pytest.mark.parametrize("cut_after", range(1, 5))
async def test_interrupted_purge_is_continued(harness: Harness, cut_after: int) -> None:
    await end_and_reject(harness, HOOK, OTHER)
    harness.advance(days=40)
    await interrupt_purge(harness, after=cut_after)
    await purge(harness.services)
    assert not any(harness.rows().values())


async def test_purge_of_an_hour_ago_is_hourly(harness: Harness) -> None:
    """What ended an hour after the retention's instant of the same date goes an hour later."""
    await harness.ended(HOOK)
    harness.now = harness.result.end.finished_at + RETENTION
    await purge(harness.services)
    assert harness.store.results.rows
    harness.advance(seconds=1)
    await purge(harness.services)
    assert not any(harness.rows().values())


# --- what is younger, under the same key


async def test_younger_result_survives_entry_left_over(harness: Harness) -> None:
    """A purge was interrupted before it removed the entry; the operation was watched as new."""
    await harness.ended(HOOK)
    harness.advance(days=40)
    await interrupt_purge(harness, after=3)
    assert len(harness.store.timeline.values()) == 1
    harness.status = running()
    await harness.ended(HOOK)
    assert len(harness.store.timeline.values()) == 2
    younger = harness.result
    await purge(harness.services)
    assert harness.result == younger
    assert harness.settled.started_at > START + RETENTION
    (entry,) = harness.store.timeline.values()
    assert entry.finished_at == younger.end.finished_at


async def test_entry_of_a_round_that_is_not_listed_yet_is_kept(harness: Harness) -> None:
    """A worker stores the result of round 2, and is cut off before it lists it."""
    await harness.ended(HOOK, status="Failed")
    lost = replace(harness.result, end=replace(harness.result.end, status=FinalStatus.LOST))
    await harness.store.results.put(lost)
    harness.advance(days=40)
    young = replace(
        lost, facts=replace(lost.facts, round=2), end=builders.end(finished_at=harness.now)
    )
    await harness.store.results.put(young)
    before = harness.rows()
    await purge(harness.services)
    assert harness.rows() == before


async def test_operation_watched_again_is_left_alone(harness: Harness) -> None:
    await harness.ended(HOOK)
    harness.advance(days=40)
    await harness.store.watches.put(builders.watch(operation=harness.result.facts.operation))
    before = harness.rows()
    await purge(harness.services)
    assert harness.rows() == before


@pytest.mark.parametrize("effect", ["deliveries.delete_all", "results.delete_all"])
async def test_operation_watched_again_during_the_purge_ends_and_is_told(
    harness: Harness, effect: str
) -> None:
    await harness.watched(HOOK)
    harness.advance(hours=2)  # beyond its deadline
    await harness.settle()
    assert harness.result.end.status == "TimedOut"
    harness.advance(days=40)

    async def watch_again() -> None:
        harness.status = running()
        harness.post(HOOK, again=True)
        await harness.pump()

    harness.effects.before[effect] = watch_again
    await purge(harness.services)
    assert harness.watch.end is None
    assert [entry.finished_at for entry in harness.store.timeline.values()] == [None]
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK, HOOK]
    (entry,) = harness.store.timeline.values()
    assert entry.status == "Succeeded"


async def test_entry_purged_while_a_new_round_is_listed_is_written(harness: Harness) -> None:
    await harness.watched(HOOK)
    harness.advance(hours=2)  # beyond its deadline
    await harness.settle()
    harness.advance(days=40)

    async def remove_entry() -> None:
        harness.store.timeline.rows.clear()

    harness.effects.before["timeline.replace"] = remove_entry
    harness.post(again=True)
    await harness.pump()
    assert [entry.finished_at for entry in harness.store.timeline.values()] == [None]


async def test_result_of_a_changed_delivery_is_kept(harness: Harness) -> None:
    await harness.ended(HOOK)
    harness.advance(days=40)
    before, record = harness.rows(), harness.settled

    async def settle_again() -> None:
        await harness.store.deliveries.put(record)
        await harness.store.settled.put(settled_entry(record))

    harness.effects.before["deliveries.delete_all"] = settle_again
    await purge(harness.services)
    assert harness.rows() == before


async def test_fresh_reason_for_a_missing_callback_is_kept(harness: Harness) -> None:
    """It is removed when it is old, too."""
    await harness.ended(HOOK)
    record = harness.settled
    harness.advance(days=40)
    await harness.store.results.delete(KEY)
    told = replace(record, state=DeliveryState.ABANDONED, started_at=harness.now)
    await harness.store.deliveries.put(told)
    await harness.store.settled.delete(settled_entry(record).key)
    await purge(harness.services)
    assert harness.settled == told
    harness.advance(days=31)
    await purge(harness.services)
    assert not any(harness.rows().values())


# --- receivers that come during a purge

EFFECTS = ("deliveries.delete_all", "results.delete_all", "timeline.delete_all")


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("url", [HOOK, OTHER])
async def test_receiver_that_comes_during_a_purge_is_called(
    harness: Harness, effect: str, url: str
) -> None:
    await harness.ended(HOOK)
    harness.advance(days=40)
    before = len(harness.called())

    async def join() -> None:
        harness.post(url)
        await harness.pump()

    harness.effects.before[effect] = join
    await purge(harness.services)
    await harness.settle()
    is_told_already = url == HOOK and effect == "deliveries.delete_all"
    assert harness.called()[before:] == ([] if is_told_already else [url])
    assert {record.state for record in harness.store.deliveries.values()} <= {"delivered"}
    await purge(harness.services)
    harness.advance(days=40)
    await purge(harness.services)
    assert not any(harness.rows().values())


async def remove_all(harness: Harness) -> None:
    """Remove everything of the operation but what is live, as a purge does that began before."""
    for table in (harness.store.deliveries, harness.store.results, harness.store.timeline):
        table.rows.clear()


async def test_result_purged_before_the_delivery_is_created_is_restored(harness: Harness) -> None:
    await harness.ended(HOOK)
    harness.advance(days=40)
    result = harness.result
    harness.effects.before["outbox.insert"] = lambda: remove_all(harness)
    harness.post(OTHER)
    await harness.pump()
    assert harness.result == result
    assert len(harness.store.timeline.values()) == 1
    await harness.settle()
    assert harness.called() == [HOOK, OTHER]
    await purge(harness.services)
    assert not any(harness.rows().values())


async def test_result_is_kept_for_a_delivery_whose_insertion_is_repeated(harness: Harness) -> None:
    """The answer to the first insertion was lost, and the second one conflicts with the first."""
    await harness.ended(HOOK)
    harness.advance(days=40)
    result, insert = harness.result, harness.store.outbox.insert

    async def repeat(delivery: Delivery) -> Any:
        await remove_all(harness)
        await insert(delivery)
        return await insert(delivery)

    harness.store.outbox.insert = repeat  # type: ignore[method-assign, assignment]
    harness.post(OTHER)
    await harness.pump()
    assert harness.result == result
    harness.advance(minutes=3)
    await repair(harness.services)
    await harness.settle()
    assert harness.called() == [HOOK, OTHER]


async def test_replay_during_a_purge_is_made(harness: Harness) -> None:
    await harness.ended(HOOK)
    harness.advance(days=40)
    harness.effects.before["deliveries.delete_all"] = lambda: redeliver(harness.services, KEY)
    await purge(harness.services)
    await harness.settle()
    assert harness.called() == [HOOK, HOOK]
    await purge(harness.services)
    assert not any(harness.rows().values())


async def test_result_purged_before_a_replay_is_queued_is_restored(harness: Harness) -> None:
    await harness.ended(HOOK)
    harness.advance(days=40)
    harness.effects.before["outbox.insert"] = lambda: remove_all(harness)
    assert await redeliver(harness.services, KEY) == 1
    await harness.settle()
    assert harness.called() == [HOOK, HOOK]
    assert len(harness.store.timeline.values()) == 1


async def test_receiver_of_a_watch_that_makes_way_is_called(harness: Harness) -> None:
    """A post begins round 2 of a result that is purged then; another one begins round 1 anew."""
    await harness.watched(HOOK)
    harness.advance(hours=2)  # beyond its deadline
    await harness.settle()
    harness.advance(days=40)
    harness.status = running()

    async def purge_and_begin() -> None:
        await remove_all(harness)
        body = take_post(harness, OTHER)
        await operations_message(harness.services, body)

    harness.effects.before["watches.insert"] = purge_and_begin
    await operations_message(harness.services, take_post(harness, HOOK, again=True))
    assert harness.watch.facts.round == 2
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK, HOOK, OTHER]


async def test_restored_result_leaves_the_entry_of_a_later_round(harness: Harness) -> None:
    """A replay has read the result of round 1; a purge removes it; round 2 begins."""
    await harness.watched(HOOK)
    harness.advance(hours=2)  # beyond its deadline
    await harness.settle()
    harness.advance(days=40)
    entry = replace(timeline_entry(harness.result.facts, None), finished_at=harness.now)

    async def purge_and_list() -> None:
        await remove_all(harness)
        await harness.store.timeline.put(entry)

    harness.effects.before["outbox.insert"] = purge_and_list
    assert await redeliver(harness.services, KEY) == 1
    assert harness.store.timeline.values() == [entry]


async def test_young_result_is_not_written_again(harness: Harness) -> None:
    """It costs a write, and no purge can remove it."""
    await harness.ended(HOOK)
    harness.effects.names.clear()
    harness.post(OTHER)
    await harness.settle()
    assert "results.replace" not in harness.effects.names


async def test_delivery_of_purged_result_waits_for_a_watch(harness: Harness) -> None:
    """A crash came after the delivery was created, and the purge before its result was kept."""
    await lose_delivery_wake_up(harness)
    delivery = harness.pending
    await harness.store.results.delete(KEY)
    harness.status = running()
    harness.post(HOOK)
    await harness.pump()
    await deliver(harness.services, WakeUp(key=delivery.key, seq=delivery.seq))
    assert harness.called() == []
    assert harness.pending.attempts == 0
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]


# --- slices


async def test_slice_ends_in_time_and_the_next_continues(harness: Harness) -> None:
    await put_results(harness, 2 * CHUNK + 10)
    harness.now = START + RETENTION + timedelta(days=1)

    async def take_five_minutes() -> None:
        harness.advance(minutes=5)

    for left in (CHUNK + 10, 10, 0):
        harness.effects.before["timeline.delete_all"] = take_five_minutes
        await purge(harness.services)
        assert len(harness.store.results.rows) == left
        assert len(harness.store.timeline.values()) == left


async def test_rejections_and_results_share_the_time(harness: Harness) -> None:
    """A day of many rejections leaves time for results, and many results for rejections."""
    await put_results(harness, 3)
    for number in range(2 * CHUNK):
        rejected = builders.rejected(b"{nonsense")
        named = replace(rejected, body_sha256=f"{number:064}", received_at=START)
        await harness.store.rejections.put(named)
    await harness.store.hosts.put(HostCircuit(name="example.com", failures=5, open_until=START))
    harness.now = START + RETENTION + timedelta(days=1)

    async def take_a_minute() -> None:
        harness.advance(minutes=1)

    harness.effects.before["rejections.delete_all"] = take_a_minute
    await purge(harness.services)
    assert len(harness.store.rejections.rows) == CHUNK
    assert not harness.store.results.rows
    await purge(harness.services)
    assert not any(harness.rows().values())


async def test_unreadable_result_is_passed_over(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    await put_results(harness, 5)
    key = Key("subscription 1", "0001")
    harness.store.results.rows[key] = ({"PartitionKey": key.partition, "RowKey": key.row}, "1")
    harness.now = START + RETENTION + timedelta(days=1)
    caplog.set_level("INFO", "opswatch")
    await purge(harness.services)
    assert list(harness.store.results.rows) == [key]
    assert [entry.operation for entry in harness.store.timeline.values()] == [key]
    assert 'opswatch.purge_failed key="subscription 1/0001"' in caplog.text
    assert "opswatch.purged results=4 rejections=0 circuits=0 failed=1" in caplog.text


async def fail(*_: object) -> Any:
    raise InterruptedStepError


async def test_outage_of_a_table_ends_its_part_alone(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    await put_results(harness, CHUNK)
    await reject(harness.services, builders.rejected(b"{nonsense"))
    harness.now = builders.NOW + RETENTION + timedelta(days=2)
    results = harness.services.store.results
    results.get = fail  # type: ignore[assignment,method-assign]
    with pytest.raises(ExceptionGroup, match="part of the purge"):
        await purge(harness.services)
    assert not harness.store.rejections.rows
    assert len(harness.store.results.rows) == CHUNK
    assert caplog.text.count("opswatch.purge_failed") <= 50
    del results.get
    await purge(harness.services)
    assert not any(harness.rows().values())


@pytest.mark.parametrize("effect", ["rejections.delete_all", "hosts.delete_all"])
async def test_failing_part_stops_no_other(harness: Harness, effect: str) -> None:
    await put_results(harness, 2)
    await reject(harness.services, builders.rejected(b"{nonsense"))
    await harness.store.hosts.put(HostCircuit(name="example.com", failures=5, open_until=START))
    harness.now = builders.NOW + RETENTION + timedelta(days=2)
    harness.effects.before[effect] = fail
    with pytest.raises(ExceptionGroup):
        await purge(harness.services)
    assert [name for name, rows in harness.rows().items() if rows] == [effect.partition(".")[0]]


# --- entries without an end


@pytest.mark.parametrize("is_watched", [True, False])
async def test_entry_without_an_end_goes_if_nothing_is_watched(
    harness: Harness, is_watched: bool
) -> None:
    """A slow post listed an operation that had ended and been purged meanwhile."""
    await harness.watched(HOOK)
    if not is_watched:
        harness.store.watches.rows.clear()
    harness.advance(days=40)
    await purge(harness.services)
    assert bool(harness.store.timeline.values()) is is_watched
