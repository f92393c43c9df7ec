"""A real Chromium, one for each test process, and its pages."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, async_playwright

from tests.page.service import Service
from tests.page.values import NOW

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

NEXT_TASK = """new Promise(done => {
  const channel = new MessageChannel();
  channel.port1.onmessage = done;
  channel.port2.postMessage(0);
})"""


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing = f"no Chromium here ({', '.join(NAMES)}): install it for the tests of the page"
        if os.environ.get("BROWSER_REQUIRED"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium)
        yield browser
        await browser.close()


@pytest.fixture
def service() -> Service:
    return Service()


class Opened:
    """A page, and what a person at the browser's console would see of it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.said: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        page.on("request", self._asked)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)
        self._under_way: set[Request] = set()
        self._changed = asyncio.Condition()
        self.calls = 0  # of the API

    async def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:,")):
            self.foreign.append(request.url)
        if request.resource_type == "fetch":
            async with self._changed:
                self.calls += 1
                self._under_way.add(request)
                self._changed.notify_all()

    async def _answered(self, request: Request) -> None:
        async with self._changed:
            self._under_way.discard(request)
            self._changed.notify_all()

    async def turn(self, seconds: float, *, least: int = 1) -> None:
        """Turn the page's clock; wait for `least` calls that this causes, and for all answers."""
        wanted = self.calls + least
        await self.page.clock.run_for(int(seconds * 1000))
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.calls >= wanted and not self._under_way)
        for _ in range(2):  # what was read is shown in the tasks that follow
            await self.page.evaluate(NEXT_TASK)

    async def go(self, view: str) -> Page:
        """Show a view, by the fragment as a link would, and wait for what it reads."""
        await self.page.goto(f"{self.url}/api/dashboard#/{view}")
        await self.page.wait_for_selector("main :is(table, .note, .life svg, form.keyform)")
        return self.page

    @property
    def unexpected(self) -> list[str]:
        """What was said beyond what the browser says by itself of an answer that is no success."""
        return [text for text in self.said if "Failed to load resource" not in text]


class Open(Protocol):
    def __call__(self, service: Service | str, **context: Any) -> Awaitable[Opened]: ...


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncIterator[Open]:
    """Open a page in a context of its own, at the instant of the values."""
    closers: list[Callable[[], Awaitable[None]]] = []

    async def opened(service: Service | str, **context: Any) -> Opened:
        if isinstance(service, Service) and not service.url:
            await service.start()
            closers.append(service.stop)
        settings = {"viewport": {"width": 1280, "height": 900}, "timezone_id": "Europe/Berlin"}
        made = await browser.new_context(**(settings | context))
        closers.append(made.close)
        page = await made.new_page()
        page.set_default_timeout(20_000)
        if isinstance(service, str):  # a real app's URL, at a real instant
            return Opened(page, service)
        await page.clock.install(time=NOW)
        return Opened(page, service.url)

    yield opened
    for close in reversed(closers):
        await close()
