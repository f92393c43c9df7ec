"""A receiver on loopback for people: it checks each callback, reports it, and can pass it on."""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from opswatch.core.texts import from_json, one_line
from opswatch.core.webhook import Secret
from opswatch.local.ports import LOOPBACK, listen_on

PATH = "/hook"  # in the URL that is shown; every other path is answered, too
TOLERANCE = 300  # seconds, either way: it prevents replays
_FORWARD_TIMEOUT = 15.0  # seconds: opswatch waits no longer
_SHOWN = 200  # characters of what a sender wrote
# Of one connection: RFC 9110 7.6.1, and the two that the client sets for the next one.
_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "host", "content-length"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedCallback:
    """One POST, what was found about it, and how it was answered."""

    at: datetime
    event: dict[str, Any] | None  # None: it is not genuine
    problem: str | None  # why it is not
    attempt: str  # as its header says, or ""
    status_code: int  # of the answer
    forward_error: str | None = None  # why the program that it was passed on to has not answered


def check_callback(
    headers: Mapping[str, str], body: bytes, secrets: tuple[Secret, ...], now: datetime
) -> dict[str, Any]:
    """Return the event of a callback; raise `ValueError` that says why it is not genuine.

    `headers` are found by names in any case.
    """
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    if missing := [name for name in names if not headers.get(name)]:
        raise ValueError(f"it has no header {', '.join(missing)}: opswatch sends all of them")
    message_id, stamp, given = (headers[name] for name in names)
    if not re.fullmatch(r"[0-9]{1,12}", stamp):
        raise ValueError(f"webhook-timestamp is {one_line(stamp, 40)!r} and not a Unix time")
    age = now.timestamp() - int(stamp)
    if abs(age) > TOLERANCE:
        when = "old" if age > 0 else "ahead"
        raise ValueError(
            f"webhook-timestamp is {abs(age) / 60:.0f} min {when}; {TOLERANCE // 60} min are "
            "accepted: it is a replay, or a clock is wrong"
        )
    sent_at = datetime.fromtimestamp(int(stamp), UTC)
    signatures = given.split(" ")
    if not any(signature.startswith("v1,") for signature in signatures):
        raise ValueError("webhook-signature has no signature of the version v1")
    own = [secret.sign(message_id, sent_at, body).encode() for secret in secrets]
    others = [signature.encode("utf-8", "surrogateescape") for signature in signatures]
    if not any(hmac.compare_digest(one, other) for one in own for other in others):
        raise ValueError(
            "no signature is by this secret: the sender has another one in "
            "OPSWATCH_CALLBACK_SECRETS, or the id, the timestamp or the body was changed"
        )
    try:
        event = from_json(body)
    except ValueError as error:
        raise ValueError(f"it is signed, but its body is not JSON: {error}") from error
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise ValueError("it is signed, but its body is not a CloudEvents event")  # noqa: TRY004
    if event.get("id") != message_id:
        raise ValueError("it is signed, but the event's id is not its webhook-id")
    return event


class Listener:
    """Answers callbacks on loopback until its `async with` block ends.

    A genuine one is passed on to `forward_to`, byte for byte, and gets the answer of the program
    there; without it, or with `respond`, it gets the status `respond` (204). Others get 401.
    """

    def __init__(
        self,
        secrets: tuple[Secret, ...],
        report: Callable[[ReceivedCallback], None],
        *,
        port: int = 0,
        forward_to: str | None = None,
        respond: int | None = None,
    ) -> None:
        self._secrets = secrets
        self._report = report
        self._port = port
        self._forward_to = None if forward_to is None else URL(forward_to, encoded=True)
        self._respond = respond
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Listen; raise `PortError`."""
        opened = listen_on(self._port)
        self._port = opened.getsockname()[1]
        app = web.Application()
        app.router.add_route("*", r"/{path:[\s\S]*}", self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1, auto_decompress=False
        )
        await self._runner.setup()
        await web.SockSite(self._runner, opened).start()
        if self._forward_to is not None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                timeout=aiohttp.ClientTimeout(total=_FORWARD_TIMEOUT),
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    @property
    def url(self) -> str:
        """The URL to post with an operation."""
        return f"http://{LOOPBACK}:{self._port}{PATH}"

    async def _answer(self, request: web.Request) -> web.Response:
        if request.method == "OPTIONS":  # the handshake of CloudEvents' web hooks, section 4
            origin = request.headers.get("WebHook-Request-Origin", "*")
            return web.Response(headers={"WebHook-Allowed-Origin": origin})
        if request.method != "POST":
            return web.Response(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
        now = datetime.now(UTC)
        event: dict[str, Any] | None = None
        problem, failure = None, None
        try:
            body = await request.read()
            event = check_callback(request.headers, body, self._secrets, now)
        except ConnectionError:  # the sender has gone in the middle of its body
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        except web.HTTPRequestEntityTooLarge:
            problem = "it is larger than 1 MiB; an event has less than 20 kB"
            response = web.Response(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except ValueError as error:
            problem = str(error)
            response = web.Response(status=HTTPStatus.UNAUTHORIZED, text=f"{problem}\n")
        else:
            response = web.Response(status=self._respond or HTTPStatus.NO_CONTENT)
            if self._session is not None:
                answer, failure = await self._forward(request.headers, body)
                response = answer if self._respond is None else response
        self._report(
            ReceivedCallback(
                at=now,
                event=event,
                problem=problem,
                attempt=one_line(request.headers.get("opswatch-attempt", ""), 10),
                status_code=response.status,
                forward_error=failure,
            )
        )
        return response

    async def _forward(
        self, headers: Mapping[str, str], body: bytes
    ) -> tuple[web.Response, str | None]:
        """Return the answer of the program at `forward_to`, or 502 and why there is none."""
        assert self._session is not None  # noqa: S101 - open while this is
        assert self._forward_to is not None  # noqa: S101 - as the session
        sent = _end_to_end(headers)
        try:
            async with self._session.post(
                self._forward_to, data=body, headers=sent, allow_redirects=False
            ) as answer:
                return web.Response(
                    status=answer.status,
                    headers=_end_to_end(answer.headers),
                    body=await answer.read(),
                ), None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                text = f"no answer within {_FORWARD_TIMEOUT:g} s"
            else:
                text = one_line(str(error) or type(error).__name__, _SHOWN)
            return web.Response(status=HTTPStatus.BAD_GATEWAY, text=f"{text}\n"), text


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Return the headers that belong to the message and not to one connection."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP | named
    )
