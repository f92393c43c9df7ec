"""What is posted becomes a watch once, a receiver once, or a rejection."""

import json
from datetime import timedelta

import pytest

from opswatch import steps
from opswatch.core.errors import Reason
from tests.steps.house import HOOK, KEY, OTHER, START, CutOffError, House, ended


async def test_a_post_becomes_a_watch_a_line_in_the_list_and_a_wake_up(house: House) -> None:
    house.post(HOOK, kind="redisEnterprise/create", clientState={"ticket": 42}, timeout="PT6H")
    house.effects.names.clear()
    await steps.operations_message(
        house.services, next(iter(house.operations.messages.values())).body
    )
    assert house.effects.names == ["watches.insert", "timeline.insert", "operations.send"]
    watch = house.watch
    assert (watch.key, watch.kind, watch.client_state) == (
        KEY, "redisEnterprise/create", '{"ticket":42}',
    )  # fmt: skip
    assert (watch.registered_at, watch.deadline_at) == (START, START + timedelta(hours=6))
    assert (watch.due_at, watch.seq, watch.callbacks) == (START, 1, (HOOK,))
    (line,) = house.store.timeline.values()
    assert (line.operation, line.kind, line.status) == (KEY, "redisEnterprise/create", None)
    assert house.seqs(house.operations) == [1]


async def test_the_same_post_again_changes_nothing(house: House) -> None:
    await house.watched(HOOK)
    before = house.rows()
    house.advance(seconds=1)
    body = house.post(HOOK)
    await house.pump()
    await steps.operations_message(house.services, body)
    assert house.rows() == before
    assert house.seqs(house.operations) == [2]


async def test_another_receiver_joins_and_the_first_registration_stays(house: House) -> None:
    first = await house.watched(HOOK)
    house.advance(seconds=1)
    house.post(OTHER, timeout="P1D", kind="other")
    await house.pump()
    assert house.watch.callbacks == (HOOK, OTHER)
    assert (house.watch.deadline_at, house.watch.kind, house.watch.seq) == (
        first.deadline_at, None, first.seq,
    )  # fmt: skip


async def test_a_receiver_that_comes_after_the_end_is_called_at_once(house: House) -> None:
    await house.ended(HOOK)
    before = house.result
    house.advance(hours=2)
    house.post(OTHER)
    await house.settle()
    assert house.called() == [HOOK, OTHER]
    assert house.result == before
    assert [line.status for line in house.store.timeline.values()] == ["Succeeded"]
    assert not house.store.watches.rows
    assert not house.store.outbox.rows
    late = next(d for d in house.store.deliveries.values() if d.callback_url == OTHER)
    assert late.started_at == house.now


@pytest.mark.parametrize("callback_url", [None, HOOK])
async def test_a_post_after_the_end_that_asks_nothing_new_calls_nobody(
    house: House, callback_url: str | None
) -> None:
    await house.ended(HOOK)
    before = house.rows()
    house.advance(hours=2)
    house.post(callback_url)
    await house.settle()
    assert house.rows() == before
    assert house.called() == [HOOK]


async def test_a_receiver_that_joins_between_the_end_and_the_result_is_called(
    house: House,
) -> None:
    await house.watched(HOOK)
    house.status = ended()
    body = house.post(OTHER)
    house.operations.messages.popitem()
    house.effects.before["results.insert"] = lambda: steps.operations_message(house.services, body)
    await house.settle()
    assert sorted(house.called()) == [HOOK, OTHER]
    assert not house.store.watches.rows


async def test_a_receiver_that_joins_while_the_watch_is_removed_is_called(house: House) -> None:
    await house.watched(HOOK)
    house.status = ended()
    body = house.post(OTHER)
    house.operations.messages.popitem()
    house.effects.before["watches.delete"] = lambda: steps.operations_message(house.services, body)
    await house.settle()
    assert house.effects.names.count("deliveries_queue.send") == 2
    assert sorted(house.called()) == [HOOK, OTHER]
    assert not house.store.watches.rows


async def test_an_operation_that_ends_while_it_is_posted_again_gets_no_second_watch(
    house: House,
) -> None:
    body = house.post(HOOK)
    house.operations.messages.clear()

    async def whole_life() -> None:
        await house.ended(HOOK)

    house.effects.before["watches.insert"] = whole_life
    house.advance(seconds=1)
    await steps.operations_message(house.services, body)
    await house.settle()
    assert not house.store.watches.rows
    assert house.called() == [HOOK]
    assert [line.status for line in house.store.timeline.values()] == ["Succeeded"]


@pytest.mark.parametrize("cut_after", [1, 2, 3])
async def test_a_registration_cut_off_anywhere_is_repaired_by_the_same_message(
    house: House, cut_after: int
) -> None:
    body = house.post(HOOK)
    house.operations.messages.clear()
    house.effects.cut_after = cut_after
    with pytest.raises(CutOffError):
        await steps.operations_message(house.services, body)
    house.effects.cut_after = None
    house.advance(minutes=10)
    await steps.operations_message(house.services, body)
    assert house.watch.registered_at == START
    assert len(house.store.timeline.rows) == 1
    assert set(house.seqs(house.operations)) == {1}
    house.status = ended()
    await house.settle()
    assert house.called() == [HOOK]
    assert len(house.arm.asked) == 1


@pytest.mark.parametrize("cut_after", range(1, 7))
async def test_a_late_receiver_cut_off_anywhere_is_called_once_the_message_comes_again(
    house: House, cut_after: int
) -> None:
    await house.ended(HOOK)
    before = house.result
    body = house.post(OTHER)
    house.operations.messages.clear()
    house.effects.names.clear()
    house.effects.cut_after = cut_after
    with pytest.raises(CutOffError):
        await steps.operations_message(house.services, body)
    house.effects.cut_after = None
    house.advance(minutes=10)
    await steps.operations_message(house.services, body)
    await house.settle()
    assert house.called() == [HOOK, OTHER]
    assert house.result == before
    assert not house.store.watches.rows
    assert not house.store.outbox.rows
    assert len(house.store.timeline.rows) == 1


async def test_a_late_receivers_watch_that_was_stopped_is_finished_by_the_same_message(
    house: House,
) -> None:
    await house.ended(HOOK)
    body = house.post(OTHER)
    house.operations.messages.clear()
    house.effects.cut_after = len(house.effects.names) + 1
    with pytest.raises(CutOffError):
        await steps.operations_message(house.services, body)
    house.effects.cut_after += 1
    with pytest.raises(CutOffError):
        await steps.stop(house.services, KEY)
    house.effects.cut_after = None
    assert house.watch.end is not None
    await steps.operations_message(house.services, body)
    assert not house.store.watches.rows
    await house.settle()
    assert house.called() == [HOOK, OTHER]
    assert len(house.store.timeline.rows) == 1


async def test_a_receiver_for_which_the_row_has_no_room_is_rejected(house: House) -> None:
    await house.watched(HOOK)
    long = "https://hooks.example.com/" + "x" * 2000
    for number in range(17):
        house.post(f"{long}{number}")
        await house.pump()
    assert len(house.watch.callbacks) == 17  # HOOK and 16 of 2 KB each
    (rejected,) = house.store.rejections.values()
    assert rejected.reason is Reason.TOO_LARGE
    assert json.loads(rejected.body)["callbackUrl"] == f"{long}16"


async def test_what_cannot_be_accepted_becomes_one_row_that_counts(house: House) -> None:
    for _ in range(3):
        house.operations.post(b"{nonsense")
        await house.pump()
        house.advance(seconds=1)
    (rejected,) = house.store.rejections.values()
    assert (rejected.reason, rejected.count) == (Reason.NOT_JSON, 3)
    assert (rejected.received_at, rejected.body) == (START + timedelta(seconds=2), "{nonsense")
    assert not house.operations.messages


async def test_two_who_reject_the_same_at_once_are_both_counted(house: House) -> None:
    await steps.operations_message(house.services, b"{nonsense")
    house.advance(seconds=1)

    async def another() -> None:
        house.advance(seconds=1)
        await steps.operations_message(house.services, b"{nonsense")

    house.effects.before["rejections.replace"] = another
    await steps.operations_message(house.services, b"{nonsense")
    (rejected,) = house.store.rejections.values()
    assert rejected.count == 3


async def test_what_is_posted_to_the_queue_of_deliveries_is_rejected(house: House) -> None:
    house.deliveries.post(b'{"operation": "x"}')
    await house.pump()
    (rejected,) = house.store.rejections.values()
    assert rejected.reason is Reason.UNKNOWN_SHAPE
    assert "'operations'" in rejected.detail
