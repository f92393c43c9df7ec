"""Plays cases, from public bug reports, against `opswatch dev`: black box, over real sockets.

A case is an object of JSON. Its answers are `{"status" (200), "headers": [[name, value]], "json" |
"text" | "base64"}`, or `{"raw", "close"}` byte for byte, in which `<WAIT>` is a pause. With
`needs_api_version` an answer is a 400 if the query has none. The last answer of a list repeats.

- `arm`: answers at the posted URL (without it one `Succeeded`); `other`: answers by path.
- `receiver`: answers to callbacks (without it 204).
- `path` and `id`, or `provider`, `collection`; `query`: of the posted URL.
- `raws`: messages to post in place of the URL; `then`: messages to post after the operation has
  ended, one after another. An object is posted as JSON.
- `arm_then`: for each of these the answers from its post on, so that no case depends on how often a
  round is polled; `[]` keeps those before.
- `expect`: see `Expectation`.

In every text `{path}`, `{id}`, `{url}`, `{arm}`, `{sub}`, `{hook}`, `{60KB}` and `{dashes}` (of a
key in PEM, which no file of the project may hold) are replaced. Each case has a subscription of its
own, so that many cases run at once in one app.
"""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import NAMESPACE_URL, uuid5

import msgspec
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from opswatch.core.webhook import Secret
from opswatch.local.azurite import running_azurite
from opswatch.local.demo.app import running_app

HOST = "127.0.0.1"
SETTINGS = {
    "OPSWATCH_POLL_MAX": "PT1S",
    "OPSWATCH_MISS_GRACE": "PT3S",
    "OPSWATCH_CALLBACK_SCHEDULE": "0,2,2,2",
    "OPSWATCH_CALLBACK_NETWORKS": f"{HOST}/32",
    "OPSWATCH_CALLBACK_SECRETS": Secret(b"k" * 32).text,
    "IDENTITY_HEADER": "h",
}
TIMEOUT = "PT30S"  # of every watch
PATIENCE = 180.0  # seconds for all cases
AT_ONCE = 48  # cases
INTERVAL = 0.7  # seconds
QUIET = 1.5  # seconds without a change: a case that has ended is over
PAUSE = 0.4  # seconds: <WAIT>
_TABLES = ("watches", "results", "outbox", "deliveries", "rejections")
Rows = dict[str, list[dict[str, Any]]]


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """One HTTP answer."""

    status: int = 200
    headers: list[tuple[str, str]] = []
    json: Any = msgspec.UNSET
    text: str = ""
    base64: str | None = None
    raw: str | None = None
    close: bool = False
    needs_api_version: bool | int = False

    def encoded(self) -> bytes:
        """Return the bytes to send."""
        if self.raw is not None:
            return self.raw.encode("latin-1")
        body = self.text.encode()
        if self.base64 is not None:
            body = b64decode(self.base64)
        elif self.json is not msgspec.UNSET:
            body = json.dumps(self.json).encode()
        lines = [f"HTTP/1.1 {self.status} Word", *(": ".join(pair) for pair in self.headers)]
        if self.status != 204:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + body


class Expectation(msgspec.Struct, forbid_unknown_fields=True):
    """What must be true at the end; what is left out is not checked."""

    status: str | None = None
    status_in: list[str] = []
    errorCode: str | None = None  # noqa: N815 - the format's
    columns: dict[str, Any] = {}  # of the row; null: absent
    row_has: list[str] = []
    row_lacks: list[str] = []
    callback_has: list[str] = []
    callback_lacks: list[str] = []
    callbacks: int | None = None  # events: POSTs with distinct ids
    posts: int | None = None
    delivery: str | None = None  # the state of the one delivery
    delivery_has: list[str] = []
    gap_at_least: float | None = None  # seconds between two POSTs
    arm_asked: list[str] = []  # texts in a requested URL
    arm_not_asked: list[str] = []
    rejected: str | None = None  # the reason
    rejection_has: list[str] = []
    rows: int | None = None  # results


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """A case as its file has it."""

    title: str
    expect: Expectation
    group: str = ""
    source: str = ""
    arm: list[Any] = msgspec.field(default_factory=lambda: [{"json": {"status": "Succeeded"}}])
    other: dict[str, list[Any]] = {}
    receiver: list[Any] = msgspec.field(default_factory=lambda: [{"status": 204}])
    raws: list[Any] = []
    then: list[Any] = []
    arm_then: list[list[Any]] = []
    path: str = "/subscriptions/{sub}/providers/{provider}/locations/westus/{collection}/{id}"
    id: str | None = None
    provider: str = "Microsoft.Cache"
    collection: str = "operationsStatus"
    query: str = "?api-version=2024-10-01"


def read_cases(*files: Path) -> list[Case]:
    """Return the cases of files of JSON."""
    return [
        case for file in files for case in msgspec.json.decode(file.read_bytes(), type=list[Case])
    ]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was received."""

    target: str
    body: bytes
    at: float
    headers: dict[str, str]


@dataclass
class Endpoint:
    """Gives its n-th request the n-th answer, and all later ones the last."""

    answers: Sequence[Answer]
    requests: list[Request] = field(default_factory=list)
    given: int = 0  # of these answers

    def go_on_with(self, answers: Sequence[Answer]) -> None:
        """Give the next request the first of other answers."""
        self.answers, self.given = answers, 0

    def respond(self, request: Request) -> Answer:
        self.requests.append(request)
        self.given += 1
        answer = self.answers[min(self.given, len(self.answers)) - 1]
        if answer.needs_api_version and "api-version=" not in request.target.lower():
            error = {"code": "MissingApiVersionParameter", "message": "It is required."}
            return Answer(status=400, json={"error": error})
        return answer


Router = Callable[[Request], Answer]


@asynccontextmanager
async def serving(route: Router) -> AsyncIterator[str]:
    """Serve HTTP on a free port of the loopback; yield its URL."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await _answer_one(reader, writer, route):
                pass
        writer.close()

    server = await asyncio.start_server(connected, HOST, 0, limit=2**20)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks - {None}:
            task.cancel()  # type: ignore[union-attr]
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)


async def _answer_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, route: Router
) -> bool:
    """Answer one request; return whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    at = asyncio.get_running_loop().time()
    answer = route(Request(first.split(" ")[1], body, at, headers))
    for index, part in enumerate(answer.encoded().split(b"<WAIT>")):
        if index:
            await asyncio.sleep(PAUSE)
        writer.write(part)
        await writer.drain()
    says_close = answer.raw is not None and "connection: close" in answer.raw.lower()
    return not (answer.close or says_close)


class Play:
    """One case while it is played."""

    def __init__(self, number: int, case: Case) -> None:
        self.case, self.expect = case, case.expect
        self.sub = str(uuid5(NAMESPACE_URL, f"subscription/{number}/{case.title}"))
        self.id = case.id or str(uuid5(NAMESPACE_URL, f"operation/{number}/{case.title}"))
        self.hook = self.arm_url = self.path = self.url = ""
        self.receiver = Endpoint(self._answers(case.receiver))
        self.endpoints: dict[str, Endpoint] = {}
        self.posted: list[bytes] = []
        self.to_post: list[bytes] = []
        self.to_post_later: list[tuple[bytes, list[Answer]]] = []
        self.unread: QueueMessage | None = None  # the later post that the app may not have read
        self.state: object = None  # as last seen
        self.changed_at = 0.0

    def bind(self, arm_url: str, hook: str) -> None:
        """Fill in the addresses."""
        case, self.arm_url, self.hook = self.case, arm_url, hook
        self.path = case.path.replace("{sub}", self.sub).replace("{id}", self.id)
        self.path = self.path.replace("{provider}", case.provider)
        self.path = self.path.replace("{collection}", case.collection)
        self.url = arm_url + self.path + self._fill(case.query)
        self.receiver.answers = self._answers(case.receiver)
        by_path = {self.path: case.arm, **self._fill(case.other)}
        self.endpoints = {
            fold_path(path): Endpoint(self._answers(answers)) for path, answers in by_path.items()
        }
        whole = json.dumps({"operation": self.url, "callbackUrl": hook, "timeout": TIMEOUT})
        self.to_post = [self._message(raw) for raw in case.raws or [whole]]
        answers = [*case.arm_then, *([] for _ in case.then[len(case.arm_then) :])]
        self.to_post_later = [
            (self._message(raw), self._answers(given))
            for raw, given in zip(case.then, answers, strict=True)
        ]

    def _message(self, raw: Any) -> bytes:
        filled = self._fill(raw)
        return (filled if isinstance(filled, str) else json.dumps(filled)).encode()

    def _answers(self, answers: list[Any]) -> list[Answer]:
        return [msgspec.convert(self._fill(answer), Answer) for answer in answers]

    def _fill(self, value: Any) -> Any:
        match value:
            case str():
                for name in ("path", "id", "url", "sub", "hook"):
                    value = value.replace(f"{{{name}}}", getattr(self, name))
                value = value.replace("{60KB}", "a" * 60_000).replace("{dashes}", "-" * 5)
                return value.replace("{arm}", self.arm_url)
            case list():
                return [self._fill(item) for item in value]
            case dict():
                return {self._fill(name): self._fill(item) for name, item in value.items()}
            case _:
                return value

    def owns(self, row: dict[str, Any]) -> bool:
        """Return whether a row of any table is of this case."""
        keys = (row["PartitionKey"], row["RowKey"])
        if keys[0] == self.sub.lower():
            return True
        return keys[0] == "-" and self.id.lower() in keys[1].lower()

    def has_been_quiet(self, rows: Rows, now: float) -> bool:
        """Return whether the case has ended, no delivery is pending, and nothing changes."""
        own = [(name, row) for name in rows for row in rows[name] if self.owns(row)]
        state = (own, self.rejections(rows), len(self.receiver.requests))
        if state != self.state:
            self.state, self.changed_at = state, now
        if self.expect.rejected:
            has_ended = bool(self.rejections(rows))
        else:
            names = [name for name, _ in own]
            has_ended = "results" in names and not {"watches", "outbox"} & set(names)
        return has_ended and now - self.changed_at > QUIET

    def rejections(self, rows: Rows) -> list[dict[str, Any]]:
        digests = {sha256(body).hexdigest() for body in self.posted}
        return [row for row in rows["rejections"] if row["RowKey"] in digests]

    def problems(self, rows: Rows) -> Iterator[str]:
        """Yield how the outcome differs from what is expected."""
        expect = self.expect
        results = [row for row in rows["results"] if self.owns(row)]
        rejections = self.rejections(rows)
        if expect.rejected is not None or rejections:
            reasons = [row["reason"] for row in rejections]
            yield from _different("rejected", reasons, [expect.rejected] if expect.rejected else [])
            yield from _missing("rejection_has", _texts(rejections), expect.rejection_has)
        if expect.rows is not None:
            yield from _different("rows", len(results), expect.rows)
        if expect.rejected is None or results:
            yield from self._row_problems(results)
        yield from self._callback_problems(rows)
        asked = "\n".join(
            request.target for end in self.endpoints.values() for request in end.requests
        )
        yield from _missing("arm_asked", asked, expect.arm_asked)
        yield from _present("arm_not_asked", asked, expect.arm_not_asked)

    def _row_problems(self, results: list[dict[str, Any]]) -> Iterator[str]:
        expect = self.expect
        if not results:
            yield "no result"
            return
        row = results[0]
        allowed = [expect.status] if expect.status else expect.status_in
        if allowed and row["status"] not in allowed:
            yield f"status {row['status']}, not {allowed}: {_texts([row])[:2000]}"
        columns = dict(expect.columns)
        if expect.errorCode is not None:
            columns["errorCode"] = expect.errorCode
        for name, value in columns.items():
            yield from _different(name, row.get(name), value)
        yield from _missing("row_has", _texts(results), expect.row_has)
        yield from _present("row_lacks", _texts(results), expect.row_lacks)

    def _callback_problems(self, rows: Rows) -> Iterator[str]:
        expect, posts = self.expect, self.receiver.requests
        text = "\n".join(json.dumps(json.loads(p.body), ensure_ascii=False) for p in posts)
        yield from _missing("callback_has", text, expect.callback_has)
        yield from _present("callback_lacks", text, expect.callback_lacks)
        events = {post.headers.get("webhook-id") for post in posts}
        if expect.callbacks is not None:
            yield from _different("callbacks", len(events), expect.callbacks)
        if expect.posts is not None:
            yield from _different("posts", len(posts), expect.posts)
        gaps = [later.at - post.at for post, later in pairwise(posts)]
        if expect.gap_at_least is not None and not any(g >= expect.gap_at_least for g in gaps):
            yield f"gaps {gaps}, none of {expect.gap_at_least} s"
        deliveries = [row for row in rows["deliveries"] if self.owns(row)]
        if expect.delivery is not None:
            states = [row["state"] for row in deliveries]
            if states != [expect.delivery]:
                yield f"deliveries {states}, not one {expect.delivery}: {_texts(deliveries)[:1000]}"
        yield from _missing("delivery_has", _texts(deliveries), expect.delivery_has)


def fold_path(target: str) -> str:
    """Return a path in one spelling, as ARM compares paths."""
    path = unquote(target.partition("?")[0]).lower()
    return "/".join(segment for segment in path.replace(" ", "").split("/") if segment)


def _different(name: str, actual: object, expected: object) -> Iterator[str]:
    if actual != expected:
        yield f"{name} is {actual!r}, not {expected!r}"


def _missing(name: str, text: str, wanted: list[str]) -> Iterator[str]:
    for part in wanted:
        if part not in text:
            yield f"{name}: {part!r} is not in {text[:2000]!r}"


def _present(name: str, text: str, unwanted: list[str]) -> Iterator[str]:
    for part in unwanted:
        if part in text:
            yield f"{name}: {part!r} is in {text[:2000]!r}"


def _texts(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, default=str, ensure_ascii=False)


async def play(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Play all cases at once; return what is wrong, by the title of the case."""
    plays = [Play(number, case) for number, case in enumerate(cases)]
    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())
        arm_url = await stack.enter_async_context(serving(_arm(plays)))
        for one in plays:
            receiver = await stack.enter_async_context(serving(one.receiver.respond))
            one.bind(arm_url, f"{receiver}/hook")
        env = SETTINGS | {
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_ARM_ENDPOINT": arm_url,
            "IDENTITY_ENDPOINT": f"{arm_url}/msi/token",
        }
        await stack.enter_async_context(running_app(env))
        tables = await stack.enter_async_context(
            TableServiceClient.from_connection_string(azurite.connection_string)
        )
        queue = await stack.enter_async_context(
            QueueClient.from_connection_string(azurite.connection_string, "operations")
        )
        rows = await _play_to_end(plays, tables, queue)
    return {
        f"{one.case.group}: {one.case.title}": found
        for one in plays
        if (found := list(one.problems(rows)))
    }


def _arm(plays: list[Play]) -> Router:
    """Return a router to the endpoint of the play, and to the identity's."""
    unknown = {"error": {"code": "NotFound", "message": "No case has this path."}}

    def route(request: Request) -> Answer:
        if request.target.startswith("/msi/token"):
            token = {"access_token": "eyJ0.e30.sig", "expires_on": "4102444800"}
            return Answer(json=token | {"resource": "arm", "token_type": "Bearer"})
        path = fold_path(request.target)
        for one in plays:
            if endpoint := one.endpoints.get(path):
                return endpoint.respond(request)
        return Answer(status=404, json=unknown)

    return route


async def _play_to_end(plays: list[Play], tables: TableServiceClient, queue: QueueClient) -> Rows:
    """Post everything, wait until all has settled and stayed so, and return all rows.

    No more cases are under way at once than two cores can poll every second.
    """
    loop = asyncio.get_running_loop()
    waiting, deadline, idle_since = list(reversed(plays)), loop.time() + PATIENCE, loop.time()
    active: list[Play] = []
    while True:
        while waiting and len(active) < AT_ONCE:
            active.append(waiting.pop())
            for body in active[-1].to_post:
                await _post(queue, active[-1], body)
        await asyncio.sleep(INTERVAL)
        rows: Rows = {
            name: [dict(row) async for row in tables.get_table_client(name).list_entities()]
            for name in _TABLES
        }
        now = loop.time()
        for one in tuple(active):
            if await _has_ended(one, rows, queue, now):
                active.remove(one)
        if active or waiting:
            idle_since = now
        if now > deadline or now - idle_since > 2 * QUIET:
            return rows


async def _has_ended(one: Play, rows: Rows, queue: QueueClient, now: float) -> bool:
    """Return whether a case is over; if it only waits for its next message, post that."""
    one.unread = one.unread and await _if_unread(queue, one.unread)
    if one.unread is not None:
        one.changed_at = now
    if one.unread is not None or not one.has_been_quiet(rows, now):
        return False
    if not one.to_post_later:
        return True
    body, answers = one.to_post_later.pop(0)
    if answers:
        one.endpoints[fold_path(one.path)].go_on_with(answers)
    one.unread, one.changed_at = await _post(queue, one, body), now
    return False


async def _post(queue: QueueClient, one: Play, body: bytes) -> QueueMessage:
    one.posted.append(body)
    while True:
        try:
            return await queue.send_message(body.decode())
        except ResourceNotFoundError:  # the app has not created it yet
            await asyncio.sleep(0.1)


async def _if_unread(queue: QueueClient, message: QueueMessage) -> QueueMessage | None:
    """Return a message with its new receipt, or None if the app has received it.

    Without this a slow app would look like one that the message does not change.
    """
    try:
        return await queue.update_message(message, visibility_timeout=0)
    except HttpResponseError:  # it is gone, or has another receipt
        return None
