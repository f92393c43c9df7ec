"""One poll of one watch: fence, ask ARM's budget, GET, decide, send the successor, commit."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from opswatch.core import arm
from opswatch.core.http import HttpResponse, NoAnswer
from opswatch.core.kinds import kind_key
from opswatch.core.observations import Observation
from opswatch.core.polls import (
    after_poll,
    is_same_poll,
    is_unpolled,
    merge_after_conflict,
    polled_url,
)
from opswatch.core.urls import without_signature
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Watch, postpone
from opswatch.ports import Row, Services
from opswatch.steps import events
from opswatch.steps.finish import finish, finish_late_registration
from opswatch.steps.wakeups import (
    after_commit,
    before_commit,
    load_current_row,
    send_wake_up,
    watch_chain,
)


async def poll(services: Services, wake: WakeUp) -> None:
    """Poll the watch that `wake` names, if the row is at the wake-up's `seq`.

    The row is that of the wake-up's copy, or as this process wrote it last, if either is of that
    `seq`: the commit proves it.
    """
    watches, known = services.store.watches, None
    if wake.copy is not None and wake.etag is not None:
        known = Row(wake.copy, wake.etag, is_copy=True)
    row = await load_current_row(
        services, watch_chain(services), wake, known or watches.recall(wake.key)
    )
    if row is None:
        return
    if row.value.end is not None:  # a worker crashed before it had finished
        await finish(services, row)
        return
    if row.value.facts.polls == 0:  # it may have begun after the end, for a receiver that came late
        ended = await services.store.results.get(wake.key)
        if ended is not None and ended.value.facts.round >= row.value.facts.round:
            whole = await watches.get(wake.key) if row.is_copy else row
            if whole is not None and ended.value.facts.round >= whole.value.facts.round:
                await finish_late_registration(services, whole, ended.value)
            return
    await poll_row(services, row, wake.traceparent)


async def poll_row(services: Services, row: Row[Watch], link: str | None = None) -> None:
    """Poll a watch that is due, and commit what follows; `link` is the span that woke it."""
    watch, now = row.value, services.clock()
    with events.span(services, "poll", watch.key, watch.seq, link=link):
        delay = _delay_for_budget(services, watch, now)
        if delay:
            until = now + delay
            events.record_poll_deferred(services, watch, until)
            postponed = postpone(watch, until, now)
            await _commit(services, row, postponed, lambda again: postpone(again, until, now))
            return
        kind = kind_key(watch.facts.operation, watch.facts.kind)
        services.durations.expectation(kind)  # read in the background while ARM answers
        answer, seen = await _observe(services, watch)
        now = services.clock()
        decide = partial(
            after_poll,
            seen=seen,
            now=now,
            policy=services.policy,
            expectation=services.durations.expectation(kind),
        )
        action = decide(watch)
        events.record_poll(services, watch, answer, seen, action)
        is_committed = await _commit(services, row, action.watch, lambda w: decide(w).watch)
        if is_committed and action.watch.slow and not watch.slow:
            events.record_slow(action.watch, now)


def _delay_for_budget(services: Services, watch: Watch, now: datetime) -> timedelta:
    """Return how long to postpone a poll for ARM's budget; the one at the deadline is made."""
    has_waited, remaining = watch.postponed_since is not None, watch.facts.deadline_at - now
    delay = services.budget.delay(watch.facts.operation, now, has_waited=has_waited)
    return min(delay, max(remaining, timedelta(0)))


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


async def _decide_again(
    services: Services,
    row: Row[Watch],
    current: Watch,
    decided: Watch,
    decide: Callable[[Watch], Watch],
) -> tuple[Watch | None, Watch]:
    """Return what to write after a conflict (None: nothing), and what is decided now.

    A copy may be forged. Of one that was not proved, only the answer counts, and only for a row
    that would have been polled in the same way. If it would not, its wake-up is sent again:

    1. Seq 3 is polled twice, and one poll is slow. The look-ahead wakes seq 4 with a copy.
    2. The slow poll has seen a new URL, and merges it into the row, which stays at seq 4.
    3. The copy has the old URL. Its wake-up was the only one of seq 4.

    The same may happen to a row that was read before step 2. An end counts all the same; but a 404
    of the old URL says nothing of the new one, and would lead back.
    """
    before, unpolled = row.value, is_unpolled(current, row.value)
    is_other_url = current.facts.operation.url != before.facts.operation.url
    has_left_url = unpolled and is_other_url and decided.end is None
    if has_left_url or (row.is_copy and not is_same_poll(current, before)):
        if unpolled and current.due_at == before.due_at:
            await send_wake_up(services, watch_chain(services), current)
        return None, decided
    if row.is_copy:
        again = decide(current)
        if unpolled and again.end is None and again.due_at != decided.due_at:
            await before_commit(services, watch_chain(services), again)
        decided = again
    if unpolled:
        return (decided if row.is_copy else decide(current)), decided
    return merge_after_conflict(current, before, decided), decided


async def _commit(
    services: Services, row: Row[Watch], decided: Watch, decide: Callable[[Watch], Watch]
) -> bool:
    """Commit what was decided of a watch; send its wake-up before, or finish it afterwards.

    `decide` decides again, of the row as it is now. Returns whether the row has our decision. If
    the row is not as it was known:

    1. Our write was repeated, because its answer got lost, and conflicts with itself: committed.
    2. The row is at the same `seq`: a receiver has joined, or only a copy was known. Decide again;
       the wake-up that was sent stays the right one, because the due time is the same.
    3. Another worker has polled: add what only our poll saw, if anything. Its wake-up counts, and
       ours, with another due time, is stale.
    4. The watch has been removed: nothing is left to do.
    """
    chain, watches, before = watch_chain(services), services.store.watches, row.value
    if decided.end is None:
        await before_commit(services, chain, decided)
    base, to_write = row, decided
    while (written := await watches.merge(base, to_write)) is None:
        current = await watches.get(before.key)
        if current is None:
            break
        again, decided = await _decide_again(services, row, current.value, decided, decide)
        if again is None:
            written = current
            break
        base, to_write = current, again
    is_ours = written is not None and (written.value.seq, written.value.due_at) == (
        decided.seq,
        decided.due_at,
    )
    if not is_ours:
        events.record_conflict(before.key, before.seq)
    elif decided.end is None:
        await after_commit(services, chain, decided)
    # Finish even if another worker recorded the end: it may have crashed before finishing.
    if written is not None and written.value.end is not None:
        whole = await watches.get(before.key) if written.is_copy else written
        if whole is not None and whole.value.end is not None:
            await finish(services, whole)
    return is_ours
