"""The client over real parts: real begin_ methods, the app on Azurite, a simulated ARM.

One app serves all tests, for two would read the same queues.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.client import begin, ladder
from tests.support.api import Api, running_api

PATIENCE = 60  # seconds
pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(azurite: Any) -> AsyncIterator[Api]:
    """Run the app, with a viewer's key and an operator's."""
    keys = {function: {key} for function, key in ladder.KEYS.items()}
    async with running_api(azurite, keys) as api:
        yield api


async def test_begin_methods_end_as_with_the_sdk_in_two_processes(app: Api) -> None:
    """A process begins and waits; another one goes on by the token alone, typed as well."""
    assert await ladder.climb(sys.executable, app) == []
    cases = len(begin.FACES) * len(begin.SOURCES)
    created = [(script, "redisEnterprise/create") for script in begin.SCRIPTS]
    expected = sorted([*created, ("deleted", "redisEnterprise/delete")] * cases)
    async with asyncio.timeout(PATIENCE):  # a result is there before its callback is sent
        while len(called(app)) < len(expected):
            await asyncio.sleep(0.1)
    assert sorted(called(app)) == expected


def called(app: Api) -> list[tuple[str, str]]:
    """Return the case and the kind of each event that the receiver has got from a case."""
    return [
        (post.event["data"]["clientState"]["case"], post.event["data"]["kind"])
        for post in app.receiver.posts
        if post.event is not None and post.event["data"]["clientState"] is not None
    ]
