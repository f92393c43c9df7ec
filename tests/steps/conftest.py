"""The harness in which steps are tested, and how tests change its course."""

from collections.abc import Awaitable

import pytest

from opswatch.core.http import HttpResponse
from tests.support.harness import Harness, InterruptedStepError


@pytest.fixture
def harness() -> Harness:
    return Harness()


def answer(harness: Harness, *codes: int) -> None:
    """Let receivers answer with these status codes in turn, and then with the last."""
    remaining = list(codes)
    harness.callbacks.answer = lambda _: HttpResponse(
        remaining.pop(0) if len(remaining) > 1 else remaining[0], {}
    )


async def interrupt(harness: Harness, step: Awaitable[object], *, after: int) -> None:
    """Run a step and interrupt it after so many effects."""
    harness.effects.cut_after = len(harness.effects.names) + after
    with pytest.raises(InterruptedStepError):
        await step
    harness.effects.cut_after = None


def take_post(harness: Harness, callback_url: str, **more: object) -> bytes:
    """Post the operation, and take the message from the queue for the test to process."""
    body = harness.post(callback_url, **more)
    harness.operations.messages.popitem()
    return body


def live_rows(harness: Harness) -> list[object]:
    """Return the watches and the pending deliveries."""
    return [*harness.store.watches.values(), *harness.store.outbox.values()]
