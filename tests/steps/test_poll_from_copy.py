"""Polls from a copy of a row, or from what this process wrote last: the commit proves it."""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from opswatch.core.arm import read
from opswatch.core.http import HttpResponse
from opswatch.core.observations import Ended
from opswatch.core.polls import polled_url
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import End, FinalStatus, Result, Watch
from opswatch.ports import Row
from opswatch.rows.messages import BatchMessage, WakeUpFields, decode_message
from opswatch.rows.tables import WATCHES
from opswatch.steps.messages import operations_message
from opswatch.steps.poll import poll
from tests.steps.conftest import take_post
from tests.support.builders import watch
from tests.support.harness import ENDPOINT, HOOK, KEY, OTHER, Harness, ended, running, status_path

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def harness() -> Harness:
    """A harness with a far wait, and no message but the wake-up of it, which has a copy."""
    harness = Harness()
    harness.status = running(**{"retry-after": "60"})
    harness.post(HOOK, clientState={"ticket": 42})
    await harness.pump_all()
    harness.now = harness.watch.due_at
    await harness.pump_all()
    assert harness.watch.far
    harness.now = harness.watch.due_at - timedelta(seconds=8)
    while not harness.wake_ups(harness.operations):
        await harness.pump()
        harness.advance(seconds=1)
    harness.now = harness.watch.due_at
    harness.effects.names.clear()
    return harness


def wake_up(harness: Harness) -> WakeUp:
    """Take the wake-up from the queue, and leave the message of the look-ahead."""
    (wake,) = harness.wake_ups(harness.operations)
    for message in list(harness.operations.messages.values()):
        if isinstance(decode_message(message.body), tuple):
            del harness.operations.messages[message.message_id]
    assert wake.copy is not None
    return wake


def count_reads(harness: Harness) -> list[str]:
    """Return a list to which each read of a watch is added."""
    reads: list[str] = []
    get = harness.store.watches.get

    async def counted(key: Any) -> Any:
        reads.append(key.row)
        return await get(key)

    harness.store.watches.get = counted  # type: ignore[method-assign]
    return reads


async def test_poll_from_a_copy_reads_no_row(harness: Harness) -> None:
    wake, reads, before = wake_up(harness), count_reads(harness), harness.watch
    await poll(harness.services, wake)
    assert reads == []
    after = harness.watch
    assert (after.seq, after.facts.polls) == (before.seq + 1, before.facts.polls + 1)
    # What the copy leaves out is in the row as before.
    assert after.facts.callbacks == (HOOK,)
    assert after.facts.client_state == '{"ticket":42}'


async def test_end_from_a_copy_finishes_the_whole_row(harness: Harness) -> None:
    harness.status = ended("Failed")
    await poll(harness.services, wake_up(harness))
    assert harness.result.facts.callbacks == (HOOK,)
    assert harness.result.facts.client_state == '{"ticket":42}'
    await harness.settle()
    assert harness.called() == [HOOK]
    assert not harness.store.watches.rows


async def test_receiver_that_joined_since_the_copy_is_kept(harness: Harness) -> None:
    """The commit conflicts; the poll decides again on the row, with the same due time."""
    wake = wake_up(harness)
    await operations_message(harness.services, take_post(harness, OTHER))
    asked = len(harness.arm.asked)
    harness.advance(seconds=1)
    await poll(harness.services, wake)
    assert len(harness.arm.asked) == asked + 1
    due_at = harness.watch.due_at
    assert (harness.watch.seq, harness.watch.facts.callbacks) == (wake.seq + 1, (HOOK, OTHER))
    harness.status = ended()
    await harness.settle()
    assert harness.result.facts.last_polled_at == due_at
    assert sorted(harness.called()) == [HOOK, OTHER]


async def test_receiver_that_joined_since_the_copy_gets_its_end(harness: Harness) -> None:
    wake = wake_up(harness)
    await operations_message(harness.services, take_post(harness, OTHER))
    harness.status = ended()
    await poll(harness.services, wake)
    await harness.settle()
    assert sorted(harness.called()) == [HOOK, OTHER]


async def test_copy_of_a_row_that_moved_on_polls_but_changes_nothing(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="opswatch")
    wake = wake_up(harness)
    await poll(harness.services, replace(wake, copy=None, etag=None))
    harness.advance(seconds=1)
    after = harness.watch
    assert "opswatch.conflict" not in caplog.text
    await poll(harness.services, wake)
    assert harness.watch == after
    assert "opswatch.conflict" in caplog.text
    harness.status = ended()
    await harness.settle()
    assert harness.called() == [HOOK]


async def test_worker_that_lost_records_a_conflict(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Both have moved the row to the same seq; the due time distinguishes them."""
    caplog.set_level(logging.INFO, logger="opswatch")
    wake = replace(wake_up(harness), copy=None, etag=None)

    async def poll_first() -> None:
        harness.advance(seconds=1)
        await poll(harness.services, wake)

    harness.effects.before["watches.merge"] = poll_first
    await poll(harness.services, wake)
    assert harness.watch.seq == wake.seq + 1
    assert caplog.text.count("opswatch.conflict") == 1


async def test_copy_of_a_removed_row_revives_nothing(harness: Harness) -> None:
    wake = wake_up(harness)
    harness.status = ended()
    await poll(harness.services, replace(wake, copy=None, etag=None))
    assert not harness.store.watches.rows
    harness.status = running()
    await poll(harness.services, wake)
    await harness.settle()
    assert not harness.store.watches.rows
    assert harness.result.end.status == "Succeeded"
    assert harness.called() == [HOOK]


async def test_copy_that_cannot_be_merged_is_decided_on_the_row(harness: Harness) -> None:
    """A field loses its value: `postponed_since`, here."""
    row = await harness.store.watches.get(KEY)
    assert row is not None
    postponed = replace(row.value, postponed_since=harness.now - MINUTE)
    written = await harness.store.watches.replace(postponed, row.etag)
    assert written is not None
    wake = replace(wake_up(harness), copy=postponed, etag=written.etag)
    reads = count_reads(harness)
    await poll(harness.services, wake)
    assert reads == [KEY.row]
    assert harness.watch.postponed_since is None
    assert harness.watch.facts.callbacks == (HOOK,)


async def test_forged_copy_changes_nothing(harness: Harness) -> None:
    """Its ETag is not that of the row: what it says is polled, and thrown away."""
    wake = wake_up(harness)
    assert wake.copy is not None
    before = harness.watch
    facts = replace(wake.copy.facts, polls=999, kind="forged")
    forged = replace(wake, copy=replace(wake.copy, facts=facts), etag='W/"9999"')
    await poll(harness.services, forged)
    facts = harness.watch.facts
    assert (facts.polls, facts.kind) == (before.facts.polls + 1, None)


async def test_forged_copy_with_an_end_ends_nothing(harness: Harness) -> None:
    wake = wake_up(harness)
    assert wake.copy is not None
    end = End(status=FinalStatus.FAILED, finished_at=harness.now)
    columns = WATCHES.encode(replace(wake.copy, end=end))
    fields = WakeUpFields(
        wake.key.partition, wake.key.row, wake.seq, wake.due_at, None, wake.etag, columns
    )
    await operations_message(harness.services, msgspec.json.encode(BatchMessage([fields])))
    assert not harness.store.results.rows
    assert harness.watch.seq == wake.seq + 1  # it was polled, by its row


async def test_answer_of_a_forged_url_ends_nothing(harness: Harness) -> None:
    wake = wake_up(harness)
    assert wake.copy is not None
    harness.statuses["another"] = ended()
    operation = replace(wake.copy.facts.operation, url=ENDPOINT + status_path("another"))
    facts = replace(wake.copy.facts, operation=operation)
    before = harness.watch
    for seq in (wake.seq, wake.seq - 1, wake.seq + 1):
        copy = replace(wake.copy, facts=facts, seq=seq)
        await poll(harness.services, replace(wake, copy=copy, seq=seq, etag='W/"9999"'))
    assert not harness.store.results.rows
    assert harness.watch == before


async def test_copy_of_a_url_that_is_polled_no_more_polls_the_row(harness: Harness) -> None:
    """Another worker, which polled the seq before, has merged a new URL into the row."""
    wake = wake_up(harness)
    row = await harness.store.watches.get(KEY)
    assert row is not None
    facts = row.value.facts
    followed = replace(facts, operation=facts.operation.at(ENDPOINT + status_path("next")))
    await harness.store.watches.replace(replace(row.value, facts=followed), row.etag)
    harness.statuses["next"] = ended()
    await poll(harness.services, wake)
    assert harness.watch.seq == wake.seq
    await harness.pump_all()
    assert harness.result.end.status == "Succeeded"
    assert harness.called() == [HOOK]


@pytest.mark.parametrize("answer", [HttpResponse(404, {}), running()], ids=["404", "running"])
async def test_answer_of_a_left_url_says_nothing_of_the_next(
    harness: Harness, answer: HttpResponse
) -> None:
    """The other worker has merged the new URL while this one waited for the old one's answer."""
    wake = replace(wake_up(harness), copy=None, etag=None)
    harness.status, harness.statuses["next"] = answer, running()

    async def follow() -> None:
        row = await harness.store.watches.get(KEY)
        assert row is not None
        facts = row.value.facts
        route = replace(row.value.route, posted_url=facts.operation.url)
        facts = replace(facts, operation=facts.operation.at(ENDPOINT + status_path("next")))
        followed = replace(row.value, facts=facts, route=route)
        await harness.store.watches.replace(followed, row.etag)

    harness.effects.before["watches.merge"] = follow
    await poll(harness.services, wake)
    await harness.pump_all()
    assert harness.watch.facts.operation.url == ENDPOINT + status_path("next")
    assert harness.watch.facts.misses == 0
    assert harness.watch.seq == wake.seq + 1
    assert harness.arm.asked[-1] == harness.watch.facts.operation.url


async def test_forged_doubt_makes_no_end(harness: Harness) -> None:
    """A status that is inferred ends a watch when it repeats: in the row, not in a copy."""
    wake = wake_up(harness)
    assert wake.copy is not None
    harness.status = no_content = HttpResponse(204, {})
    harness.operations.messages.clear()
    genuine = await harness.store.watches.get(KEY)
    assert genuine is not None
    polled = await harness.store.watches.replace(
        replace(genuine.value, seq=genuine.value.seq + 1), genuine.etag
    )
    assert polled is not None
    seen = read(no_content, polled_url(wake.copy, ENDPOINT), harness.now)
    assert isinstance(seen, Ended)
    doubted = replace(wake.copy, doubted=seen.inferred_from)
    await poll(harness.services, replace(wake, copy=doubted))
    assert harness.watch.end is None


async def test_copy_of_an_earlier_round_ends_no_later_one(harness: Harness) -> None:
    wake = wake_up(harness)
    assert wake.copy is not None
    harness.status = ended()
    await poll(harness.services, replace(wake, copy=None, etag=None))
    again = watch(operation=wake.copy.facts.operation, round=2, due_at=harness.now)
    await harness.store.watches.insert(again)
    facts = replace(wake.copy.facts, polls=0, round=1)
    await poll(harness.services, replace(wake, copy=replace(wake.copy, facts=facts)))
    assert harness.watch == again
    assert harness.result.facts.round == 1


async def test_copy_of_a_late_registration_calls_its_receiver(harness: Harness) -> None:
    """Its first poll was postponed; the operation has a result, and the copy no receivers."""
    wake = wake_up(harness)
    assert wake.copy is not None
    row = await harness.store.watches.get(KEY)
    assert row is not None
    facts = replace(row.value.facts, polls=0)
    ended_before = Result(facts=facts, end=End(status=FinalStatus.FAILED, finished_at=harness.now))
    await harness.store.results.insert(ended_before)
    late = replace(facts, callbacks=(OTHER,))
    written = await harness.store.watches.replace(replace(row.value, facts=late), row.etag)
    assert written is not None
    unpolled = replace(wake.copy, facts=replace(wake.copy.facts, polls=0))
    await poll(harness.services, replace(wake, copy=unpolled, etag=written.etag))
    await harness.settle()
    assert harness.called() == [OTHER]
    assert not harness.store.watches.rows


async def test_copy_is_believed_before_what_is_recalled(harness: Harness) -> None:
    """Another process has written the row since this one did."""
    wake = wake_up(harness)
    assert wake.copy is not None
    before = Row(replace(wake.copy, seq=wake.seq - 1), '"0"')
    harness.store.watches.recall = lambda _: before  # type: ignore[method-assign, assignment]
    reads = count_reads(harness)
    await poll(harness.services, wake)
    assert reads == []
    assert harness.watch.seq == wake.seq + 1


async def test_due_time_of_a_forged_copy_does_not_delay_the_next_poll(harness: Harness) -> None:
    wake = wake_up(harness)
    assert wake.copy is not None
    row = await harness.store.watches.get(KEY)
    assert row is not None
    facts = replace(row.value.facts, deadline_at=harness.now + timedelta(seconds=8))
    await harness.store.watches.replace(replace(row.value, facts=facts), row.etag)
    await poll(harness.services, wake)  # its copy has another deadline, and its ETag is old
    assert harness.watch.due_at == facts.deadline_at
    assert facts.deadline_at in [woken.due_at for woken in harness.wake_ups(harness.operations)]


async def test_recalled_row_is_polled_without_a_read(harness: Harness) -> None:
    row = await harness.store.watches.get(KEY)
    harness.store.watches.recall = lambda key: row if key == KEY else None  # type: ignore[method-assign]
    reads = count_reads(harness)
    await poll(harness.services, replace(wake_up(harness), copy=None, etag=None))
    assert reads == []
    assert harness.watch.seq == (row.value.seq + 1 if row else 0)


async def test_stale_recalled_row_is_read_again(harness: Harness) -> None:
    """Another process has added a receiver."""
    row = await harness.store.watches.get(KEY)
    harness.store.watches.recall = lambda key: row if key == KEY else None  # type: ignore[method-assign]
    wake = replace(wake_up(harness), copy=None, etag=None)
    await operations_message(harness.services, take_post(harness, OTHER))
    await poll(harness.services, wake)
    assert harness.watch.facts.callbacks == (HOOK, OTHER)
    assert harness.watch.seq == wake.seq + 1


async def test_lost_answer_of_a_merge_is_ours(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="opswatch")
    inner = harness.store.watches.merge

    async def merge_twice(row: Row[Watch], noun: Watch) -> Row[Watch] | None:
        await inner(row, noun)
        return await inner(row, noun)

    harness.store.watches.merge = merge_twice  # type: ignore[method-assign]
    wake = wake_up(harness)
    await poll(harness.services, wake)
    assert harness.watch.seq == wake.seq + 1
    assert "opswatch.conflict" not in caplog.text
