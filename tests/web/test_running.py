"""The API over real parts: azure-core's pollers, and a short run of schemathesis.

An app serves all tests with its keys: the tests are ordered by the app, and there is one at a time,
for two would read the same queues.
"""

import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.api import Api, running_api
from tests.web import fuzz, pollers

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
# The shortest deadline is 30 s: `make pollers` waits for it, too.
ENDS = pollers.REPORTED.keys() - {"TimedOut"}
# The phase that covers the document takes most of the time: `make fuzz-api` has it, too, in every
# mode, and `.ci/run` runs that.
PHASES = ("examples", "fuzzing", "stateful")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(request: pytest.FixtureRequest, azurite: Any) -> AsyncIterator[Api]:
    """Run the app, with the keys that the test names."""
    async with running_api(azurite, request.param) as api:
        yield api


@pytest.mark.parametrize("app", [None], ids=["no key"], indirect=True, scope="module")
async def test_pollers_follow_posts_to_their_ends(app: Api) -> None:
    """By Operation-Location they report the end; by Location they end, and the row names it."""
    found = await pollers.poll_with(sys.executable, app, ENDS)
    assert len(found) == 4
    assert all(ends.keys() == ENDS for ends in found.values())
    assert pollers.differences(found) == []


@pytest.mark.parametrize(
    ("app", "name"),
    [(mode.keys, name) for name, mode in fuzz.MODES.items()],
    ids=fuzz.MODES,
    indirect=["app"],
    scope="module",
)
async def test_schemathesis_finds_nothing(app: Api, name: str) -> None:
    assert await fuzz.run(fuzz.MODES[name], app, 2, seed=1, phases=PHASES) == ""
