"""The HTTP API on loopback, over the services of a test: real requests, and keys as in Azure."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from opswatch.ports import Services
from opswatch.web.http import Request
from opswatch.web.router import Router


@asynccontextmanager
async def serving_api(
    services: Services, keys: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """Yield the URL of an app that answers with `services` until the block ends."""

    async def open_services() -> Services:
        return services

    router = Router(open_services)

    async def respond(received: web.Request) -> web.Response:
        function = "read" if received.method in ("GET", "HEAD") else "write"
        if keys and received.headers.get("x-functions-key") != keys[function]:
            return web.Response(status=401)
        request = Request(
            method=received.method,
            url=f"{received.scheme}://{received.host}{received.raw_path}",
            headers={name.lower(): value for name, value in received.headers.items()},
            body=await received.read(),
        )
        answer = await router.respond(request, function)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    app = web.Application()
    app.router.add_route("*", r"/{path:[\s\S]*}", respond)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
