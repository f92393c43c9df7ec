"""What the tests of the examples share: their function apps, and questions to the running app."""

import asyncio
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
from aiohttp import ClientSession

from opswatch.core.webhook import Secret
from tests.support.api import Api

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True, slots=True)
class Example:
    """A function app of the examples."""

    module: ModuleType
    functions: dict[str, Callable[..., Any]]  # what the Functions host calls


def load_example(name: str) -> Example:
    """Import examples/`name`/function_app.py, under another name."""
    path = EXAMPLES / name / "function_app.py"
    spec = importlib.util.spec_from_file_location(f"example_{name.replace('-', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    declared = module.app.get_functions()
    return Example(
        module, {each.get_function_name(): each.get_user_function() for each in declared}
    )


def signed_request(
    body: bytes, secret: Secret, at: datetime | None = None, **route: str
) -> func.HttpRequest:
    """Return a callback as opswatch signs it."""
    at = at or datetime.now(UTC)
    return func.HttpRequest(
        method="POST",
        url="/api",
        body=body,
        route_params=route,
        headers={
            "content-type": "application/cloudevents+json",
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": secret.sign("msg_1", at, body),
        },
    )


async def data_of(api: Api, **wanted: object) -> dict[str, Any]:
    """Return the data of the first callback whose data has these members."""
    while True:
        for post in api.receiver.posts:
            data: dict[str, Any] = post.event["data"] if post.event else {}
            if data and all(data[name] == value for name, value in wanted.items()):
                return data
        await asyncio.sleep(0.05)


async def operations(api: Api, **filters: str) -> list[dict[str, Any]]:
    """Return the operations that the app lists."""
    async with (
        ClientSession(headers={"x-functions-key": "viewer"}) as http,
        http.get(f"{api.url}/operations", params=filters) as answer,
    ):
        found: list[dict[str, Any]] = (await answer.json())["value"]
        return found
