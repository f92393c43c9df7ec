"""Draws the pictures of the page that the README shows: `make pictures`."""

import asyncio
import shutil
from pathlib import Path
from typing import Literal

from playwright.async_api import async_playwright

from tests.page import values
from tests.page.conftest import NAMES
from tests.page.service import Service

DOCS = Path(__file__).parents[2] / "docs"
Scheme = Literal["light", "dark"]


async def draw(folder: Path) -> list[Path]:
    """Draw the list in light colours and an operation's life in dark ones; return the files."""
    service = Service()
    await service.start()
    operation = f"operations/{values.SUBSCRIPTION}/{service.whole[0]['key']}"
    pictures: list[tuple[str, Scheme, str, int]] = [
        ("page-light.png", "light", "operations", 720),
        ("page-dark.png", "dark", operation, 644),
    ]
    files = []
    async with async_playwright() as playwright:
        found = next(filter(None, map(shutil.which, NAMES)))
        browser = await playwright.chromium.launch(executable_path=found)
        for name, scheme, view, height in pictures:
            page = await browser.new_page(
                viewport={"width": 1280, "height": height},
                color_scheme=scheme,
                timezone_id="Europe/Berlin",
                reduced_motion="reduce",
            )
            await page.clock.install(time=values.NOW)
            await page.goto(f"{service.url}/api/dashboard#/{view}")
            await page.wait_for_selector("main :is(table.ops, .life svg)")
            await page.wait_for_selector(".attention li, .life svg")
            files.append(folder / name)
            await page.screenshot(path=files[-1])
        await browser.close()
    await service.stop()
    return files


if __name__ == "__main__":
    asyncio.run(draw(DOCS))
