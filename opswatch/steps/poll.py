"""One poll of one watch: fence, ask ARM's budget, GET, decide, send the successor, commit."""

from dataclasses import dataclass, replace

from opswatch.core import arm
from opswatch.core.arm import Observation
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.keys import WakeUp
from opswatch.core.kinds import kind_key
from opswatch.core.polls import Wait, after_poll, merge_after_conflict, polled_url
from opswatch.core.urls import without_signature
from opswatch.core.watches import Watch, postpone
from opswatch.ports import Row, Services
from opswatch.steps import events
from opswatch.steps.finish import finish, finish_late_registration
from opswatch.steps.wakeups import load_current_row, send_wake_up


async def poll(services: Services, wake: WakeUp) -> None:
    """Poll the watch that `wake` names, if the row is at the wake-up's `seq`."""
    row = await load_current_row(services.store.watches, services.operations, wake)
    if row is None:
        return
    watch = row.value
    if watch.end is not None:  # a worker crashed before it had finished
        await finish(services, row)
        return
    if watch.facts.polls == 0:  # it may have begun after the end, for a receiver that came late
        ended = await services.store.results.get(watch.key)
        if ended is not None and ended.value.facts.round >= watch.facts.round:
            await finish_late_registration(services, row, ended.value)
            return
    if await _postpone_beyond_budget(services, row, wake):
        return
    kind = kind_key(watch.facts.operation, watch.facts.kind)
    services.durations.expectation(kind)  # read in the background while ARM answers
    with events.span(services, "poll", wake.key, wake.seq, link=wake.traceparent):
        answer, seen = await _observe(services, watch)
        now = services.clock()
        expectation = services.durations.expectation(kind)
        action = after_poll(watch, seen, now, services.policy, expectation)
        events.record_poll(services, watch, answer, seen, action)
        sent = None
        if isinstance(action, Wait):
            traceparent, delay = services.telemetry.traceparent(), action.watch.due_at - now
            sent = await send_wake_up(
                services.operations, wake.key, action.watch.seq, traceparent, delay
            )
        commit = await _commit(services, row, action.watch)
        if sent is not None and isinstance(commit, Superseded):
            events.record_conflict(wake.key, wake.seq)
            await services.operations.take_back(sent)
        if isinstance(commit, Committed) and action.watch.slow and not watch.slow:
            events.record_slow(action.watch, now)
        # Finish even if another worker recorded the end: it may have crashed before finishing.
        if commit.row is not None and commit.row.value.end is not None:
            await finish(services, commit.row)


async def _postpone_beyond_budget(services: Services, row: Row[Watch], wake: WakeUp) -> bool:
    """Postpone the poll if ARM's budget asks for it; return whether it did.

    The last poll, at the deadline, is always made. The successor is sent first and committed last,
    as after a poll. On a conflict the row is read again: a receiver may have joined, which leaves
    `seq` as it is.
    """
    watch, now = row.value, services.clock()
    delay = services.budget.delay(
        watch.facts.operation, now, has_waited=watch.postponed_since is not None
    )
    if not delay or now >= watch.facts.deadline_at:
        return False
    delay = min(delay, watch.facts.deadline_at - now)
    watches, seq, until = services.store.watches, watch.seq, now + delay
    events.record_poll_deferred(watch, until)
    sent = await send_wake_up(services.operations, wake.key, seq + 1, wake.traceparent, delay)
    current: Row[Watch] | None = row
    while current is not None and current.value.seq == seq and current.value.end is None:
        if await watches.replace(postpone(current.value, until), current.etag) is not None:
            return True
        current = await watches.get(wake.key)
    await services.operations.take_back(sent)
    if current is not None and current.value.end is not None:
        await finish(services, current)
    return True


async def _observe(services: Services, watch: Watch) -> tuple[HttpResponse | NoAnswer, Observation]:
    """Read the status; a signed URL that is refused is read again without its signature."""
    polled = polled_url(watch, services.intake.endpoint)
    answer = await services.arm.get(polled.url)
    now = services.clock()
    seen = arm.read(answer, polled, now)
    services.budget.record(watch.facts.operation, answer, seen, now)
    if arm.may_have_refused_signature(seen, polled):
        unsigned = replace(polled, url=without_signature(polled.url))
        second = await services.arm.get(unsigned.url)
        seen = arm.merge_unsigned(seen, arm.read(second, unsigned, services.clock()), unsigned)
    return answer, seen


@dataclass(frozen=True, slots=True)
class Committed:
    """The row contains our write; a receiver or a stop may have been added since."""

    row: Row[Watch]


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another worker committed first: its row, merged with what only our poll saw."""

    row: Row[Watch] | None  # None if the watch has been removed


async def _commit(services: Services, row: Row[Watch], watch: Watch) -> Committed | Superseded:
    """Write `watch`, which a poll has made of `row`, or merge it into the row that is there now.

    A write whose answer got lost is repeated, and the repetition conflicts with itself. So:

    1. The write succeeds: committed.
    2. It conflicts. The row lacks something that only our poll saw: merge, and write again.
    3. It conflicts, and the row lacks nothing: committed if it is ours but for callbacks and an
       end, which others may have added since; superseded if not.
    """
    watches = services.store.watches
    to_write, etag = watch, row.etag
    while (written := await watches.replace(to_write, etag)) is None:
        current = await watches.get(watch.key)
        if current is None:
            return Superseded(None)
        merged = merge_after_conflict(current.value, row.value, watch)
        if merged is None:
            written = current
            break
        to_write, etag = merged, current.etag
    facts = replace(
        written.value.facts,
        callbacks=watch.facts.callbacks,
        callback_on=watch.facts.callback_on,
    )
    is_ours = replace(written.value, facts=facts, end=watch.end) == watch
    return Committed(written) if is_ours else Superseded(written)
