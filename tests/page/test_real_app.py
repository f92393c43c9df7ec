"""The page in front of the real app: what the other tests assume of the API holds there."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import expect

from opswatch.local.azurite import Azurite
from tests.page.conftest import Open
from tests.page.journeys import post_another, read_why_and_redeliver
from tests.page.service import OF_PAGE, POLICY
from tests.page.test_hostile import CORPUS
from tests.page.test_states import SHOWN, check, check_all
from tests.support.api import Api, running_api
from tests.support.endpoints import Endpoint, Reply
from tests.support.harness import SECRET

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEYS = {"read": {"viewer-key"}, "write": {"operator-key"}}
PATIENCE = 60  # seconds


@dataclass(frozen=True, slots=True)
class Prepared:
    """A running app in which operations of several outcomes have ended."""

    api: Api
    failed: str  # the ID of an operation whose callback was given up

    @property
    def url(self) -> str:
        return self.api.url.removesuffix("/api")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app(azurite: Azurite) -> AsyncIterator[Prepared]:
    async with running_api(azurite) as api, Endpoint("gone", SECRET, lambda *_: Reply(410)) as gone:
        failed = api.start("failed")
        text, hook = " ".join(CORPUS), f"{gone.url}?code=SECRET"
        posts = [
            await api.post(failed, callbackUrl=hook, clientState={text: text}),
            await api.post(api.start("succeeded"), kind=CORPUS[0]),
            await api.post(api.start("never-ending"), kind="redisEnterprise/create"),
        ]
        assert posts == [202, 202, 202]
        async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE):
            for path, count in (
                ("operations?state=finished", 2),
                ("deliveries?state=abandoned", 1),
            ):
                found: list[object] = []
                while len(found) < count:
                    async with http.get(f"{api.url}/{path}") as answer:
                        found = (await answer.json())["value"]
                    await asyncio.sleep(0.1)
        yield Prepared(api, failed.rpartition("/")[2].partition("?")[0])


async def test_views_are_accessible_and_quiet(open_page: Open, app: Prepared) -> None:
    opened = await open_page(app.url)
    for view in ("operations", "deliveries?state=abandoned", "rejections", "kinds", "health"):
        await opened.go(view)
        await check(opened)
    page = await opened.go(f"operations?operation={app.failed}")
    await page.get_by_role("link", name=app.failed).click()
    await page.locator(".life svg").first.wait_for()
    await check_all(opened, *SHOWN)
    assert await page.evaluate("window.pwned") is None
    assert "<img src=x" in await page.locator("main").inner_text()
    assert "SECRET" not in await page.evaluate("document.documentElement.outerHTML")


async def test_keyboard_alone(open_page: Open, app: Prepared) -> None:
    opened = await open_page(app.url)
    page = await opened.go("operations")
    await read_why_and_redeliver(page, app.failed, "SkuNotAvailable", "Balanced_B5")
    await post_another(page, app.api.start("succeeded"))
    await expect(page.locator("h1")).to_contain_text("registered")
    assert opened.unexpected == []


async def test_headers_are_those_of_the_tests(app: Prepared) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("", "/nothing", "/x/app.js"):
            async with http.get(f"{app.api.url}/dashboard{path}") as answer:
                assert answer.headers["content-security-policy"] == POLICY
                wanted = OF_PAGE | {"X-Content-Type-Options": "nosniff"}
                assert {name: answer.headers[name] for name in wanted} == wanted


async def test_keys_are_asked_for(open_page: Open, azurite: Azurite) -> None:
    async with running_api(azurite, KEYS) as api:
        opened = await open_page(api.url.removesuffix("/api"))
        page = await opened.go("operations")
        await page.get_by_label("Viewer's key").fill("viewer-key")
        await page.get_by_role("button", name="Open").click()
        await page.get_by_role("button", name="Keys").click()
        await expect(page.get_by_text("may read only")).to_be_visible()
        assert await page.get_by_role("button", name="Post").count() == 0
        await page.get_by_label("Viewer's key").fill("viewer-key")
        await page.get_by_label("Operator's key").fill("operator-key")
        await page.get_by_role("button", name="Open").click()
        await expect(page.get_by_role("button", name="Post")).to_be_visible()
