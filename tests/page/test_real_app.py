"""The page in front of the real app: what the other tests assume of the API holds there."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from opswatch.local.azurite import Azurite
from opswatch.local.demo.app import running_app
from opswatch.local.simulator import Simulator
from tests.page.conftest import Open
from tests.page.journeys import post_another, read_why_and_redeliver
from tests.page.service import OF_PAGE, POLICY
from tests.page.test_hostile import CORPUS
from tests.page.test_states import SHOWN, check, check_all
from tests.support.api import SEEDS, Api
from tests.support.endpoints import Endpoint, Reply
from tests.support.harness import SECRET, SUBSCRIPTION

pytestmark = pytest.mark.asyncio(loop_scope="session")
VIEWER, OPERATOR = "viewer-key", "operator-key"
PATIENCE = 60  # seconds
VIEWS = ("operations", "deliveries?state=abandoned", "rejections", "kinds", "health")
WRITES = re.compile("Post|Redeliver|Send now|Stop watching")


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
    async with AsyncExitStack() as stack:
        arm = await stack.enter_async_context(Simulator(seed=next(SEEDS)))
        receiver = await stack.enter_async_context(Endpoint("hook", SECRET))
        gone = await stack.enter_async_context(Endpoint("gone", SECRET, lambda *_: Reply(410)))
        env = {
            **arm.environment,
            **receiver.environment,
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_SUBSCRIPTION_ID": SUBSCRIPTION,
            "OPSWATCH_LOCATION": "westus",
            "OPSWATCH_POLL_MAX": "PT2S",
        }
        keys = f"read={VIEWER},write={OPERATOR}"
        api = Api(
            f"{await stack.enter_async_context(running_app(env, '--key', keys))}/api", arm, receiver
        )
        failed, text, hook = api.start("failed"), " ".join(CORPUS), f"{gone.url}?code=SECRET"
        posts = [
            await api.post(failed, OPERATOR, callbackUrl=hook, clientState={text: text}),
            await api.post(api.start("succeeded"), OPERATOR, kind=CORPUS[0]),
            await api.post(api.start("never-ending"), OPERATOR, kind="redisEnterprise/create"),
        ]
        assert posts == [202, 202, 202]
        headers = {"x-functions-key": VIEWER}
        async with aiohttp.ClientSession(headers=headers) as http, asyncio.timeout(PATIENCE):
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


async def unlock(page: Page, operator: str = OPERATOR) -> None:
    """Give the page its keys."""
    await page.get_by_label("Viewer's key").fill(VIEWER)
    await page.get_by_label("Operator's key").fill(operator)
    await page.get_by_role("button", name="Open").click()


async def test_views_are_accessible_and_quiet(open_page: Open, app: Prepared) -> None:
    opened = await open_page(app.url)
    await unlock(await opened.go("operations"))
    for view in VIEWS:
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
    await unlock(page)
    await read_why_and_redeliver(page, app.failed, "SkuNotAvailable", "Balanced_B5")
    await post_another(page, app.api.start("succeeded"))
    assert opened.unexpected == []


async def test_headers_are_those_of_the_tests(app: Prepared) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("", "/nothing", "/x/app.js"):
            async with http.get(f"{app.api.url}/dashboard{path}") as answer:
                assert answer.headers["content-security-policy"] == POLICY
                wanted = OF_PAGE | {"X-Content-Type-Options": "nosniff"}
                assert {name: answer.headers[name] for name in wanted} == wanted


async def test_viewer_may_read_only(open_page: Open, app: Prepared) -> None:
    """No view has a button that writes, and nothing is written before a person acts."""
    opened = await open_page(app.url)
    page = await opened.go("operations")
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    await unlock(page, operator="")
    await page.get_by_role("button", name="Keys").click()
    await expect(page.get_by_text("may read only")).to_be_visible()
    await page.keyboard.press("Escape")
    for view in VIEWS:
        await opened.go(view)
        assert await page.get_by_role("button", name=WRITES).count() == 0
    await opened.go(f"operations?operation={app.failed}")
    await page.get_by_role("link", name=app.failed).click()
    await page.locator(".life svg").first.wait_for()
    assert await page.get_by_role("button", name=WRITES).count() == 0
    assert set(methods) == {"GET", "OPTIONS"}
    await page.get_by_role("button", name="Keys").click()
    await unlock(page)
    await expect(page.get_by_role("button", name=WRITES).first).to_be_visible()
    assert set(methods) == {"GET", "OPTIONS"}
