"""The page reads on by itself: seldom, never while hidden, and without disturbing its reader."""

from http import HTTPStatus
from typing import Any

import pytest

from tests.page import values
from tests.page.conftest import Open
from tests.page.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")
TICK = 10  # seconds
RECORD = """() => {
  window.records = [];
  const all = {childList: true, characterData: true, attributes: true, subtree: true};
  new MutationObserver(list => window.records.push(...list.map(record => record.type)))
    .observe(document.querySelector("tbody"), all);
}"""
PLACE = """() => {
  const text = String(getSelection());
  return {
    scroll: scrollY,
    selected: [text.slice(0, 3), text.slice(-3)],
    focus: document.activeElement.closest("tr").dataset.row,
  };
}"""
HIDE = """isHidden => {
  Object.defineProperty(document, "hidden", {configurable: true, get: () => isHidden});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def on_time() -> Service:
    """Return the usual list, whose polls are due long after the test."""
    due = {"dueAt": values.before(-7200)}
    rows = values.operations()
    return Service(operations=[row | due if "dueAt" in row else row for row in rows])


def advance(service: Service, number: int) -> int:
    """Change three rows of the list: two polls, and an end or a beginning; return the number."""
    rows = service.operations
    for i in (0, 2):
        rows[i] = rows[i] | {"polls": rows[i]["polls"] + 1}
    i = 20 + number
    kept = {name: rows[i][name] for name in ("key", "registeredAt", "operationId")}
    was_running = rows[i]["state"] == "watching"
    changed = values.failed(i, 5000) if was_running else values.running(i, 200, dueAt=None)
    rows[i] = changed | kept
    return 3


async def test_reader_keeps_place_over_twenty_refreshes(open_page: Open) -> None:
    service = on_time()
    opened = await open_page(service)
    page = await opened.go("operations")
    link = page.locator("tbody tr:nth-child(21) a.op")
    await link.scroll_into_view_if_needed()
    await link.focus()
    await page.evaluate("""() => {
      const rows = document.querySelectorAll("tbody tr");
      const [from, to] = [20, 22].map(i => rows[i].querySelector("code").firstChild);
      getSelection().setBaseAndExtent(from, 1, to, 3);
      scrollBy(0, 37);
    }""")
    before = await page.evaluate(PLACE)
    assert before["scroll"] > 0
    assert before["selected"] == ["f4b", "535"]
    reads = 0
    for number in range(20):
        advance(service, number)
        await opened.turn(TICK)
        reads += "operations?" in service.api_requests[-1]
        assert await page.evaluate(PLACE) == before
    assert reads == 13 + 1  # every third turn reads the summary
    assert opened.unexpected == []


async def test_changed_row_costs_two_changes(open_page: Open) -> None:
    service = on_time()
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.evaluate(RECORD)
    for number in range(6):
        changed = advance(service, number)
        await opened.turn(TICK)
        records: list[str] = await page.evaluate("window.records.splice(0)")
        if "summary" in service.api_requests[-1]:
            assert records == []  # what has not been read anew changes nothing
            changed += advance(service, number)
            await opened.turn(TICK)
            records = await page.evaluate("window.records.splice(0)")
        assert 0 < len(records) <= 2 * changed, records


async def test_each_tick_makes_one_request(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    await opened.go("operations")
    await opened.turn(0, least=0)
    first = len(service.api_requests)
    assert first == 2  # the list and the summary
    for _ in range(6):
        await opened.turn(TICK)
    assert len(service.api_requests) == first + 6
    assert sum("summary" in request for request in service.api_requests[first:]) == 2
    tags = [request.headers.get("if-none-match") for request in service.requests[-6:]]
    assert all(tags)


async def test_nothing_is_asked_while_hidden(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await opened.turn(TICK)
    await page.evaluate(HIDE, True)
    count = len(service.api_requests)
    await opened.turn(60, least=0)
    assert len(service.api_requests) == count
    async with page.expect_response(lambda response: "/api/operations?" in response.url):
        await page.evaluate(HIDE, False)
    assert len(service.api_requests) == count + 1


async def test_pause_and_resume(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.get_by_role("button", name="Pause").click()
    count = len(service.api_requests)
    await opened.turn(120, least=0)
    assert len(service.api_requests) == count
    async with page.expect_response(lambda response: "/api/operations?" in response.url):
        await page.get_by_role("button", name="Resume").click()


async def test_an_hour_without_input_pauses(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.get_by_role("button", name="Pause").press("Tab")  # the last input
    for _ in range(3):
        await opened.turn(300)
    await opened.turn(60)
    count = len(service.api_requests)
    await opened.turn(50, least=0)
    assert len(service.api_requests) == count  # after 15 minutes one a minute
    for _ in range(11):
        await opened.turn(300, least=0)
    await page.get_by_text("Paused after an hour").wait_for()
    count = len(service.api_requests)
    await opened.turn(600, least=0)
    assert len(service.api_requests) == count
    async with page.expect_response(lambda response: "/api/operations?" in response.url):
        await page.get_by_role("button", name="Resume").click()


async def test_what_runs_no_more_is_read_once_a_minute(open_page: Open) -> None:
    service = Service(operations=[values.ended(i, 4000 + i) for i in range(3)])
    opened = await open_page(service)
    await opened.go("operations")
    count = len(service.api_requests)
    await opened.turn(59, least=0)
    assert len(service.api_requests) == count
    await opened.turn(2)


async def test_errors_slow_the_page_down(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    service.failure = HTTPStatus.SERVICE_UNAVAILABLE
    await opened.turn(TICK)
    await page.get_by_role("alert").get_by_text("The app answered 503").wait_for()
    assert await page.locator("tbody tr").count() == 100  # what was read before stays
    waits = []
    for _ in range(6):
        count, waited = len(service.api_requests), 0
        while len(service.api_requests) == count:
            await opened.turn(5, least=0)
            waited += 5
            assert waited <= 130
        waits.append(waited)
    assert waits[-1] >= 115
    assert waits == sorted(waits)
    service.failure = None
    await page.get_by_role("button", name="Try again now").click()
    await page.get_by_role("alert").wait_for(state="detached")


async def test_new_rows_wait_until_they_are_asked_for(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    names = "[...document.querySelectorAll('a.op')].map(link => link.textContent)"
    before: list[Any] = await page.evaluate(names)
    service.operations[:0] = [values.running(500 + i, 1 - i) for i in range(3)]
    await opened.turn(TICK)
    pill = page.get_by_role("button", name="3 new")
    await pill.wait_for()
    assert await page.evaluate(names) == before
    await pill.click()
    after: list[Any] = await page.evaluate(names)
    assert after[3:] == before
    assert "-502" in after[0]
    assert await page.evaluate("document.activeElement.textContent") == after[0]


async def test_load_more_follows_the_query_of_the_next_link_alone(open_page: Open) -> None:
    service = Service(operations=values.operations(230))
    opened = await open_page(service)
    page = await opened.go("operations")
    for shown in (200, 230):
        await page.get_by_role("button", name="Load more").click()
        await page.get_by_text(f"{shown} shown").wait_for()
    assert await page.get_by_role("button", name="Load more").count() == 0
    assert opened.foreign == []  # the links name another host
    await opened.turn(TICK)
    assert "maxpagesize=300" in [r for r in service.api_requests if "operations?" in r][-1]
    assert await page.locator("tbody tr").count() == 230


@pytest.mark.parametrize("view", ["deliveries?state=abandoned", "rejections"])
async def test_lists_beside_operations_go_on_likewise(open_page: Open, view: str) -> None:
    row, rejected = values.ended(9, 3000), values.rejections()[0]
    service = Service(
        deliveries=[
            values.delivery(row, f"host-{i % 2}.example", "abandoned", deliveryId=f"msg_{i}")
            for i in range(230)
        ],
        rejections=[rejected | {"id": f"{i:064x}"} for i in range(230)],
    )
    opened = await open_page(service)
    page = await opened.go(view)
    for shown in (200, 230):
        await page.get_by_role("button", name="Load more").click()
        await page.get_by_text(f"{shown} shown").wait_for()
        assert await page.locator("tbody tr").count() == shown
    assert await page.get_by_role("button", name="Load more").count() == 0
    assert opened.foreign == []  # the links name another host
    del service.deliveries[200:], service.rejections[200:]
    await opened.turn(60)
    assert "maxpagesize=300" in [r for r in service.api_requests if view[:9] in r][-1]
    await page.get_by_text("200 shown").wait_for()
    assert await page.locator("tbody tr").count() == 200


@pytest.mark.parametrize("view", ["operations", "deliveries", "rejections"])
async def test_empty_pages_are_read_on_five_at_a_time(open_page: Open, view: str) -> None:
    service = Service(empty_pages=7)
    opened = await open_page(service)
    page = await opened.go(view)
    await page.get_by_text("among what was searched so far, back to 24 Nov").wait_for()
    before = len(service.api_requests)
    await page.get_by_role("button", name="Load more").click()
    await page.get_by_text("among what was searched so far, back to 19 Nov").wait_for()
    assert len(service.api_requests) == before + 5
    await page.get_by_role("button", name="Load more").click()
    await page.locator("tbody tr").first.wait_for()


@pytest.mark.parametrize("view", ["operations?status=Failed", "deliveries?state=abandoned"])
async def test_list_is_searched_to_its_end_once(open_page: Open, view: str) -> None:
    """Empty pages after the rows: a click says how far they were searched, the last one ends it."""
    row = values.failed(7, 900)
    service = Service(
        operations=[row],
        deliveries=[values.delivery(row, state="abandoned")],
        empty_end=8,
    )
    opened = await open_page(service)
    page = await opened.go(view)
    await page.get_by_role("button", name="Load more").click()
    await page.get_by_text("searched back to 19 Nov").wait_for()
    await page.get_by_role("button", name="Load more").click()
    await page.get_by_role("button", name="Load more").wait_for(state="detached")
    for _ in range(3):
        await opened.turn(60)  # a read of the beginning forgets none of it
    assert await page.get_by_role("button", name="Load more").count() == 0
    assert await page.locator("tbody tr").count() == 1


async def test_due_attempt_is_soon_shown(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go(f"operations/{values.SUBSCRIPTION}/{service.whole[0]['key']}")
    shown = service.whole[0]["deliveries"][0]
    await page.get_by_role("button", name="Redeliver to hooks.example.com").wait_for(
        state="detached"
    )
    shown["nextAttemptAt"] = values.before(0)
    async with page.expect_response(lambda response: "/redeliver" in response.url):
        await page.get_by_role("button", name="Send now to hooks.example.com").click()
    await opened.turn(0, least=0)
    shown |= {"state": "abandoned", "nextAttemptAt": None, "reason": "410 Gone"}
    await opened.turn(2)
    await page.get_by_role("cell", name="abandoned").wait_for()
    count = len(service.api_requests)
    await opened.turn(58, least=0)  # and then it is read as seldom as before
    assert len(service.api_requests) == count
