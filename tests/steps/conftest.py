"""The harness in which steps are tested, and how a step is interrupted."""

from collections.abc import Awaitable

import pytest

from tests.support.harness import Harness, InterruptedStepError


@pytest.fixture
def harness() -> Harness:
    return Harness()


async def interrupt(harness: Harness, step: Awaitable[object], *, after: int) -> None:
    """Run a step and interrupt it after so many effects."""
    harness.effects.cut_after = len(harness.effects.names) + after
    with pytest.raises(InterruptedStepError):
        await step
    harness.effects.cut_after = None
