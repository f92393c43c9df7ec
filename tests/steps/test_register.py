"""A post becomes a watch, a further receiver of a known operation, or a rejection."""

import json
from datetime import timedelta

import pytest

from opswatch.core.errors import Reason
from opswatch.core.keys import Key
from opswatch.core.watches import Result
from opswatch.ports import Row
from opswatch.steps.control import stop
from opswatch.steps.messages import operations_message
from opswatch.steps.register import register
from opswatch.steps.repair import repair
from tests.steps.conftest import interrupt, live_rows, take_post
from tests.support.harness import HOOK, KEY, OTHER, START, Harness, ended


async def test_post_becomes_watch_timeline_entry_and_wake_up(harness: Harness) -> None:
    harness.post(HOOK, kind="redisEnterprise/create", clientState={"ticket": 42}, timeout="PT6H")
    harness.effects.names.clear()
    await harness.pump()
    assert harness.effects.names == [
        "watches.insert", "timeline.insert", "arm.get", "operations.send_wake_up", "watches.merge",
    ]  # fmt: skip
    watch = harness.watch
    assert (watch.key, watch.facts.kind, watch.facts.client_state) == (
        KEY, "redisEnterprise/create", '{"ticket":42}',
    )  # fmt: skip
    assert watch.facts.registered_at == START
    assert watch.facts.deadline_at == START + timedelta(hours=6)
    assert (watch.facts.last_polled_at, watch.seq, watch.facts.callbacks) == (START, 2, (HOOK,))
    (entry,) = harness.store.timeline.values()
    assert (entry.operation, entry.kind, entry.status) == (KEY, "redisEnterprise/create", None)
    assert harness.seqs(harness.operations) == [2]


async def test_http_post_is_polled_by_a_message(harness: Harness) -> None:
    key = await register(harness.services, harness.registration(HOOK), harness.now)
    assert harness.effects.names == [
        "watches.insert", "timeline.insert", "operations.send_wake_up",
    ]  # fmt: skip
    assert (key, harness.watch.seq, harness.arm.asked) == (KEY, 1, [])
    (wake,) = harness.wake_ups(harness.operations)
    assert (wake.seq, wake.due_at) == (1, START)
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]


async def test_repeated_post_changes_nothing(harness: Harness) -> None:
    await harness.watched(HOOK)
    before = harness.rows()
    harness.advance(seconds=1)
    body = harness.post(HOOK)
    await harness.pump()
    await operations_message(harness.services, body)
    assert harness.rows() == before
    assert harness.seqs(harness.operations) == [2]


async def test_second_receiver_joins_first_registration(harness: Harness) -> None:
    first = await harness.watched(HOOK)
    harness.advance(seconds=1)
    harness.post(OTHER, timeout="P1D", kind="other")
    await harness.pump()
    assert harness.watch.facts.callbacks == (HOOK, OTHER)
    assert (harness.watch.facts.deadline_at, harness.watch.facts.kind, harness.watch.seq) == (
        first.facts.deadline_at, None, first.seq,
    )  # fmt: skip


async def test_receiver_after_the_end_is_called_at_once(harness: Harness) -> None:
    await harness.ended(HOOK)
    before = harness.result
    harness.advance(hours=2)
    harness.post(OTHER)
    await harness.settle()
    assert harness.called() == [HOOK, OTHER]
    assert harness.result == before
    assert [entry.status for entry in harness.store.timeline.values()] == ["Succeeded"]
    assert not live_rows(harness)
    late = next(d for d in harness.store.deliveries.values() if d.callback_url == OTHER)
    assert late.started_at == harness.now


@pytest.mark.parametrize("callback_url", [None, HOOK])
async def test_repeated_post_after_the_end_changes_nothing(
    harness: Harness, callback_url: str | None
) -> None:
    await harness.ended(HOOK)
    before = harness.rows()
    harness.advance(hours=2)
    harness.post(callback_url)
    await harness.settle()
    assert harness.rows() == before
    assert harness.called() == [HOOK]


@pytest.mark.parametrize("effect", ["results.insert", "watches.delete"])
async def test_receiver_that_joins_during_the_end_is_called(harness: Harness, effect: str) -> None:
    await harness.watched(HOOK)
    harness.status = ended()
    body = take_post(harness, OTHER)
    harness.effects.before[effect] = lambda: operations_message(harness.services, body)
    await harness.settle()
    assert harness.effects.names.count("deliveries_queue.send_wake_up") == 2
    assert sorted(harness.called()) == [HOOK, OTHER]
    assert not harness.store.watches.rows


async def test_operation_that_ends_during_post_gets_no_second_watch(harness: Harness) -> None:
    body = take_post(harness, HOOK)
    harness.effects.before["watches.insert"] = lambda: harness.ended(HOOK)
    harness.advance(seconds=1)
    await operations_message(harness.services, body)
    await harness.settle()
    assert not harness.store.watches.rows
    assert harness.called() == [HOOK]
    assert [entry.status for entry in harness.store.timeline.values()] == ["Succeeded"]


@pytest.mark.parametrize("cut_after", [1, 2, 3, 4])
async def test_same_message_continues_interrupted_registration(
    harness: Harness, cut_after: int
) -> None:
    body = take_post(harness, HOOK)
    await interrupt(harness, operations_message(harness.services, body), after=cut_after)
    harness.advance(minutes=10)
    await operations_message(harness.services, body)
    assert (harness.watch.facts.registered_at, harness.watch.seq) == (START, 2)
    assert len(harness.store.timeline.values()) == 1
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]
    assert harness.result.facts.polls == 2
    assert len(harness.arm.asked) == (2 if cut_after < 3 else 3)


@pytest.mark.parametrize("cut_after", range(1, 6))
async def test_same_message_continues_interrupted_late_registration(
    harness: Harness, cut_after: int
) -> None:
    await harness.ended(HOOK)
    before = harness.result
    body = take_post(harness, OTHER)
    harness.effects.names.clear()
    await interrupt(harness, operations_message(harness.services, body), after=cut_after)
    harness.advance(minutes=10)
    await operations_message(harness.services, body)
    await repair(harness.services)  # sends the wake-up of a delivery that the crash prevented
    await harness.settle()
    assert harness.called() == [HOOK, OTHER]
    assert harness.result == before
    assert not live_rows(harness)
    assert len(harness.store.timeline.values()) == 1


async def test_registration_lists_an_end_whose_worker_crashed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds the result, and removes the watch, so nobody else would list it."""
    harness.status = ended("Failed")
    first, second = take_post(harness, HOOK), take_post(harness, OTHER)

    results = harness.store.results

    async def get_late(key: Key) -> Row[Result] | None:
        monkeypatch.undo()
        await interrupt(harness, operations_message(harness.services, second), after=6)
        assert harness.effects.names[-1] == "results.insert"
        return await results.get(key)

    monkeypatch.setattr(results, "get", get_late)
    await operations_message(harness.services, first)
    await harness.settle()
    assert sorted(harness.called()) == [HOOK, OTHER]
    assert not live_rows(harness)
    assert [entry.status for entry in harness.store.timeline.values()] == ["Failed"]


async def test_same_message_finishes_stopped_late_watch(harness: Harness) -> None:
    await harness.ended(HOOK)
    body = take_post(harness, OTHER)
    await interrupt(harness, operations_message(harness.services, body), after=1)
    await interrupt(harness, stop(harness.services, KEY), after=1)
    assert harness.watch.end is not None
    await operations_message(harness.services, body)
    assert not harness.store.watches.rows
    await harness.settle()
    assert harness.called() == [HOOK, OTHER]
    assert len(harness.store.timeline.values()) == 1


async def test_receiver_beyond_the_rows_limit_is_rejected(harness: Harness) -> None:
    await harness.watched(HOOK)
    long = "https://hooks.example.com/" + "x" * 2000
    for number in range(17):
        harness.post(f"{long}{number}")
        await harness.pump()
    assert len(harness.watch.facts.callbacks) == 17  # HOOK and 16 of 2 KB each
    (rejected,) = harness.store.rejections.values()
    assert rejected.reason is Reason.TOO_LARGE
    assert json.loads(rejected.body)["callbackUrl"] == f"{long}16"


async def test_repeated_rejection_is_one_row_with_a_count(harness: Harness) -> None:
    for _ in range(3):
        harness.operations.post(b"{nonsense")
        await harness.pump()
        harness.advance(seconds=1)
    (rejected,) = harness.store.rejections.values()
    assert (rejected.reason, rejected.count) == (Reason.NOT_JSON, 3)
    assert (rejected.received_at, rejected.body) == (START + timedelta(seconds=2), "{nonsense")
    assert not harness.operations.messages


async def test_concurrent_rejections_are_all_counted(harness: Harness) -> None:
    await operations_message(harness.services, b"{nonsense")
    harness.advance(seconds=1)

    async def another_post() -> None:
        harness.advance(seconds=1)
        await operations_message(harness.services, b"{nonsense")

    harness.effects.before["rejections.replace"] = another_post
    await operations_message(harness.services, b"{nonsense")
    (again,) = harness.operations.messages.values()  # the body that met another one
    assert again.visible_at - harness.now >= timedelta(seconds=30)
    await harness.settle()
    (rejected,) = harness.store.rejections.values()
    assert rejected.count == 3
