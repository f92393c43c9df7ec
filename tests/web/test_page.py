"""The page's files: addresses that change with the contents, and the policy on every answer."""

import re
from pathlib import Path

import pytest

from opswatch.web import router
from opswatch.web.page import Page
from tests.web.client import Client

INDEX = """<!doctype html><script type="importmap">{"imports": {"a": "./{{hash}}/a.js"}}</script>
<script type="module" src="dashboard/{{hash}}/app.js"></script>"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "index.html").write_text(INDEX)
    (tmp_path / "app.js").write_text("export const a = 1;")
    (tmp_path / "style.css").write_text("body {}")
    (tmp_path / "vendor" / "preact.js").write_text("// preact")
    loaded = Page.load(tmp_path)
    monkeypatch.setattr(router, "page", lambda: loaded)
    return loaded


async def test_index_links_to_the_current_files(client: Client, page: Page) -> None:
    answer = await client.send("GET", "dashboard", function="page")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    text = answer.response.body.decode()
    assert "{{hash}}" not in text
    (link,) = re.findall(r'src="dashboard/([^"]+)"', text)
    script = await client.send("GET", f"dashboard/{link}", function="page")
    assert script.response.body == page.files["app.js"]
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    vendored = await client.send("GET", f"dashboard/{page.hash}/vendor/preact.js", function="page")
    assert vendored.status == 200


@pytest.mark.parametrize(
    "path",
    ["0123456789abcdef/app.js", "{hash}/index.html", "{hash}/../app.js", "{hash}/", "app.js",
     "{hash}/%2e%2e/function_app.py", "{hash}/missing.js"],
)  # fmt: skip
async def test_other_addresses_lead_nowhere(client: Client, page: Page, path: str) -> None:
    answer = await client.send("GET", "dashboard/" + path.replace("{hash}", page.hash))
    assert (answer.status, answer.headers["cache-control"]) == (404, "no-store")


async def test_policy_is_on_every_answer(client: Client, page: Page) -> None:
    for method, path in [
        ("GET", "dashboard"),
        ("HEAD", "dashboard"),
        ("GET", f"dashboard/{page.hash}/app.js"),
        ("GET", "dashboard/missing"),
        ("POST", "dashboard"),
    ]:
        answer = await client.send(method, path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert re.search(r"script-src 'self' 'sha256-[A-Za-z0-9+/]{43}='", policy)
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-robots-tag"] == "noindex"
    assert (await client.send("POST", "dashboard")).status == 405


def test_hash_follows_names_and_contents() -> None:
    pages = [Page({"a": b"1"}), Page({"a": b"2"}), Page({"b": b"1"}), Page({"a": b"1", "b": b""})]
    assert len({page.hash for page in pages}) == len(pages)
    assert Page({"a": b"1"}).hash == pages[0].hash
