"""One look of a look-ahead: the far waits that fall due soon get their wake-ups."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from opswatch.core import lookahead
from opswatch.core.deliveries import Delivery
from opswatch.core.lookahead import Look, LookAhead
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Watch
from opswatch.ports import Query, Row, Services, Table
from opswatch.rows.messages import encode_look
from opswatch.steps import events
from opswatch.steps.unreadable import get_or_remove
from opswatch.steps.wakeups import Chain

Live = TypeVar("Live", Watch, Delivery)


async def look_ahead(services: Services, chain: Chain[Live], look: Look) -> None:
    """Send the wake-ups of what falls due within the reach of a look, and go on 5 s later.

    The following look is sent first: if this one is cut off anywhere, or fails, the following one
    looks in its place. (It must not be tried again itself: each try would send another one.)
    """
    row = await get_or_remove(services.store.lookahead, lookahead.key_of(chain.name))
    now = services.clock()
    if row is None or not lookahead.is_for(look, row.value, now):
        return
    following = lookahead.following(look, now)
    await chain.queue.send(encode_look(following), lookahead.PERIOD)
    try:
        await _look(services, chain, look, following, row)
    except Exception as error:
        events.record_look_failed(chain.name, error)


async def _look(
    services: Services, chain: Chain[Live], look: Look, following: Look, row: Row[LookAhead]
) -> None:
    """Send the wake-ups first, then move the cursor: a crash leaves duplicates, never a gap.

    If rows cannot be read, or wake-ups not be sent, the row of the look-ahead says since when.
    """
    looks: Table[LookAhead] = services.store.lookahead
    current: Row[LookAhead] | None = row
    now = services.clock()
    until, looked_from, found = now + lookahead.REACH, None, 0
    while current is not None and lookahead.is_for(look, current.value, services.clock()):
        due_from = lookahead.looks_from(look, current.value, now)
        if looked_from is None or due_from < looked_from:
            looked_from = due_from
            try:
                found = await _wake(services, chain, look, current.value, due_from, now)
            except Exception:
                await looks.replace(replace(current.value, missed_from=due_from), current.etag)
                raise
        waits = bool(found) or await has_far_rows(chain, until)
        after = lookahead.after_look(current.value, following, until, waits=waits)
        if after is None and await looks.delete(current.value.key, current.etag):
            events.record_look_ahead_ended(chain.name)
            return
        if after is not None and await looks.replace(after, current.etag) is not None:
            return
        current = await looks.get(row.value.key)  # a worker with a far wait has kept it running


async def _wake(
    services: Services,
    chain: Chain[Live],
    look: Look,
    state: LookAhead,
    due_from: datetime,
    now: datetime,
) -> int:
    """Send a wake-up for each row that a look covers, due at `due_from` or later; return how many.

    If another look was under way at the same time, what it has woken is not woken again: two
    wake-ups would call a receiver twice.
    """
    due = Query(far=True, due_from=due_from, due_before=now + lookahead.REACH)
    found = [row async for row in chain.table.find(due)]
    if lookahead.may_overlap(look, state, services.clock() - now):
        latest = await services.store.lookahead.get(state.key)
        if latest is not None:
            due_from = lookahead.looks_from(look, latest.value, now)
    unsent = [row for row in found if row.value.due_at >= due_from]
    outcomes = await asyncio.gather(
        *(_send(services, chain, row) for row in unsent), return_exceptions=True
    )
    failed = [row for row, outcome in zip(unsent, outcomes, strict=True) if outcome is not None]
    if failed and len(failed) == len(unsent):
        raise next(filter(None, outcomes))
    # A second time: the following look would repeat the others as well.
    await asyncio.gather(*(_send(services, chain, row) for row in failed))
    return len(found)


async def _send(services: Services, chain: Chain[Live], row: Row[Live]) -> None:
    """Send the wake-up of a row, with a copy if it is a watch."""
    live = row.value
    wake = WakeUp(key=live.key, seq=live.seq, due_at=live.due_at)
    if isinstance(live, Watch):
        wake = replace(wake, copy=live, etag=row.etag)
    await chain.queue.send_wake_up(wake, live.due_at - services.clock())


async def has_far_rows(chain: Chain[Live], due_from: datetime | None) -> bool:
    """Return whether any row waits without a message, and is due at `due_from` or later."""
    query = Query(far=True, due_from=due_from)
    page = await chain.table.find_page(query, 1)
    while not page.values and page.continuation is not None:
        page = await chain.table.find_page(query, 1, page.continuation)
    return bool(page.values)
