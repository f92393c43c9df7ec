"""Which deliveries a list selects; `tests.web.test_lists` lists them over HTTP."""

from typing import Any

import pytest

from opswatch.core.deliveries import DeliveryState, abandon, new_delivery
from opswatch.core.keys import Key
from opswatch.core.kinds import KindDurations
from opswatch.core.policy import Policy
from opswatch.core.timeline import settled_entry
from opswatch.dated import MOST_READS, MOST_ROWS, Span
from opswatch.lists import DeliveryFilter, list_deliveries, list_kinds
from opswatch.ports import Page, Store
from opswatch.testing import MemoryStore
from tests.support.builders import NOW, at
from tests.support.cases import cases

SPAN = Span(since=at(-3 * 86_400), until=at(1))


@cases(
    "url, host, is_selected",
    {
        "none is asked for": ("https://hooks.example.com/x", None, True),
        "its name": ("https://hooks.example.com/x", "Hooks.example.com", True),
        "its name, posted in capitals": ("HTTPS://HOOKS.example.com/x", "hooks.example.com", True),
        "with a port": ("https://hooks.example.com:8443/x", "hooks.example.com", True),
        "with that port": ("https://hooks.example.com:8443/x", "hooks.example.com:8443", True),
        "with another port": ("https://hooks.example.com:8443/x", "hooks.example.com:443", False),
        "another": ("https://hooks.example.com/x", "example.com", False),
        "IPv6": ("https://[2001:db8::1]/x", "[2001:DB8::1]", True),
        "IPv6 with a port": ("https://[2001:db8::1]:8443/x", "[2001:db8::1]", True),
    },
)
def test_host_is_selected(url: str, host: str | None, is_selected: bool) -> None:
    wanted = DeliveryFilter(span=SPAN, hosts=(host,) if host else ())
    assert wanted.selects_host(url) is is_selected


def test_span_has_its_first_instant_only() -> None:
    span = Span(since=NOW, until=at(1))
    assert [span.has(at(seconds)) for seconds in (-1, 0, 0.5, 1)] == [False, True, True, False]


@pytest.fixture
async def twelve() -> Store:
    """Six pending deliveries and six abandoned ones, two of three to the same host."""
    store = MemoryStore()
    for number in range(12):
        url = f"https://h{min(number % 3, 1)}.example.com/{number}"
        delivery = new_delivery(Key("s", f"operation-{number}"), url, NOW, Policy())
        if number < 6:
            await store.outbox.put(delivery)
        else:
            await store.settled.put(settled_entry(abandon(delivery, "500", NOW).delivery))
    return store


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize(
    ("hosts", "expected"), [((), 12), (("h1.example.com",), 8), (("other.example.com",), 0)]
)
async def test_page_is_no_longer_than_asked_and_costs_few_reads(
    twelve: Store, hosts: tuple[str, ...], expected: int, limit: int
) -> None:
    reads: list[int] = []
    for table in (twelve.outbox, twelve.settled):
        inner: Any = table.find_page

        async def find_page(*arguments: Any, inner: Any = inner) -> Page[Any]:
            reads.append(1)
            page: Page[Any] = await inner(*arguments)
            return page

        table.find_page = find_page  # type: ignore[assignment,method-assign]
    wanted = DeliveryFilter(span=SPAN, hosts=hosts)
    found, continuation = 0, None
    while True:
        page = await list_deliveries(twelve, wanted, limit, continuation)
        assert len(page.values) <= limit
        assert len(reads) <= MOST_READS
        reads.clear()
        found, continuation = found + len(page.values), page.continuation
        if continuation is None:
            break
    assert found == expected


async def test_last_page_of_pending_ones_alone_has_no_next(twelve: Store) -> None:
    wanted = DeliveryFilter(span=SPAN, states=(DeliveryState.PENDING,))
    page = await list_deliveries(twelve, wanted, 6)
    assert (len(page.values), page.continuation) == (6, None)


async def test_kinds_of_several_pages_are_all_listed() -> None:
    store = MemoryStore()
    for number in range(MOST_ROWS + 1):
        await store.durations.put(KindDurations(provider="p", kind=f"{number:04}"))
    kinds = await list_kinds(store)
    assert [int(known.kind) for known in kinds] == list(range(MOST_ROWS + 1))
