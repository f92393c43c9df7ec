"""A message is a wake-up or a post, in either queue."""

import json

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
