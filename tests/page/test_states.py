"""Each state and view, light and dark, narrow and wide: accessible, quiet, within its width."""

import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import FloatRect, expect

from tests.page import values
from tests.page.conftest import Open, Opened
from tests.page.service import Service
from tests.support.thorough import some

pytestmark = pytest.mark.asyncio(loop_scope="session")
AXE = (Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
Scheme = Literal["light", "dark"]
ALL: tuple[tuple[Scheme, int], ...] = (
    ("light", 1280),
    ("dark", 1280),
    ("light", 390),
    ("dark", 390),
)
SHOWN = some(ALL, of=3)  # the first and the last: each scheme and each width


def failed_view(service: Service) -> str:
    return f"operations/{values.SUBSCRIPTION}/{service.whole[0]['key']}"


def running_view(service: Service) -> str:
    return f"operations/{values.SUBSCRIPTION}/{service.whole[1]['key']}"


async def check(opened: Opened) -> None:
    """Fail on a violation, a word in the console, a request elsewhere, or too wide a page."""
    page = opened.page
    if await page.evaluate("typeof axe") == "undefined":
        await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    violations = [(v["id"], [node["html"] for node in v["nodes"]]) for v in found["violations"]]
    assert violations == [], json.dumps(violations, indent=1)
    assert opened.unexpected == []
    assert opened.foreign == []
    sizes = await page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert sizes[0] <= sizes[1]


STATES: dict[str, tuple[Callable[[], Service], str]] = {
    "empty": (lambda: Service(operations=[], summary=values.empty_summary()), "No operation yet"),
    "data": (lambda: Service(operations=values.operations(20)), "20 shown"),
    "error": (lambda: Service(failure=HTTPStatus.SERVICE_UNAVAILABLE), "The app answered 503"),
    "no key": (lambda: Service(keys={"read": "viewer", "write": "operator"}), "A key is needed"),
}


async def check_all(opened: Opened, *shown: tuple[Scheme, int]) -> None:
    for scheme, width in shown:
        await opened.page.emulate_media(color_scheme=scheme)
        await opened.page.set_viewport_size({"width": width, "height": 900})
        await check(opened)


@pytest.mark.parametrize("state", STATES)
async def test_state_is_accessible_and_quiet(open_page: Open, state: str) -> None:
    make, words = STATES[state]
    opened = await open_page(make())
    page = await opened.go("operations")
    await page.get_by_text(words).first.wait_for()
    await check_all(opened, *SHOWN)


VIEWS = (
    "failed",
    "running",
    "deliveries",
    "deliveries?state=abandoned",
    "rejections",
    "kinds",
    "health",
)


@pytest.mark.parametrize("view", VIEWS)
async def test_view_is_accessible_and_quiet(open_page: Open, service: Service, view: str) -> None:
    opened = await open_page(service)
    page = await opened.go(
        {"failed": failed_view, "running": running_view}.get(view, lambda _: view)(service)
    )
    for summary in await page.locator("details > summary").all():
        await summary.click()
    await check_all(opened, SHOWN[0], SHOWN[-1])


@pytest.mark.parametrize("dialog", ["Post", "Keyboard", "Stop watching…"])
async def test_dialog_is_accessible_and_quiet(
    open_page: Open, service: Service, dialog: str
) -> None:
    opened = await open_page(service, viewport={"width": 390, "height": 700})
    page = await opened.go(running_view(service))
    await page.get_by_role("button", name=dialog, exact=True).click()
    await page.get_by_role("dialog").wait_for()
    await check(opened)
    await page.keyboard.press("Escape")
    await page.get_by_role("dialog").wait_for(state="detached")
    assert await page.evaluate("document.activeElement.textContent") in (dialog, "?")


async def test_twice_the_size_of_text_still_fits(open_page: Open, service: Service) -> None:
    """A zoom of 200 % halves the viewport in CSS pixels; 320 px is what WCAG 1.4.10 asks for."""
    for width in (640, 320):
        opened = await open_page(
            service, viewport={"width": width, "height": 450}, device_scale_factor=2
        )
        for view in ("operations", failed_view(service), "kinds"):
            await opened.go(view)
            sizes = await opened.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert sizes[0] <= sizes[1], view


@pytest.mark.parametrize("view", ["failed", "deliveries?state=abandoned", "kinds", "health"])
async def test_nothing_is_cut_on_a_phone(open_page: Open, service: Service, view: str) -> None:
    """No table has to be scrolled sideways, and the current view is in sight among the views."""
    opened = await open_page(service, viewport={"width": 390, "height": 844})
    page = await opened.go(failed_view(service) if view == "failed" else view)
    await page.get_by_role("link", name="Deliveries 12").wait_for()
    assert (
        await page.evaluate("""[...document.querySelectorAll('.scroll')]
      .filter(box => box.scrollWidth > box.clientWidth).length""")
        == 0
    )
    box = await page.locator("nav [aria-current]").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


async def test_phone_says_why_and_that_there_are_more_views(
    open_page: Open, service: Service
) -> None:
    opened = await open_page(service, viewport={"width": 390, "height": 844})
    page = await opened.go("operations")
    await page.get_by_role("link", name="Deliveries 12").wait_for()
    lost = page.locator("tbody tr").filter(has_text="Lost").first
    await expect(
        lost.get_by_text("403 AuthorizationFailed").and_(lost.locator(".phone"))
    ).to_be_visible()
    nav = await page.locator("nav").bounding_box()
    assert nav is not None
    ends = []  # the right end of the views, above their words
    for to in (0, 1000):
        await page.evaluate("left => { document.querySelector('nav').scrollLeft = left }", to)
        clip: FloatRect = {
            "x": nav["x"] + nav["width"] - 6,
            "y": nav["y"] + 3,
            "width": 6,
            "height": 6,
        }
        ends.append(await page.screenshot(clip=clip))
    assert ends[0] != ends[1]  # a shadow, until nothing follows


@pytest.mark.parametrize(("poisoned", "shown"), [(2, ["2 poison messages"]), (0, [])])
async def test_poison_messages_are_counted(
    open_page: Open, service: Service, poisoned: int, shown: list[str]
) -> None:
    service.summary |= {"poisoned": {"operations": poisoned, "deliveries": 0}}
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.locator(".attention li").first.wait_for()
    link = page.locator(".counted a[href='#/health']")
    assert await link.all_inner_texts() == shown


async def test_attention_has_room_at_every_width(open_page: Open, service: Service) -> None:
    """The cards do not run into the chart of the ends, or wider than the page."""
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.locator(".attention li").first.wait_for()
    for width in (1300, 1241, 1240, 1110, 1000, 770):
        await page.set_viewport_size({"width": width, "height": 500})
        cards = await page.locator(".attention li").last.bounding_box()
        ends = await page.locator(".ends").bounding_box()
        assert cards is not None
        edge = ends["x"] if ends else max(1000, width)
        assert cards["x"] + cards["width"] <= edge, width
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


async def test_slow_operation_stands_among_its_kind(open_page: Open, service: Service) -> None:
    service.whole[1] |= {"slow": True}
    opened = await open_page(service)
    page = await opened.go(running_view(service))
    assert await page.locator("h1 .tag").all_inner_texts() == ["slow"]
    shown = await page.locator("main").inner_text()
    assert "slower than 99 % of its kind" in shown
    assert "half of its kind have ended by 21:43, 90 % by 21:45" in shown
    named = await page.locator(".life svg text").all_text_contents()
    assert [text for text in named if text in ("p10", "p90")] == ["p10", "p90"]
    requests = [request for request in service.api_requests if "summary" not in request]
    assert len(requests) == 1
