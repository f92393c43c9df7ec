"""Wake-ups: reading them, and the row that one is for."""

from datetime import timedelta

import pytest

from opswatch.core.keys import Key, WakeUp
from opswatch.steps.wakeups import EARLY_DELAY, load_current_row, read_wake_up
from tests.support.harness import KEY, Harness, wake_up_message


@pytest.mark.parametrize(
    "wake", [WakeUp(Key("p", "r"), 1), WakeUp(Key("it's", "ünï~\n"), 2**31, "00-trace-span-01")]
)
def test_wake_up_is_read_as_it_was_sent(wake: WakeUp) -> None:
    assert read_wake_up(wake_up_message(wake)) == wake


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b"null", b"[]", b"{}", b'"wake"', b'{"operation": "x"}',
        b'{"wake": null}', b'{"wake": {"partition": "p", "row": "r"}}',
        b'{"wake": {"partition": "p", "row": "r", "seq": "1"}}',
        b'{"wake": {"partition": "p", "row": "r", "seq": 1}, "operation": "x"}',
        b'{"wake": ' + b"[" * 100_000,
    ],
    ids=lambda body: ascii(body[:60]),
)  # fmt: skip
def test_other_messages_are_no_wake_ups(body: bytes) -> None:
    assert read_wake_up(body) is None


async def test_early_wake_up_is_sent_again_with_its_trace(harness: Harness) -> None:
    await harness.watched()
    harness.operations.messages.clear()
    wake = WakeUp(KEY, 3, "trace")
    assert await load_current_row(harness.store.watches, harness.operations, wake) is None
    (message,) = harness.operations.messages.values()
    assert message.visible_at - harness.now == EARLY_DELAY == timedelta(seconds=5)
    assert harness.wake_ups(harness.operations) == [wake]


@pytest.mark.parametrize("wake", [WakeUp(KEY, 1), WakeUp(Key("no", "row"), 2)])
async def test_wake_up_without_work_is_dropped(harness: Harness, wake: WakeUp) -> None:
    await harness.watched()
    harness.operations.messages.clear()
    assert await load_current_row(harness.store.watches, harness.operations, wake) is None
    assert not harness.operations.messages


async def test_due_wake_up_gets_its_row(harness: Harness) -> None:
    watch = await harness.watched()
    row = await load_current_row(harness.store.watches, harness.operations, WakeUp(KEY, 2))
    assert row == await harness.store.watches.get(KEY)
    assert row is not None
    assert row.value == watch
