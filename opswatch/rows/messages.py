"""The queues, and the messages that opswatch sends to itself through them."""

import msgspec

OPERATIONS_QUEUE, DELIVERIES_QUEUE = QUEUES = ("operations", "deliveries")
POISON_SUFFIX = "-poison"  # the host's: of the queue for messages that it gives up


class WakeUpFields(msgspec.Struct, omit_defaults=True):
    """The properties of a wake-up, as a message has them."""

    partition: str
    row: str
    seq: int
    traceparent: str | None = None


class WakeUpMessage(msgspec.Struct, forbid_unknown_fields=True):
    """A wake-up message; a message with any other property was posted by a user."""

    wake: WakeUpFields  # a name that no trigger metadata has: the host would overwrite it


decode_wake_up = msgspec.json.Decoder(WakeUpMessage).decode
encode_wake_up = msgspec.json.Encoder().encode
