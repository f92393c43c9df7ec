"""Lists of deliveries, rejections and kinds, page by page; `queries.py` has those of operations."""

from collections.abc import Sequence
from dataclasses import dataclass

from opswatch.core.deliveries import Delivery, DeliveryState
from opswatch.core.intake import Rejection
from opswatch.core.kinds import KindDurations
from opswatch.core.timeline import SettledEntry, origin_of
from opswatch.dated import MOST_READS, MOST_ROWS, Dated, Span, list_dated
from opswatch.ports import Page, Query, Store

_PENDING, _SETTLED = "pending.", "settled."  # a continuation begins with its table


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries to list: all conditions that are given must hold."""

    span: Span  # of settling; of a pending delivery, of the beginning of its schedule
    states: Sequence[DeliveryState] = tuple(DeliveryState)
    # Of the callback URL, with its port or without, in any case; or URLs, as lists show them.
    hosts: Sequence[str] = ()

    def selects_host(self, callback_url: str) -> bool:
        """Return whether a callback URL is of one of the hosts."""
        origin = origin_of(callback_url).lower()
        host = origin.partition("://")[2]
        name = host.rpartition(":")[0] or host
        wanted = {(origin_of(each) or each).lower() for each in self.hosts}
        return not wanted or bool({origin, host, name} & wanted)


async def list_deliveries(
    store: Store, wanted: DeliveryFilter, limit: int, continuation: str | None = None
) -> Page[Delivery | SettledEntry]:
    """Return up to `limit` deliveries: the pending ones, then the settled ones, newest first.

    A page may be short or empty, and still not the last. Raises `ValueError` for a `continuation`
    that no page had.
    """
    found: list[Delivery | SettledEntry] = []
    is_settled = continuation is not None and continuation.startswith(_SETTLED)
    if continuation is not None and not is_settled and not continuation.startswith(_PENDING):
        raise ValueError("not a continuation")
    token = continuation.partition(".")[2] or None if continuation is not None else None
    reads = 0
    states = [state for state in wanted.states if state is not DeliveryState.PENDING]
    if DeliveryState.PENDING in wanted.states and not is_settled:
        for reads in range(1, MOST_READS + 1):  # noqa: B007 - how many there were
            page = await store.outbox.find_page(Query(), limit - len(found), token)
            found += [
                row.value
                for row in page.values
                if wanted.span.has(row.value.started_at)
                and wanted.selects_host(row.value.callback_url)
            ]
            token = page.continuation
            if token is None or len(found) == limit:
                break
        if token is not None:
            return Page(found, _PENDING + token)
        if found:
            return Page(found, _SETTLED if states else None)
    if not states:
        return Page(found)
    settled = await list_dated(
        Dated(
            table=store.settled,
            suffixes=[f"~{state.value}" for state in states],
            at=lambda entry: entry.settled_at,
            selects=lambda entry: (
                wanted.span.has(entry.settled_at) and wanted.selects_host(entry.callback_url)
            ),
            is_filtered=bool(wanted.hosts),
        ),
        wanted.span,
        limit,
        token,
        most=MOST_READS - reads,
    )
    after = settled.continuation
    return Page(list(settled.values), after and _SETTLED + after)


async def list_rejections(
    store: Store,
    span: Span,
    reasons: Sequence[str],
    limit: int,
    continuation: str | None = None,
) -> Page[Rejection]:
    """Return up to `limit` rejections, the newest day first; within a day in no order."""
    known = {reason.lower() for reason in reasons}
    return await list_dated(
        Dated(
            table=store.rejections,
            selects=lambda row: (
                span.has(row.received_at) and (not known or row.reason.value.lower() in known)
            ),
        ),
        span,
        limit,
        continuation,
    )


async def list_kinds(store: Store) -> list[KindDurations]:
    """Return what is known of each kind, or of as many as some pages of the storage hold."""
    kinds: list[KindDurations] = []
    continuation: str | None = None
    for _ in range(MOST_READS):
        page = await store.durations.find_page(Query(), MOST_ROWS, continuation)
        kinds += [row.value for row in page.values]
        continuation = page.continuation
        if continuation is None:
            break
    return kinds
