"""A message is a wake-up or a post, in either queue."""

import json

import msgspec

from opswatch.core.errors import Reason
from opswatch.steps.messages import operations_message
from tests.support.harness import HOOK, Harness


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
