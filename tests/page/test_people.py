"""What people do at the page: with the keyboard alone, with each kind of key, and in each view."""

import asyncio
import json
import re
from http import HTTPStatus

import pytest
from playwright.async_api import expect

from tests.page import values
from tests.page.conftest import Open
from tests.page.journeys import FOCUS, post_another, read_why_and_redeliver, tab_to
from tests.page.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEYS = {"read": "viewer-key", "write": "operator-key", "app": "app-key"}


async def test_keyboard_alone(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await read_why_and_redeliver(page, "cache-us-24", "QuotaExceeded", "Cores quota")
    assert service.writes[-1][0].endswith("/redeliver")
    await page.keyboard.press("k")
    assert await page.evaluate(FOCUS) == "cache-eu-7"
    await page.keyboard.press("ArrowDown")
    assert await page.evaluate(FOCUS) == "cache-us-24"
    await post_another(page, "6432a8f9-0fe6-4339-9303-772c92f35d02")
    posted = {"operation": "6432a8f9-0fe6-4339-9303-772c92f35d02"}
    assert json.loads(service.writes[-1][1]) == posted


async def test_filter_keeps_the_focus_and_a_row_is_one_key_away(
    open_page: Open, service: Service
) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await tab_to(page, "36 failed in 24 h")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("status=Failed"))
    await expect(page.locator("tbody tr").first).to_contain_text("Failed")
    assert (await page.evaluate(FOCUS)).endswith("failed in 24 h")
    await page.keyboard.press("j")
    await expect(page.locator("main a.op").first).to_be_focused()
    await opened.go("deliveries")
    await tab_to(page, "Abandoned")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("cell", name="abandoned").first).to_be_visible()
    assert await page.evaluate(FOCUS) == "Abandoned"
    for row in (0, 1):
        await page.keyboard.press("j")
        await expect(page.locator("main a.op").nth(row)).to_be_focused()
    await page.keyboard.press("k")
    await expect(page.locator("main a.op").first).to_be_focused()


async def test_dropped_filter_leaves_the_focus_in_the_view(
    open_page: Open, service: Service
) -> None:
    opened = await open_page(service)
    page = await opened.go("operations?status=Failed")
    await tab_to(page, "Clear 1 filter")
    await page.keyboard.press("Enter")
    await page.get_by_text("100 shown").wait_for()
    await expect(page.locator("main")).to_be_focused()


async def test_tab_begins_at_the_beginning(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    focused = []
    for _ in range(3):
        await page.keyboard.press("Tab")
        focused.append(await page.evaluate(FOCUS))
    assert focused == ["Skip to the content", "opswatch", "Operations"]
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("main a.op").first).to_be_focused()


async def test_escape_leaves_the_search(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.keyboard.press("/")
    await page.keyboard.type("nothing of this name")
    await page.keyboard.press("Escape")
    await expect(page.locator("main a.op").first).to_be_focused()
    await expect(page.get_by_role("searchbox")).to_have_value("")
    assert page.url.endswith("#/operations")


async def test_control_enter_posts(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.keyboard.press("p")
    await expect(page.get_by_text("Ctrl+Enter posts")).to_be_visible()
    await page.keyboard.type("6432a8f9-0fe6-4339-9303-772c92f35d02")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("status").filter(has_text="Posted.")).to_be_visible()
    assert len(service.writes) == 1


async def test_abandoned_callbacks_are_in_sight(open_page: Open) -> None:
    """Nothing is pending, yet callbacks did not arrive: the strip and the empty list say so."""
    counted = values.summary()
    counted["last24Hours"] |= {"abandoned": 3}
    gone = values.delivery(values.ended(9, 3000), state="abandoned")
    service = Service(deliveries=[gone], summary=counted)
    opened = await open_page(service)
    page = await opened.go("operations")
    card = page.get_by_role("link", name="3 abandoned in 24 h")
    await card.click()
    await expect(page.get_by_role("cell", name="abandoned")).to_be_visible()
    assert "since=P1D" in [r for r in service.api_requests if "deliveries" in r][-1]
    await page.get_by_role("button", name="Last 24 hours only").click()
    await page.get_by_role("button", name="Pending", exact=True).click()
    await expect(page.get_by_text("No callback is pending.")).to_be_visible()
    await page.get_by_role("link", name="3 times in the last 24 hours one was abandoned").click()
    await expect(page.get_by_role("cell", name="abandoned")).to_be_visible()


async def test_counts_have_their_time(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await expect(page.get_by_text("Counted at 21:41, each minute")).to_be_visible()
    service.summary |= {"countedAt": None}
    await page.reload()
    await expect(page.get_by_text("Not counted yet")).to_be_visible()


async def test_few_operations_make_a_guess(open_page: Open, service: Service) -> None:
    service.kinds[0]["n"] = 3
    opened = await open_page(service)
    page = await opened.go("kinds")
    row = page.get_by_role("row").filter(has_text="redisEnterprise/create")
    assert (await row.inner_text()).count("~") == 3
    await expect(page.get_by_text("guesses from fewer than 20 operations")).to_be_visible()
    assert (await page.locator("tbody").inner_text()).count("~") == 3


async def test_life_names_its_signs_and_counts_in_grammar(
    open_page: Open, service: Service
) -> None:
    service.whole[0] |= {"polls": 1, "misses": 0}
    opened = await open_page(service)
    page = await opened.go(f"operations/{values.SUBSCRIPTION}/{service.whole[0]['key']}")
    assert re.search(r"\b1 poll\b", await page.locator(".sum").inner_text())
    assert "1 poll, 0 missed" in (
        await page.locator(".life svg").first.get_attribute("aria-label") or ""
    )
    await expect(page.locator(".legend")).to_contain_text("registered")


async def test_single_keys_can_be_switched_off(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.keyboard.press("/")
    assert await page.evaluate("document.activeElement.id") == "search"
    await page.keyboard.press("p")  # in a field it is a letter
    assert await page.get_by_role("dialog").count() == 0
    await page.locator("main").focus()
    await page.get_by_role("button", name="Clear 1 filter").wait_for()  # what was typed is searched
    await page.keyboard.press("?")
    await page.get_by_label("Single keys work").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("p")
    assert await page.get_by_role("dialog").count() == 0


async def test_viewer_sees_no_write_buttons_until_an_operators_key(open_page: Open) -> None:
    service = Service(keys=KEYS)
    opened = await open_page(service)
    page = await opened.go(f"operations/{values.SUBSCRIPTION}/{service.whole[0]['key']}")
    await page.get_by_label("Viewer's key").fill("wrong")
    await page.get_by_role("button", name="Open").click()
    await page.get_by_text("That key was not accepted.").wait_for()
    await page.get_by_label("Viewer's key").fill(KEYS["read"])
    await page.get_by_role("button", name="Open").click()
    await page.get_by_role("heading", name="Deliveries").wait_for()
    await opened.turn(0, least=0)
    writes = page.locator("button").filter(has_text=re.compile("Redeliver|Post|Send now"))
    assert await writes.count() == 0
    methods = {request.partition(" ")[0] for request in service.api_requests}
    assert methods == {"GET", "OPTIONS"}  # the page asks what it may do by what changes nothing
    await page.get_by_role("button", name="Keys").click()
    await page.get_by_label("Viewer's key").fill(KEYS["read"])
    await page.get_by_label("Operator's key").fill(KEYS["write"])
    await page.get_by_role("button", name="Open").click()
    await expect(writes.first).to_be_visible()
    assert service.writes == []
    await page.get_by_role("button", name="Keys").click()
    await page.get_by_role("button", name="Forget the keys").click()
    await page.get_by_role("heading", name="A key is needed").wait_for()
    assert await page.evaluate("sessionStorage.length") == 0
    assert await page.get_by_role("button", name="Post").count() == 0


async def test_key_of_the_whole_app_is_both(open_page: Open) -> None:
    opened = await open_page(Service(keys=KEYS))
    page = await opened.go("operations")
    await page.get_by_label("Viewer's key").fill(KEYS["app"])
    await page.get_by_role("button", name="Open").click()
    await expect(page.get_by_role("button", name="Post")).to_be_visible()
    await page.reload()  # it is the tab's
    await expect(page.get_by_role("button", name="Post")).to_be_visible()
    assert opened.unexpected == []


async def test_filters_live_in_the_address(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.get_by_role("button", name="Ended").click()
    await page.get_by_label("Kind").select_option("databases/flush")
    await expect(page.locator("tbody tr").first).to_contain_text("databases/flush")
    address = page.url
    await page.locator("tbody a.op").first.click()
    await page.locator(".back a").click()
    await expect(page).to_have_url(address)
    await page.reload()
    await expect(page.get_by_label("Kind")).to_have_value("databases/flush")
    await page.get_by_role("button", name="Clear 1 filter").click()
    await expect(page).to_have_url(f"{opened.url}/api/dashboard#/operations?state=finished")
    await page.go_back()
    await expect(page).to_have_url(address)


async def test_search_keeps_no_signed_query(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    row = service.operations[8]
    url = "https://management.azure.com/subscriptions/s/providers/p/locations/l/operationsStatus"
    await page.get_by_role("searchbox").fill(f"{url}/{row['operationId']}?v=1&s=SIGNED")
    await page.get_by_role("searchbox").press("Enter")
    await page.get_by_text("1 shown").wait_for()
    assert page.url.endswith(f"#/operations?operation={row['operationId']}")
    await page.get_by_role("searchbox").fill("nothing-of-this-name")
    await page.get_by_role("searchbox").press("Enter")
    await page.get_by_text("Nothing matches.").wait_for()
    await page.get_by_role("button", name="Clear the filters").click()
    await page.get_by_text("100 shown").wait_for()


async def test_bulk_redelivery_is_confirmed(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("deliveries?state=abandoned")
    await expect(page.get_by_text("paused until 21:44:03")).to_be_visible()
    await page.get_by_role("button", name="Redeliver all…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("9 abandoned deliveries")
    assert json.loads(service.writes[-1][1]) == {"state": "abandoned", "dryRun": True}
    await dialog.get_by_role("button", name="Cancel").click()
    assert len(service.writes) == 1
    await page.get_by_role("button", name="Redeliver all…").click()
    await dialog.get_by_role("button", name="Redeliver 9").click()
    await expect(page.get_by_role("status").filter(has_text="9 queued")).to_be_visible()
    assert json.loads(service.writes[-1][1]) == {"state": "abandoned"}


async def test_rejected_message_is_posted_again_edited(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("rejections")
    await page.get_by_role("button", name="Post again, edited…").last.click()
    text = page.get_by_label("Operation ID, ARM path")
    await expect(text).to_have_value("please watch my cache!")
    edited = '{"operation": "a1", "kind": "redisEnterprise/create"}'
    await text.fill(edited)
    await page.get_by_role("dialog").get_by_role("button", name="Post", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("InProgress")
    assert service.writes[-1] == ("operations", edited)


async def test_stopping_is_confirmed(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go(f"operations/{values.SUBSCRIPTION}/{service.whole[1]['key']}")
    await page.get_by_role("button", name="Stop watching…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Stop watching", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Stopped")


async def test_running_bar_grows_without_a_request(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go(f"operations/{values.SUBSCRIPTION}/{service.whole[1]['key']}")
    width = "Number(document.querySelector('.life-bar').getAttribute('width'))"
    before, count = await page.evaluate(width), len(service.api_requests)
    await opened.turn(5, least=0)
    assert await page.evaluate(width) > before
    assert len(service.api_requests) == count


async def test_purged_operation_says_so(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go(f"operations/{values.SUBSCRIPTION}/nothing")
    await page.get_by_text("then they are purged").wait_for()


async def test_times_are_local_with_utc_in_the_title(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    page = await opened.go("operations")
    time = page.locator("tbody tr").nth(5).locator("time").last
    assert await time.inner_text() == "21:26"
    assert await time.get_attribute("title") == "2026-11-25 20:26:12 UTC"
    await expect(page.get_by_role("columnheader", name="Registered, UTC+1")).to_be_visible()


async def test_slow_start_is_explained(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    service.held = asyncio.Event()
    await opened.page.goto(f"{opened.url}/api/dashboard")
    await opened.page.get_by_text("Reading…").wait_for(state="attached")
    await opened.page.clock.run_for(4000)
    await opened.page.get_by_text("Waking the app up…").wait_for()
    service.held.set()
    await opened.page.get_by_text("100 shown").wait_for()


async def test_answer_of_a_proxy_is_an_error(open_page: Open, service: Service) -> None:
    service.failure = HTTPStatus.BAD_GATEWAY
    opened = await open_page(service)
    page = await opened.go("kinds")
    await page.get_by_role("alert").get_by_text("The app answered 502").wait_for()
