"""A server of the page with the contract's headers, and of an API that answers plain values."""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web
from yarl import URL

from tests.page import values
from tests.page.values import Json

FILES = Path(__file__).parents[2] / "opswatch" / "dashboard" / "files"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".txt": "text/plain"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
EVERYWHERE = {"X-Content-Type-Options": "nosniff"}
OF_PAGE = {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass
class Service:
    """What the API answers; a test changes it while the page is open."""

    operations: list[Json] = field(default_factory=values.operations)
    whole: list[Json] = field(
        default_factory=lambda: [values.whole_failed(), values.whole_running()]
    )
    deliveries: list[Json] = field(default_factory=values.deliveries)
    rejections: list[Json] = field(default_factory=values.rejections)
    kinds: list[Json] = field(default_factory=values.kinds)
    summary: Json = field(default_factory=values.summary)
    health: Json = field(default_factory=values.health)
    keys: dict[str, str] = field(default_factory=dict)  # of read, write, app; empty: none needed
    failure: HTTPStatus | None = None  # of every call of the API
    empty_pages: int = 0  # of each list, before its rows
    empty_end: int = 0  # pages of each list, after its rows
    policy: str | None = POLICY
    requests: list[web.BaseRequest] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)  # path, body
    url: str = ""
    held: asyncio.Event | None = None  # while it is not set, no call of the API is answered
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    @property
    def api_requests(self) -> list[str]:
        """The calls of the API so far: method, path and query."""
        paths = [(request.method, request.raw_path) for request in self.requests]
        return [f"{method} {path}" for method, path in paths if "/dashboard" not in path]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        path = request.path.removeprefix("/api/")
        if path.startswith("dashboard"):
            return self._page(path)
        if self.held:
            await self.held.wait()
        response = await self._api(request, path)
        response.headers.update(EVERYWHERE | {"Cache-Control": "no-store"})
        return response

    def _page(self, path: str) -> web.Response:
        parts = path.split("/", 2)
        digest = digest_of_files()
        name = "index.html" if len(parts) < 3 else parts[2]
        file = FILES / name
        headers = EVERYWHERE | OF_PAGE | {"Cache-Control": "no-store"}
        if self.policy:
            headers["Content-Security-Policy"] = self.policy
        if not file.is_file() or (len(parts) == 3 and parts[1] != digest):
            return web.Response(status=404, headers=headers)
        text = file.read_text(encoding="utf-8")
        if name == "index.html":
            text = text.replace("{{hash}}", digest)
        else:
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return web.Response(text=text, content_type=TYPES[file.suffix], headers=headers)

    async def _api(self, request: web.Request, path: str) -> web.Response:
        use = "read" if request.method in ("GET", "HEAD") else "write"
        accepted = {self.keys.get(use), self.keys.get("app")} - {None}
        if accepted and request.headers.get("x-functions-key") not in accepted:
            return web.Response(status=401)
        if self.failure:
            return problem(self.failure, "ServerBusy", "The storage account cannot be reached.")
        if use == "write":
            return await self._write(request, path)
        answer = self._read(request, path)
        if answer is None:
            return problem(HTTPStatus.NOT_FOUND, "NotFound", "There is no such thing.")
        body = json.dumps(answer)
        status = 503 if answer.get("status") == "unhealthy" else 200
        etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        return web.Response(
            text=body, content_type="application/json", headers={"ETag": etag}, status=status
        )

    def _read(self, request: web.Request, path: str) -> Json | None:
        parts = path.split("/")
        match parts:
            case ["operations"]:
                return self._page_of(
                    request, [row for row in self.operations if _selects(request.query, row)]
                )
            case ["operations", subscription, key]:
                rows = [*self.whole, *self.operations]
                return next(
                    (r for r in rows if (r["subscriptionId"], r["key"]) == (subscription, key)),
                    None,
                )
            case ["deliveries"]:
                states = request.query.get("state", "pending,delivered,abandoned").split(",")
                return self._page_of(
                    request, [row for row in self.deliveries if row["state"] in states]
                )
            case ["rejections"]:
                return self._page_of(request, self.rejections)
            case ["kinds"]:
                return {"value": self.kinds}
            case ["summary"]:
                return self.summary
            case ["health", "details"]:
                return self.health
            case _:
                return None

    def _page_of(self, request: web.Request, rows: list[Json]) -> Json:
        size = int(request.query.get("maxpagesize", "100"))
        first = -size * self.empty_pages
        start = int(request.query.get("continuation", f".{first}").rpartition(".")[2])
        page: Json = {"value": rows[max(0, start) : max(0, start + size)]}
        if start + size < len(rows) + size * self.empty_end:
            day = values.before((start + size - first) / size * 86_400)[:10]
            query = {**request.query, "continuation": f"settled.{day}.{start + size}"}
            page["nextLink"] = str(
                URL(f"https://another-name.example{request.path}").with_query(query)
            )
        return page

    async def _write(self, request: web.Request, path: str) -> web.Response:
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": "GET, HEAD, POST, OPTIONS"})
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "GET, HEAD, POST"})
        body = await request.text()
        self.writes.append((f"{path}?{request.query_string}".rstrip("?"), body))
        if path == "operations":
            given = json.loads(body)
            if " " in given["operation"]:
                return problem(
                    HTTPStatus.BAD_REQUEST, "InvalidOperation", "neither an ID nor a path nor a URL"
                )
            row = values.running(900, 1, resourceId=None) | {
                "deliveries": [],
                "pollLog": [],
                "operationId": given["operation"],
            }
            self.whole.append(row)
            return web.json_response(row, status=202)
        if path == "deliveries/redeliver":
            return web.json_response({"count": len(self.deliveries)}, status=202)
        if path.endswith("/stop"):
            for row in self.whole:
                row |= {"state": "finished", "status": "Stopped", "finishedAt": values.before(0)}
            return web.json_response(self.whole[0])
        return web.json_response({"value": self.whole[0]["deliveries"][:1]}, status=202)


def digest_of_files() -> str:
    """Return a hash of all files of the page."""
    digest = hashlib.sha256()
    for file in sorted(FILES.rglob("*.*")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def problem(status: HTTPStatus, code: str, message: str) -> web.Response:
    body = {
        "status": status.value,
        "title": status.phrase,
        "detail": message,
        "code": code,
        "error": {"code": code, "message": message},
    }
    return web.Response(
        status=status,
        text=json.dumps(body),
        content_type="application/problem+json",
        headers={"x-ms-error-code": code},
    )


def _selects(query: Any, row: Json) -> bool:
    statuses, kind = query.get("status", "").split(","), query.get("kind")
    return (
        query.get("state") in (None, row["state"])
        and (statuses == [""] or row["status"] in statuses)
        and kind in (None, row["kind"])
        and row["operationId"].startswith(query.get("operation", ""))
        and query.get("resource", "") in (row["resourceId"] or "")
    )
