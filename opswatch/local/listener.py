"""A receiver on loopback for people: it checks each callback, reports it, and can pass it on."""

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
from opswatch.verification import VerificationError, verify

PATH = "/hook"  # in the URL that is shown; every other path is answered, too
_FORWARD_TIMEOUT = 15.0  # seconds: opswatch waits no longer
_SHOWN = 200  # characters of an error
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
        self._secrets = [secret.text for secret in secrets]
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
            verify(body, request.headers, self._secrets, now=now)
            event = from_json(body)
        except ConnectionError:  # the sender has gone in the middle of its body
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        except web.HTTPRequestEntityTooLarge:
            problem = "it is larger than 1 MiB; an event has less than 20 kB"
            response = web.Response(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except (VerificationError, ValueError) as error:
            problem = one_line(str(error))
            response = web.Response(status=HTTPStatus.UNAUTHORIZED, text=f"{problem}\n")
        else:
            response = web.Response(status=self._respond or HTTPStatus.NO_CONTENT)
            if self._session is not None and self._forward_to is not None:
                answer, failure = await _forward(
                    self._session, self._forward_to, request.headers, body
                )
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
    session: aiohttp.ClientSession, url: URL, headers: Mapping[str, str], body: bytes
) -> tuple[web.Response, str | None]:
    """Return the answer of the program at `url`, or 502 and why there is none."""
    try:
        async with session.post(
            url, data=body, headers=_end_to_end(headers), allow_redirects=False
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
