"""A message is a wake-up or a post, in either queue."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec
import pytest

from opswatch.core.errors import Reason
from opswatch.core.wakeups import WakeUp
from opswatch.steps.messages import deliveries_message, operations_message
from tests.support.harness import HOOK, KEY, Harness, wake_up_message


async def test_post_to_deliveries_queue_is_rejected(harness: Harness) -> None:
    harness.deliveries.post(b'{"operation": "x"}')
    await harness.pump()
    (rejected,) = harness.store.rejections.values()
    assert rejected.reason is Reason.UNKNOWN_SHAPE
    assert "'operations'" in rejected.detail


async def test_wake_up_with_other_properties_is_a_post(harness: Harness) -> None:
    body = json.loads(harness.post(HOOK)) | {"wake": {"partition": "p", "row": "r", "seq": 1}}
    await operations_message(harness.services, json.dumps(body).encode())
    assert harness.watch.facts.callbacks == (HOOK,)


async def test_wake_up_of_the_version_before_polls(harness: Harness) -> None:
    """Before batches, a message had one wake-up, and a wake-up had no due time."""
    await harness.watched()
    watch = harness.watch
    wake = {"partition": watch.key.partition, "row": watch.key.row, "seq": watch.seq}
    await operations_message(harness.services, msgspec.json.encode({"wake": wake}))
    assert (harness.watch.seq, harness.watch.facts.polls) == (watch.seq + 1, watch.facts.polls + 1)


@pytest.mark.parametrize("name", ["operations", "deliveries"])
async def test_failing_wake_up_stays_in_its_queue(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async def fail(_: object) -> None:
        raise ConnectionError

    wake = WakeUp(key=KEY, seq=1, due_at=harness.now)
    step, table = (
        (operations_message, harness.store.watches)
        if name == "operations"
        else (deliveries_message, harness.store.outbox)
    )
    monkeypatch.setattr(table, "get", fail)
    await step(harness.services, wake_up_message(wake))
    both = {"operations": harness.operations, "deliveries": harness.deliveries}
    found = {queue: harness.wake_ups(messages) for queue, messages in both.items()}
    assert found == {queue: [wake] * (queue == name) for queue in both}


async def test_post_is_work_under_way(harness: Harness) -> None:
    """What it writes may go together with what other messages write."""
    entered: list[int] = []

    @contextmanager
    def under_way() -> Iterator[None]:
        asked = len(harness.arm.asked)
        yield
        entered.append(len(harness.arm.asked) - asked)

    harness.services = replace(harness.services, under_way=under_way)
    await operations_message(harness.services, harness.registration_body())
    assert entered == [1]
