"""Where commands look: the API's answers, made here of the storage or got over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial, wraps
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
import click

from opswatch.adapters.failures import reason
from opswatch.adapters.sessions import azure_session, environment_proxy
from opswatch.api import API_PATH, api_base, api_keys
from opswatch.bootstrap import intake_of, open_app
from opswatch.cli.failures import AnswerError, AppUnreachableError
from opswatch.cli.terminal import Main, environment
from opswatch.config import Settings
from opswatch.core.errors import ConfigError
from opswatch.core.intake import Intake
from opswatch.core.mistakes import Part, problems_of
from opswatch.core.texts import from_json, to_json
from opswatch.health import Check, answer_within
from opswatch.ports import Services
from opswatch.web.answers import Call
from opswatch.web.http import JSON, Request, Response
from opswatch.web.problems import ProblemError
from opswatch.web.routes import find_routes

LONGEST_LOOK = 15.0  # seconds, of one request with its retries
_CLOSING = 1.0  # seconds: a sign-in may ignore that it is cancelled


class Source(Protocol):
    """The API's answers, whoever makes them."""

    @property
    def intake(self) -> Intake:
        """The reader of operations that are named as in a post."""

    @property
    def services(self) -> Services | None:
        """The services, if the storage is at hand."""

    @property
    def base(self) -> str | None:
        """The URL of the API, if an app is asked."""

    async def call(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Any:
        """Return the JSON of the answer to a request below `/api`.

        Raises `AnswerError` for a problem, and one of `health.UNREACHABLE` if there is no answer
        within `LONGEST_LOOK`.
        """


def time_limit(
    seconds: float | None = None, base: str | None = None
) -> AbstractAsyncContextManager[None]:
    """Raise an error that says so if the block takes longer than `seconds`, or `LONGEST_LOOK`.

    The error is of the app if one is asked, at `base`, and else a `TimeoutError`.
    """
    error = partial(AppUnreachableError, base) if base else TimeoutError
    return answer_within(LONGEST_LOOK if seconds is None else seconds, error)


@dataclass(frozen=True, slots=True)
class Target:
    """Which source a command was told to use."""

    url: str | None
    key_variable: str
    needs: Collection[str]  # the services of the storage account

    def find_url(self, env: Mapping[str, str]) -> str | None:
        """Return the URL of the app, given or set; None to use the storage."""
        return self.url or env.get("OPSWATCH_URL") or None

    def open(self) -> AbstractAsyncContextManager[Source]:
        """Open the API at the URL if there is one, or else the storage of the settings."""
        return _open(self)


def source_options(*, needs: Collection[str]) -> Callable[[Main], Main]:
    """Give a command the options `--url` and `--key-env`, and pass it the `Target` as `target`.

    A connection to the storage account may lack the services that the command does not need.
    """

    def decorate(main: Main) -> Main:
        @click.option(
            "--url", envvar="OPSWATCH_URL", metavar="URL",
            help="Ask the app at this URL, not the storage; OPSWATCH_URL sets it, too.",
        )  # fmt: skip
        @click.option(
            "--key-env", metavar="NAME", default="OPSWATCH_KEY", show_default=True,
            help="The environment variable that has the key for the URL.",
        )  # fmt: skip
        @wraps(main)
        async def run(*args: Any, url: str | None, key_env: str, **options: Any) -> int:
            target = Target(url or None, key_env, needs)
            return await main(*args, target=target, **options)

        return run

    return decorate


# --- the storage


@dataclass(frozen=True, slots=True)
class StorageSource:
    """Makes the API's answers of the storage, without the app."""

    services: Services
    base: str | None = None

    @property
    def intake(self) -> Intake:
        """The reader of operations that are named as in a post."""
        return self.services.intake

    async def call(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Any:
        """Return the JSON of the answer: see `Source`."""
        async with time_limit():
            try:
                response = await self._answer(method, path, query or {}, body)
            except ProblemError as error:
                response = error.response
        return _value(response)

    async def _answer(
        self, method: str, path: str, query: Mapping[str, str | int], body: Any
    ) -> Response:
        request = Request(
            method=method,
            url=f"http://localhost{API_PATH}/{path}?{urlencode(query)}",
            headers={"content-type": JSON},
            body=b"" if body is None else to_json(body).encode(),
        )
        now = self.services.clock()
        for route, parts in find_routes(path):
            if method in route.methods and route.answer is not None:
                call = Call.read(request, parts, route.parameters, self.services, now, _no_checks)
                return await route.answer(call)
        raise AnswerError(HTTPStatus.NOT_FOUND, "NotFound", f"there is nothing at {path}")


async def _no_checks() -> Sequence[Check]:
    return ()


# --- HTTP


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSource:
    """Asks an app for its answers."""

    base: str
    session: aiohttp.ClientSession
    keys: Mapping[str, str]  # by the function that takes them: read, write
    intake: Intake
    services: Services | None = None

    async def call(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Any:
        """Return the JSON of the answer: see `Source`."""
        key = self.keys.get("read" if method == "GET" else "write")
        url = f"{self.base}/{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            async with (
                time_limit(base=self.base),
                self.session.request(
                    method,
                    url,
                    data=None if body is None else to_json(body).encode(),
                    headers={"content-type": JSON} | ({"x-functions-key": key} if key else {}),
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(),  # none: the limit is of the whole exchange
                    proxy=environment_proxy(url),
                ) as response,
            ):
                content = await response.read()
        except AppUnreachableError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise AppUnreachableError(self.base, reason(error)) from None
        return _value(Response(status=response.status, body=content))


def _value(response: Response) -> Any:
    """Return the JSON of an answer; raise `AnswerError` if it reports a problem."""
    try:
        value = from_json(response.body)
    except ValueError:
        value = None
    is_success = HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES
    is_health = isinstance(value, dict) and "checks" in value  # 503 if a check fails
    if is_health or (is_success and value is not None):
        return value
    if isinstance(value, dict) and isinstance(value.get("code"), str):
        raise AnswerError(response.status, value["code"], str(value.get("detail", "")))
    phrase = HTTPStatus(response.status).phrase if response.status in _CODES else "no HTTP status"
    if HTTPStatus.OK <= response.status < HTTPStatus.BAD_REQUEST:
        phrase += ": this is not the API of opswatch; check the URL"
    elif response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        phrase += ": there is no opswatch at this URL; check it, without `/api` or a path"
    raise AnswerError(response.status, "", phrase)


_CODES = frozenset(code.value for code in HTTPStatus)


# --- opening


@asynccontextmanager
async def _open(target: Target) -> AsyncIterator[Source]:
    env = environment()
    url = target.find_url(env)
    settings = Settings.read(env, needs=target.needs)
    parts = [part for part in Part if part is not Part.STORAGE or not url]
    if problems := problems_of(settings.mistakes, *parts):
        raise ConfigError(problems)
    stack = AsyncExitStack()
    try:
        if url:
            yield HttpSource(
                base=_base(url),
                session=await stack.enter_async_context(azure_session()),
                keys=api_keys(env.get(target.key_variable, "")),
                intake=intake_of(settings),
            )
        else:
            services, _ = await stack.enter_async_context(open_app(settings, env))
            yield StorageSource(services)
    finally:
        closing = asyncio.ensure_future(stack.aclose())
        await asyncio.wait({closing}, timeout=_CLOSING)


def _base(url: str) -> str:
    """Return the URL of the API; raise `ConfigError` if a key may not be sent there."""
    try:
        return api_base(url)
    except ValueError as error:
        raise ConfigError([f"OPSWATCH_URL: {error}"]) from error


def utc_now() -> datetime:
    """Return the current instant."""
    return datetime.now(UTC)
