"""The API over real parts: azure-core's pollers, a short run of schemathesis, and the functions."""

import sys
from typing import Any

import pytest

from tests.support.api import running_api
from tests.web import fuzz, pollers

pytestmark = pytest.mark.timeout(300)


async def test_pollers_follow_posts_to_every_end(azurite: Any) -> None:
    """By Operation-Location they report the end; by Location they end, and the row names it."""
    async with running_api(azurite) as api:
        found = await pollers.poll_with(sys.executable, api)
    assert len(found) == 4
    assert all(ends.keys() == pollers.REPORTED.keys() for ends in found.values())
    assert pollers.differences(found) == []


@pytest.mark.parametrize("mode", fuzz.MODES.values(), ids=fuzz.MODES)
async def test_schemathesis_finds_nothing(azurite: Any, mode: fuzz.Mode) -> None:
    assert await fuzz.run(mode, azurite, examples=3, seed=1) == ""
