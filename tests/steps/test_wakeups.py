"""The fence: which wake-up finds its row, which is dropped as stale, and which is early."""

import logging
from datetime import timedelta

import pytest

from opswatch.core.keys import WakeUp
from opswatch.steps.maintenance import OVERDUE_GRACE
from opswatch.steps.wakeups import EARLY_DELAY, load_current_row, send_wake_up
from tests.support.builders import KEY, watch
from tests.support.cases import cases
from tests.support.harness import Harness

WATCH = watch(seq=3)


@cases(
    "seq, event",
    {
        "equal": (3, None),
        "older by one": (2, "opswatch.stale_wakeup"),
        "much older": (0, "opswatch.stale_wakeup"),
        "newer by one": (4, "opswatch.early_wakeup"),
        "much newer": (9, "opswatch.early_wakeup"),
    },
)
async def test_seq_decides_what_a_wake_up_does(
    harness: Harness, caplog: pytest.LogCaptureFixture, seq: int, event: str | None
) -> None:
    caplog.set_level(logging.INFO, logger="opswatch")
    await harness.store.watches.insert(WATCH)
    wake = WakeUp(KEY, seq, "00-a-b-00")
    row = await load_current_row(harness.store.watches, harness.operations, wake)
    assert (row and row.value) == (WATCH if event is None else None)
    assert [vars(record)["event"] for record in caplog.records] == ([event] if event else [])
    # An early wake-up is sent again, as it was; nothing else is.
    is_early = event == "opswatch.early_wakeup"
    assert harness.wake_ups(harness.operations) == ([wake] if is_early else [])
    visible_at = [message.visible_at for message in harness.operations.messages.values()]
    assert visible_at == ([harness.now + EARLY_DELAY] if is_early else [])


async def test_wake_up_without_a_row_is_dropped(harness: Harness) -> None:
    wake = WakeUp(KEY, 1)
    assert await load_current_row(harness.store.watches, harness.operations, wake) is None
    assert harness.operations.messages == {}


def test_early_wake_up_returns_before_the_repair() -> None:
    assert EARLY_DELAY.total_seconds() > 0
    assert EARLY_DELAY < OVERDUE_GRACE


@pytest.mark.parametrize(
    ("seconds", "whole"), [(0, 0), (0.001, 1), (1, 1), (1.0001, 2), (59.5, 60), (-3, 0)]
)
async def test_delay_is_rounded_up_to_seconds(harness: Harness, seconds: float, whole: int) -> None:
    await send_wake_up(harness.operations, KEY, 1, None, timedelta(seconds=seconds))
    (message,) = harness.operations.messages.values()
    assert message.visible_at == harness.now + timedelta(seconds=whole)


async def test_delay_is_at_most_a_queues(harness: Harness) -> None:
    """A row may be due later: such as one that a clock that is ahead has written."""
    await send_wake_up(harness.operations, KEY, 1, None, timedelta(days=8))
    (message,) = harness.operations.messages.values()
    assert message.visible_at - harness.now == timedelta(days=7)
