"""The messages that we send to ourselves, and the queues that carry them."""

from datetime import timedelta

import msgspec

from opswatch.core.model import Key, WakeUp
from opswatch.core.texts import to_json

OPERATIONS_QUEUE, DELIVERIES_QUEUE = QUEUES = ("operations", "deliveries")
MAX_DELAY = timedelta(days=7)  # that a queue can keep a message from being seen
POISON_SUFFIX = "-poison"  # the host's: where it puts messages that it gives up


class _Wake(msgspec.Struct, omit_defaults=True):
    partition: str
    row: str
    seq: int
    traceparent: str | None = None


class _WakeMessage(msgspec.Struct, forbid_unknown_fields=True):  # what says more was posted
    wake: _Wake  # not named like any trigger metadata, which it would overwrite


_decode_wake = msgspec.json.Decoder(_WakeMessage).decode


def wake_up_text(wake: WakeUp) -> str:
    """Return the message that wakes up a watch or a delivery."""
    body = _Wake(wake.key.partition, wake.key.row, wake.seq, wake.traceparent)
    return to_json(_WakeMessage(body))


def wake_up_from(body: bytes) -> WakeUp | None:
    """Return the wake-up that a message is, or None where it is something else."""
    try:
        wake = _decode_wake(body).wake
    except (ValueError, RecursionError):
        return None
    return WakeUp(Key(wake.partition, wake.row), wake.seq, wake.traceparent)
