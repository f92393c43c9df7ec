"""One look of a look-ahead: the far waits that fall due soon get their wake-ups."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from opswatch.core import lookahead
from opswatch.core.deliveries import Delivery
from opswatch.core.lookahead import Look
from opswatch.core.wakeups import WakeUp
from opswatch.core.watches import Watch
from opswatch.ports import Query, Row, Services
from opswatch.rows.messages import encode_look
from opswatch.steps import events
from opswatch.steps.wakeups import Chain

Live = TypeVar("Live", Watch, Delivery)


async def look_ahead(services: Services, chain: Chain[Live], look: Look) -> None:
    """Send the wake-ups of what falls due within the reach of a look, and go on 5 s later.

    The following look is sent first: if this one is cut off anywhere, the following one looks in
    its place. Then the wake-ups are sent, then the cursor moves: a crash between leaves duplicates,
    which the fence drops.
    """
    looks, key = services.store.lookahead, lookahead.key_of(chain.name)
    row = await looks.get(key)
    following = lookahead.following(look, services.clock())
    if row is not None and lookahead.is_for(look, row.value):
        await chain.queue.send(encode_look(following), lookahead.PERIOD)
    while row is not None and lookahead.is_for(look, row.value):
        now = services.clock()
        until = now + lookahead.REACH
        due = Query(far=True, due_from=row.value.looked_until, due_before=until)
        found = [live async for live in chain.table.find(due)]
        await _wake(chain, found, now)
        waits = bool(found) or await has_far_rows(chain, until)
        after = lookahead.after_look(row.value, following, until, waits=waits)
        if after is None and await looks.delete(key, row.etag):
            events.record_look_ahead_ended(chain.name)
            return
        if after is not None and await looks.replace(after, row.etag) is not None:
            return
        row = await looks.get(key)  # a worker that has a far wait has kept it running


async def _wake(chain: Chain[Live], found: list[Row[Live]], now: datetime) -> None:
    """Send a wake-up for each row, with a copy of a watch."""
    sends = []
    for row in found:
        live = row.value
        wake = WakeUp(key=live.key, seq=live.seq, due_at=live.due_at)
        if isinstance(live, Watch):
            wake = replace(wake, copy=live, etag=row.etag)
        sends.append(chain.queue.send_wake_up(wake, live.due_at - now))
    await asyncio.gather(*sends)


async def has_far_rows(chain: Chain[Live], due_from: datetime | None) -> bool:
    """Return whether any row waits without a message, and is due at `due_from` or later."""
    query = Query(far=True, due_from=due_from)
    page = await chain.table.find_page(query, 1)
    while not page.values and page.continuation is not None:
        page = await chain.table.find_page(query, 1, page.continuation)
    return bool(page.values)
