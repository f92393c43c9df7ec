"""One look of a look-ahead: what it wakes, where it goes on, and when it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from opswatch.core.keys import Key
from opswatch.core.lookahead import Look, LookAhead, begin, key_of
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Watch
from opswatch.ports import Page, Query, Row
from opswatch.rows.messages import decode_message, encode_look
from opswatch.steps.look import look_ahead
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.wakeups import before_commit, watch_chain
from tests.support import builders
from tests.support.harness import HOOK, START, Harness, InterruptedStepError, ended, running

SECOND = timedelta(seconds=1)
STATE = LookAhead(table="watches", seq=5, due_at=START, looked_until=START)
LOOK = Look(5, START)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def watch(row: str, due_at: datetime, *, far: bool = True) -> Watch:
    operation = replace(builders.operation(), key=Key("p", row))
    return builders.watch(operation=operation, due_at=due_at, far=far, callbacks=(HOOK,))


async def insert(harness: Harness, *watches: Watch) -> None:
    for inserted in watches:
        await harness.store.watches.put(inserted)


async def look(harness: Harness, look: Look = LOOK) -> None:
    await look_ahead(harness.services, watch_chain(harness.services), look)


def state(harness: Harness) -> LookAhead:
    (row,) = harness.store.lookahead.values()
    return row


def looks(harness: Harness) -> list[Look]:
    read = [decode_message(message.body) for message in harness.operations.messages.values()]
    return [item for item in read if isinstance(item, Look)]


@pytest.fixture
async def harness() -> Harness:
    """A harness whose look-ahead over the watches is due now."""
    harness = Harness()
    await harness.store.lookahead.put(STATE)
    return harness


async def test_far_rows_within_reach_are_woken(harness: Harness) -> None:
    await insert(
        harness,
        watch("before", at(-0.001)),  # the look before has woken it
        watch("first", at(0)),
        watch("last", at(9.999)),
        watch("next", at(10)),
        watch("near", at(5), far=False),
    )
    await look(harness)
    wakes = harness.wake_ups(harness.operations)
    assert [wake.key.row for wake in wakes] == ["first", "last"]
    assert [wake.due_at for wake in wakes] == [at(0), at(9.999)]
    visible = [m.visible_at for m in harness.operations.messages.values()]
    assert sorted(visible) == [at(0), at(5), at(10)]  # the following look is in the middle


async def test_row_that_falls_due_during_a_slow_look_is_woken_at_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = harness.store.watches.find

    async def slow_find(query: Query) -> AsyncIterator[Row[Watch]]:
        harness.advance(seconds=20)
        async for row in find(query):
            yield row

    await insert(harness, watch("a", at(9)))
    monkeypatch.setattr(harness.store.watches, "find", slow_find)
    await look(harness)
    visible = [m.visible_at for m in harness.operations.messages.values()]
    assert sorted(visible) == [at(5), at(20)]  # the following look is the first


async def test_wake_up_has_a_copy_of_its_watch(harness: Harness) -> None:
    due = watch("1", at(3))
    await insert(harness, due)
    await look(harness)
    (wake,) = harness.wake_ups(harness.operations)
    row = await harness.store.watches.get(due.key)
    assert row is not None
    assert (wake.copy, wake.etag) == (builders.change(due, callbacks=()), row.etag)


async def test_wake_up_of_a_delivery_has_no_copy(harness: Harness) -> None:
    await harness.store.lookahead.put(replace(STATE, table="outbox"))
    await harness.store.outbox.put(builders.delivery(far=True, next_attempt_at=at(3)))
    await deliveries_message(harness.services, encode_look(LOOK))
    (wake,) = harness.wake_ups(harness.deliveries)
    assert (wake.due_at, wake.copy) == (at(3), None)


async def test_following_look_is_sent_first_and_the_cursor_moved_last(harness: Harness) -> None:
    await insert(harness, watch("1", at(3)))
    await look(harness)
    assert harness.effects.names == [
        "operations.send", "operations.send_wake_up", "lookahead.replace",
    ]  # fmt: skip
    assert looks(harness) == [Look(6, at(5))]
    after = state(harness)
    assert (after.seq, after.due_at, after.looked_until) == (6, at(5), at(10))


async def test_late_look_covers_all_that_was_missed(harness: Harness) -> None:
    await insert(harness, *(watch(f"{n:03}", at(n)) for n in range(0, 200, 10)))
    harness.advance(seconds=100)
    await look(harness)
    assert len(harness.wake_ups(harness.operations)) == 11
    assert state(harness).looked_until == at(110)


@pytest.mark.parametrize("cut_after", [1, 2, 3])
async def test_following_look_replaces_one_that_was_cut_off(
    harness: Harness, cut_after: int
) -> None:
    await insert(harness, watch("1", at(3)), watch("2", at(4)))
    harness.effects.cut_after = cut_after
    with suppress(InterruptedStepError):  # it is reported, once the following look was sent
        await look(harness)
    harness.effects.cut_after = None
    harness.operations.messages = {  # the message itself is lost, too; its successor is not
        number: message
        for number, message in harness.operations.messages.items()
        if isinstance(decode_message(message.body), Look)
    }
    harness.now = at(5)
    await harness.pump()
    assert {wake.key.row for wake in harness.wake_ups(harness.operations)} == {"1", "2"}
    assert state(harness).looked_until == at(15)


@pytest.mark.parametrize(
    "message", [Look(4, START), Look(5, at(0.1))], ids=["a duplicate", "of another worker"]
)
async def test_foreign_look_is_dropped(harness: Harness, message: Look) -> None:
    await insert(harness, watch("1", at(3)))
    await look(harness, message)
    assert harness.operations.messages == {}
    assert state(harness) == STATE


@pytest.mark.parametrize("due_at", [at(0), at(86_400)], ids=["now", "tomorrow"])
@pytest.mark.parametrize("seq", [30, 2**62, 2**63 - 1])
async def test_forged_look_does_not_hold_the_chain_up(
    harness: Harness, seq: int, due_at: datetime
) -> None:
    await insert(harness, watch("1", at(3)), watch("2", at(200)))
    await look(harness, Look(seq, due_at))
    assert harness.operations.messages == {}
    assert state(harness) == STATE
    await look(harness)
    assert [wake.key.row for wake in harness.wake_ups(harness.operations)] == ["1"]
    assert looks(harness) == [Look(6, at(5))]


async def test_look_without_a_row_is_dropped(harness: Harness) -> None:
    await harness.store.lookahead.delete(STATE.key)
    await operations_message(harness.services, encode_look(LOOK))
    assert harness.operations.messages == {}
    assert not harness.store.lookahead.rows


async def test_failed_look_is_reported_and_not_repeated(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Each try would send another following look."""

    async def fail() -> None:
        raise ConnectionError("no answer")

    harness.effects.before["lookahead.replace"] = fail
    await look(harness)
    assert "opswatch.look_failed table=watches" in caplog.text
    assert looks(harness) == [Look(6, at(5))]
    assert state(harness) == STATE


async def test_look_without_a_following_one_fails(harness: Harness) -> None:
    """The host shows its message again."""

    async def fail() -> None:
        raise ConnectionError

    harness.effects.before["operations.send"] = fail
    with pytest.raises(ConnectionError):
        await look(harness)
    assert harness.operations.messages == {}


async def test_long_outage_of_the_cursor_multiplies_no_wake_up(harness: Harness) -> None:
    """Each look sends its wake-ups, and cannot commit."""

    async def fail() -> None:
        raise ConnectionError

    await insert(harness, *(watch(f"{n:02}", at(n)) for n in range(0, 60, 10)))
    harness.operations.post(encode_look(LOOK))
    for _ in range(12):
        harness.effects.before["lookahead.replace"] = fail
        await harness.pump()
        harness.advance(seconds=5)
    sent = [wake.key.row for wake in harness.wake_ups(harness.operations)]
    assert set(sent) == {"00", "10", "20", "30", "40", "50"}
    assert sent.count("50") == 1
    assert sent.count("00") <= 4


@pytest.mark.parametrize("failing", ["find", "send_wake_up"])
async def test_looks_that_wake_nothing_pass_no_row(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The cursor could be moved, but the rows could not be read, or their wake-ups not be sent."""

    def fail(*_: object) -> None:
        raise ConnectionError

    await insert(harness, *(watch(f"{n:02}", at(n)) for n in range(0, 60, 10)))
    harness.operations.post(encode_look(LOOK))
    with monkeypatch.context() as outage:
        port = harness.store.watches if failing == "find" else harness.operations
        outage.setattr(port, failing, fail)
        for _ in range(12):
            await harness.pump()
            harness.advance(seconds=5)
        assert harness.wake_ups(harness.operations) == []
    await harness.pump()
    sent = [wake.key.row for wake in harness.wake_ups(harness.operations)]
    assert sorted(sent) == ["00", "10", "20", "30", "40", "50"]
    harness.advance(seconds=5)
    await harness.pump()
    assert len(harness.wake_ups(harness.operations)) == 6


async def test_one_message_that_fails_repeats_no_other(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The following look would send all of them again, and call receivers twice."""
    await insert(harness, watch("1", at(8)), watch("2", at(9)))
    send, failures = harness.operations.send_wake_up, [ConnectionError]

    async def send_or_fail(wake: WakeUp, delay: timedelta) -> None:
        if failures and wake.key.row == "1":
            raise failures.pop()
        await send(wake, delay)

    monkeypatch.setattr(harness.operations, "send_wake_up", send_or_fail)
    harness.operations.post(encode_look(LOOK))
    await harness.pump()
    harness.now = at(5)
    await harness.pump()
    sent = [wake.key.row for wake in harness.wake_ups(harness.operations)]
    assert sorted(sent) == ["1", "2"]


async def test_one_look_by_a_wrong_clock_passes_no_row(harness: Harness) -> None:
    """Its cursor is an hour ahead; the waits of that hour are not left to the repair."""
    harness.status = running(**{"retry-after": "600"})
    harness.operations.post(encode_look(LOOK))
    harness.now = at(3600)
    await harness.pump()
    harness.now = at(5)
    harness.operations.messages.clear()
    await insert(harness, watch("1", at(60)), watch("2", at(20)))
    await look(harness, state(harness).next_look)
    for second in range(6, 60):
        harness.now = at(second)
        await harness.pump()
    assert [wake.key.row for wake in harness.wake_ups(harness.operations)] == ["1"]
    polled = await harness.store.watches.get(Key("p", "2"))
    assert polled is not None
    assert polled.value.facts.last_polled_at == at(20)


async def test_repeated_look_does_not_fork_the_chain(harness: Harness) -> None:
    """The same message arrives twice at the same time."""
    await insert(harness, watch("1", at(60)))
    harness.effects.before["lookahead.replace"] = lambda: look(harness)
    await look(harness)
    harness.now = at(5)
    await harness.pump()
    assert len(looks(harness)) == 1
    assert state(harness).seq == 7


async def test_look_that_meets_a_new_wait_sends_no_wake_up_twice(harness: Harness) -> None:
    """Two wake-ups of one delivery would call its receiver twice."""
    await harness.store.lookahead.put(replace(STATE, empty_looks=4))
    await insert(harness, watch("1", at(3)))
    waiting = watch("2", at(60))
    harness.effects.before["lookahead.replace"] = lambda: before_commit(
        harness.services, watch_chain(harness.services), waiting
    )
    await look(harness)
    assert [wake.key.row for wake in harness.wake_ups(harness.operations)] == ["1"]
    assert (state(harness).seq, state(harness).looked_until) == (6, at(10))


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["in order", "overtaken"])
async def test_looks_that_overlap_send_no_wake_up_twice(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, order: list[int]
) -> None:
    """To read the rows takes longer than the time to the following look."""
    await insert(harness, watch("1", at(8)), watch("2", at(14)))
    find, reading = harness.store.watches.find, [asyncio.Event(), asyncio.Event()]
    unread = iter(reading)

    async def slow_find(query: Query) -> AsyncIterator[Row[Watch]]:
        rows = [row async for row in find(query)]
        await next(unread).wait()
        for row in rows:
            yield row

    monkeypatch.setattr(harness.store.watches, "find", slow_find)
    both = []
    for due in (LOOK, Look(6, at(5))):
        both.append(asyncio.create_task(look(harness, due)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        harness.advance(seconds=5)
    monkeypatch.undo()
    for number in order:
        reading[number].set()
        await both[number]
    await harness.pump()
    sent = [wake.key.row for wake in harness.wake_ups(harness.operations)]
    assert sorted(sent) == ["1", "2"]
    assert len(looks(harness)) == 1


async def test_waits_beyond_its_reach_keep_it_running(harness: Harness) -> None:
    await insert(harness, watch("1", at(3600)))
    await look(harness)
    assert state(harness).empty_looks == 0


async def test_empty_page_does_not_end_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service looks at so many rows for a page, of which none may match."""
    find_page = harness.store.watches.find_page

    async def page_by_page(
        query: Query, limit: int, continuation: str | None = None
    ) -> Page[Row[Watch]]:
        return await find_page(query, limit) if continuation else Page([], "next")

    await insert(harness, watch("1", at(3600)))
    monkeypatch.setattr(harness.store.watches, "find_page", page_by_page)
    await look(harness)
    assert state(harness).empty_looks == 0


async def test_ends_a_minute_after_there_was_nothing(harness: Harness) -> None:
    await insert(harness, watch("1", at(3600), far=False))
    harness.operations.post(encode_look(LOOK))
    while harness.store.lookahead.rows:
        await harness.pump()
        harness.advance(seconds=5)
    assert harness.now - START == timedelta(seconds=65)
    await harness.pump()  # the message that the last look has sent
    assert harness.operations.messages == {}


async def test_wait_that_begins_during_the_last_look_keeps_it_running(harness: Harness) -> None:
    """A worker that has a far wait touches the row before it commits."""
    await harness.store.lookahead.put(replace(STATE, empty_looks=12))
    waiting = watch("1", at(60))

    async def wait() -> None:
        await before_commit(harness.services, watch_chain(harness.services), waiting)
        await insert(harness, waiting)

    harness.effects.before["lookahead.delete"] = wait
    await look(harness)
    assert (state(harness).seq, state(harness).empty_looks) == (6, 0)
    harness.now = at(52)
    await harness.pump()
    assert [wake.key.row for wake in harness.wake_ups(harness.operations)] == ["1"]


async def test_restarted_look_ahead_drops_its_old_message(harness: Harness) -> None:
    await insert(harness, watch("1", at(60)))
    harness.operations.post(encode_look(LOOK), 40 * SECOND)  # it was not lost: the queue was slow
    harness.now = at(30)
    await before_commit(harness.services, watch_chain(harness.services), watch("1", at(60)))
    harness.now = at(40)
    await harness.pump()
    await harness.pump()
    assert len(looks(harness)) == 1
    assert state(harness).seq == 7


async def test_far_waits_are_polled_on_time() -> None:
    """From message to message, over an hour: each poll is made at the instant that it is due."""
    harness = Harness()
    harness.status = running(**{"retry-after": "60"})
    await harness.watched(HOOK)
    due: list[datetime] = []
    while harness.now < START + timedelta(minutes=30):
        if not due or harness.watch.due_at != due[-1]:
            due.append(harness.watch.due_at)
        messages = harness.operations.messages.values()
        harness.now = min(message.visible_at for message in messages)
        await harness.pump_all()
        assert harness.watch.facts.last_polled_at in (START, *due)
    assert len(due) > 20
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]
    assert not harness.store.lookahead.rows
    assert harness.rows()["lookahead"] == {}
    assert key_of("watches") == begin("watches", START).key
