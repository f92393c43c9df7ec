"""One delivery: its schedule, its end, and who else may be at it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from opswatch.core.deliveries import DeliveryState
from opswatch.core.hosts import OPENS_AFTER, Acquired, Busy, HostCircuit
from opswatch.core.http import HttpResponse
from opswatch.core.keys import WakeUp
from opswatch.core.webhook import event
from opswatch.steps.control import redeliver
from opswatch.steps.deliver import deliver
from opswatch.steps.poll import poll
from tests.support.harness import HOOK, KEY, OTHER, POLICY, Harness, InterruptedStepError, ended

HOST = "hooks.example.com"


@pytest.fixture
async def owing() -> Harness:
    """A harness with one delivery that no attempt was made at."""
    harness = Harness()
    await harness.watched(HOOK)
    harness.operations.messages.clear()
    harness.status = ended("Failed")
    await poll(harness.services, WakeUp(KEY, 2))
    harness.effects.names.clear()
    return harness


def wake(harness: Harness) -> WakeUp:
    return WakeUp(harness.pending.key, harness.pending.seq)


async def test_an_accepted_attempt_settles_the_delivery(owing: Harness) -> None:
    await owing.pump()
    assert owing.effects.names == ["callbacks.post", "deliveries.insert", "outbox.delete"]
    settled = owing.settled
    assert (settled.state, settled.attempts, settled.delivered_at) == (
        DeliveryState.DELIVERED, 1, owing.now,
    )  # fmt: skip
    assert not owing.store.outbox.rows
    assert not owing.deliveries.messages
    (request,) = owing.callbacks.requests
    assert request.headers["webhook-id"] == settled.delivery_id
    assert request.body == event(owing.result, settled.delivery_id)


async def test_failures_are_retried_on_the_schedule_and_then_abandoned(owing: Harness) -> None:
    owing.callbacks.answer = lambda _: HttpResponse(500, {})
    began = owing.now
    await owing.settle()
    settled = owing.settled
    assert (settled.state, settled.reason, settled.attempts) == (
        DeliveryState.ABANDONED, "500", len(POLICY.callback_schedule),
    )  # fmt: skip
    gaps = [attempt.at - began for attempt in settled.attempt_log]
    for gap, least in zip(gaps, (0, 4, 4 + 240), strict=True):
        assert timedelta(seconds=least) <= gap <= timedelta(seconds=least * 1.6 + 2)
    assert len({request.headers["webhook-id"] for request in owing.callbacks.requests}) == 1
    assert [request.headers["opswatch-attempt"] for request in owing.callbacks.requests] == [
        "1", "2", "3",
    ]  # fmt: skip


async def test_a_retry_is_sent_before_its_row_is_committed(owing: Harness) -> None:
    owing.callbacks.answer = lambda _: HttpResponse(401, {})
    await owing.pump()
    assert owing.effects.names == ["callbacks.post", "deliveries_queue.send", "outbox.replace"]
    assert (owing.pending.seq, owing.pending.attempts) == (2, 1)
    assert owing.seqs(owing.deliveries) == [2]


async def test_a_receiver_that_has_retired_is_left_alone(owing: Harness) -> None:
    owing.callbacks.answer = lambda _: HttpResponse(410, {})
    await owing.settle()
    assert (owing.settled.state, owing.settled.reason) == (DeliveryState.ABANDONED, "410")
    assert owing.called() == [HOOK]


@pytest.mark.parametrize(
    ("seq", "attempts", "sent"),
    [(1, 0, []), (2, 1, [3]), (3, 0, [3])],
    ids=["stale", "due", "early"],
)
async def test_the_fence(owing: Harness, seq: int, attempts: int, sent: list[int]) -> None:
    owing.callbacks.answer = lambda _: HttpResponse(401, {})
    await owing.pump()
    owing.deliveries.messages.clear()
    before = len(owing.callbacks.requests)
    await deliver(owing.services, WakeUp(owing.pending.key, seq))
    assert len(owing.callbacks.requests) - before == attempts
    assert owing.seqs(owing.deliveries) == sent


async def test_copies_at_once_settle_one_delivery(owing: Harness) -> None:
    """The second is accepted, then the first is refused for good: what was delivered stays so."""
    again = wake(owing)
    answers = iter((HttpResponse(410, {}), HttpResponse(204, {})))
    owing.callbacks.answer = lambda _: next(answers)
    owing.effects.before["deliveries.insert"] = lambda: deliver(owing.services, again)
    await deliver(owing.services, again)
    assert owing.settled.state is DeliveryState.DELIVERED
    assert owing.called() == [HOOK, HOOK]
    assert not owing.store.outbox.rows


async def test_an_overtaken_attempt_takes_its_successor_back(owing: Harness) -> None:
    owing.callbacks.answer = lambda _: HttpResponse(401, {})
    again = wake(owing)
    owing.deliveries.messages.clear()

    async def copy() -> None:
        owing.advance(seconds=1)
        await deliver(owing.services, again)

    owing.effects.before["outbox.replace"] = copy
    await deliver(owing.services, again)
    assert owing.seqs(owing.deliveries) == [2]
    assert owing.pending.seq == 2


async def test_a_failure_that_comes_after_a_copys_success_is_forgotten(owing: Harness) -> None:
    again = wake(owing)
    owing.deliveries.messages.clear()
    answers = iter((HttpResponse(401, {}), HttpResponse(204, {})))
    owing.callbacks.answer = lambda _: next(answers)
    owing.effects.before["outbox.replace"] = lambda: deliver(owing.services, again)
    await deliver(owing.services, again)
    await owing.settle()
    assert owing.settled.state is DeliveryState.DELIVERED
    assert not owing.store.outbox.rows


async def test_a_row_that_a_copy_moved_on_is_removed_with_the_settled_delivery(
    owing: Harness,
) -> None:
    again = wake(owing)
    answers = iter((HttpResponse(204, {}), HttpResponse(401, {})))
    owing.callbacks.answer = lambda _: next(answers)
    owing.effects.before["outbox.delete"] = lambda: owing.store.outbox.put(
        replace(owing.pending, seq=2, attempts=1, round_attempts=1)
    )
    await deliver(owing.services, again)
    assert owing.settled.state is DeliveryState.DELIVERED
    assert not owing.store.outbox.rows


@pytest.mark.parametrize("answer", [HttpResponse(204, {}), HttpResponse(401, {})])
@pytest.mark.parametrize("cut_after", [1, 2, 3])
async def test_an_attempt_cut_off_anywhere_costs_one_more_post(
    owing: Harness, cut_after: int, answer: HttpResponse
) -> None:
    owing.callbacks.answer = lambda _: answer
    again = wake(owing)
    owing.deliveries.messages.clear()
    owing.effects.cut_after = cut_after
    with pytest.raises(InterruptedStepError):
        await deliver(owing.services, again)
    owing.effects.cut_after = None
    owing.callbacks.answer = lambda _: HttpResponse(204, {})
    await deliver(owing.services, again)
    await owing.settle()
    assert owing.settled.state is DeliveryState.DELIVERED
    assert not owing.store.outbox.rows
    assert len(owing.called()) <= owing.settled.attempts + 1


async def test_what_is_settled_and_not_yet_removed_is_not_sent_again(owing: Harness) -> None:
    again = wake(owing)
    owing.effects.cut_after = 2
    with pytest.raises(InterruptedStepError):
        await deliver(owing.services, again)
    owing.effects.cut_after = None
    before = owing.settled
    await deliver(owing.services, again)
    assert owing.called() == [HOOK]
    assert owing.settled == before
    assert not owing.store.outbox.rows


async def test_a_result_that_was_purged_cannot_be_told(owing: Harness) -> None:
    await owing.store.results.delete(KEY)
    await owing.settle()
    assert (owing.settled.state, owing.settled.reason) == (
        DeliveryState.ABANDONED, "the result has been purged",
    )  # fmt: skip
    assert owing.called() == []


async def test_without_a_secret_a_delivery_waits_and_no_attempt_is_counted(owing: Harness) -> None:
    services = replace(owing.services, secrets=())
    for _ in range(3):
        seq = owing.pending.seq
        await deliver(services, wake(owing))
        assert (owing.pending.seq, owing.pending.attempts) == (seq + 1, 0)
        assert owing.pending.next_attempt_at == owing.now + timedelta(minutes=5)
        owing.advance(minutes=5)
    assert "OPSWATCH_CALLBACK_SECRETS" in (owing.pending.last_error or "")
    await owing.settle()
    assert (owing.settled.state, owing.settled.attempts) == (DeliveryState.DELIVERED, 1)


async def test_a_delivery_that_an_outage_of_ours_delayed_is_attempted_all_the_same(
    owing: Harness,
) -> None:
    """Its host is in a pause, and the whole schedule has gone by without an attempt."""
    paused = HostCircuit(name=HOST, failures=99, open_until=owing.now + timedelta(days=1))
    await owing.store.hosts.put(paused)
    await deliver(owing.services, wake(owing))
    assert owing.called() == []
    assert (owing.pending.attempts, owing.pending.last_error) == (0, "its host is paused")
    owing.advance(hours=1)
    await deliver(owing.services, wake(owing))
    assert owing.called() == [HOOK]
    assert owing.settled.state is DeliveryState.DELIVERED


async def test_a_failure_beside_another_one_is_counted_too(owing: Harness) -> None:
    owing.callbacks.answer = lambda _: HttpResponse(500, {})
    other = HostCircuit(name=HOST, failures=1, open_until=owing.now - timedelta(seconds=1))
    owing.effects.before["hosts.insert"] = lambda: owing.store.hosts.put(other)
    await deliver(owing.services, wake(owing))
    assert [host.failures for host in owing.store.hosts.values()] == [2]


async def test_a_failure_does_not_lengthen_a_pause_that_began_during_the_attempt(
    owing: Harness,
) -> None:
    owing.callbacks.answer = lambda _: HttpResponse(500, {})
    paused = HostCircuit(
        name=HOST, failures=OPENS_AFTER, open_until=owing.now + timedelta(seconds=30)
    )
    owing.effects.before["callbacks.post"] = lambda: owing.store.hosts.put(paused)
    await deliver(owing.services, wake(owing))
    assert owing.pending.attempts == 1
    assert owing.store.hosts.values() == [paused]


async def test_a_failed_probe_lengthens_the_pause(owing: Harness) -> None:
    owing.callbacks.answer = lambda _: HttpResponse(500, {})
    paused = HostCircuit(name=HOST, failures=OPENS_AFTER, open_until=owing.now)
    await owing.store.hosts.put(paused)
    await deliver(owing.services, wake(owing))
    assert owing.pending.attempts == 1
    assert [host.failures for host in owing.store.hosts.values()] == [OPENS_AFTER + 1]


async def test_who_finds_no_room_at_its_host_comes_back_and_no_attempt_is_counted(
    owing: Harness,
) -> None:
    owing.deliveries.messages.clear()
    owing.callbacks.next_slot = Busy(timedelta(seconds=4))
    await deliver(owing.services, wake(owing))
    assert owing.effects.names == ["deliveries_queue.send", "outbox.replace"]
    assert (owing.pending.seq, owing.pending.attempts) == (2, 0)
    (back_at,) = {message.visible_at for message in owing.deliveries.messages.values()}
    assert timedelta(seconds=4) <= back_at - owing.now <= timedelta(seconds=8)
    assert owing.pending.next_attempt_at == back_at


async def test_what_is_settled_and_not_yet_removed_is_removed_once_its_host_has_room(
    owing: Harness,
) -> None:
    again = wake(owing)
    owing.effects.cut_after = 2
    with pytest.raises(InterruptedStepError):
        await deliver(owing.services, again)
    owing.effects.cut_after = None
    owing.callbacks.next_slot = Busy(timedelta(0))
    await deliver(owing.services, again)
    owing.callbacks.next_slot = Acquired()
    await owing.settle()
    assert owing.called() == [HOOK]
    assert not owing.store.outbox.rows


# --- replays


async def test_a_replay_has_the_same_id_and_its_log_goes_on(harness: Harness) -> None:
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


async def test_an_abandoned_delivery_gets_its_whole_schedule_again(owing: Harness) -> None:
    owing.callbacks.answer = lambda _: HttpResponse(401, {})
    await owing.settle()
    before = owing.settled
    assert await redeliver(owing.services, KEY) == 1
    await owing.settle()
    assert owing.settled.attempts == 2 * before.attempts
    assert owing.settled.round_attempts == before.attempts


async def test_what_is_still_owed_is_left_alone(owing: Harness) -> None:
    assert await redeliver(owing.services, KEY) == 0
    await owing.settle()
    assert owing.called() == [HOOK]


async def test_a_replay_under_way_is_not_begun_again(harness: Harness) -> None:
    await harness.ended(HOOK)
    harness.callbacks.answer = lambda _: HttpResponse(401, {})
    assert await redeliver(harness.services, KEY) == 1
    await harness.pump()
    assert await redeliver(harness.services, KEY) == 0
    assert harness.seqs(harness.deliveries) == [3]


async def test_a_replay_cut_off_before_its_message_is_started_by_the_next_wish(
    harness: Harness,
) -> None:
    await harness.ended(HOOK)
    harness.effects.names.clear()
    harness.effects.cut_after = 1
    with pytest.raises(InterruptedStepError):
        await redeliver(harness.services, KEY)
    harness.effects.cut_after = None
    assert harness.effects.names == ["outbox.insert"]
    assert await redeliver(harness.services, KEY) == 1
    await harness.settle()
    assert harness.called() == [HOOK, HOOK]


async def test_a_replay_wished_while_the_delivery_settles_is_made(owing: Harness) -> None:
    replayed: list[int] = []

    async def wish() -> None:
        owing.advance(seconds=1)
        replayed.append(await redeliver(owing.services, KEY))

    owing.effects.before["outbox.delete"] = wish
    await owing.settle()
    assert replayed == [1]
    assert owing.called() == [HOOK, HOOK]
    assert owing.settled.attempts == 2
    assert not owing.store.outbox.rows


async def test_only_this_operations_deliveries_are_replayed(harness: Harness) -> None:
    await harness.ended(HOOK)
    longer = replace(KEY, row=f"{KEY.row}~deadbeef")  # whose keys begin as this one's do
    foreign = replace(
        harness.settled,
        key=replace(harness.settled.key, row=f"{longer.row}~00000000"),
        operation=longer,
    )
    await harness.store.deliveries.put(foreign)
    assert await redeliver(harness.services, KEY) == 1
