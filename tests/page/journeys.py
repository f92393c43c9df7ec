"""What a person does with the keyboard alone: at the server of the tests, and at the real app."""

from playwright.async_api import Page, expect

FOCUS = """() => {
  const at = document.activeElement;
  return at.getAttribute("aria-label") ?? at.textContent.trim();
}"""


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until what is called `name` has the focus; fail if it never gets it."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        if (await page.evaluate(FOCUS)).startswith(name):
            return
    raise AssertionError(f"the keyboard does not reach {name!r}")


async def read_why_and_redeliver(page: Page, name: str, code: str, message: str) -> None:
    """Find the failed operation `name` in the list, read why, redeliver its callback, come back."""
    await tab_to(page, "Status")
    await page.keyboard.type("Failed")
    await expect(page.locator("tbody tr").first).to_contain_text("Failed")
    assert page.url.endswith("#/operations?status=Failed")
    await tab_to(page, name)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="The error")).to_contain_text(code)
    await expect(page).to_have_title(f"Failed {name} · opswatch")
    assert await page.evaluate("document.activeElement.localName") == "main"
    await tab_to(page, "Redeliver")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status").filter(has_text="1 queued")).to_be_visible()
    await tab_to(page, "Whole error")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("The whole error")).to_contain_text(message)
    await page.keyboard.press("Escape")
    assert page.url.endswith("#/operations?status=Failed")
    await expect(page.get_by_role("link", name=name)).to_be_focused()


async def post_another(page: Page, operation: str) -> None:
    """Post what is no operation, read why it is refused, and post `operation` instead."""
    await page.keyboard.press("p")
    await page.keyboard.type("please watch my cache!")
    await tab_to(page, "Post")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("This names no operation")
    await page.keyboard.press("Control+A")
    await page.keyboard.type(operation)
    await tab_to(page, "Post")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status").filter(has_text="Posted.")).to_be_visible()
    await expect(page.locator("h1")).to_contain_text(operation.rpartition("/")[2].split("?")[0])
