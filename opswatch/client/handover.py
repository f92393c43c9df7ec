"""Handing an operation over, in any form that names it."""

from dataclasses import dataclass
from typing import Any

from opswatch.client.connection import Connection
from opswatch.client.polling import DurablePolling
from opswatch.client.posts import Options, ended_row, operation_of, own_polling
from opswatch.client.row import OperationRow
from opswatch.client.source import Posted
from opswatch.core.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """What has become of an operation that was handed over."""

    key: Key
    posted: Posted | None = None
    ended: OperationRow | None = None  # if it had ended, and nothing was posted


async def hand_over(connection: Connection, operation: Any, options: Options) -> HandedOver:
    """Post what `operation` names, unless it has ended; a poller of ours has posted it already.

    Raise `ValueError` if it names no operation.
    """
    ended = ended_row(operation)
    if ended is not None:
        return HandedOver(key=Key(ended.subscription_id, ended.key), ended=ended)
    polling = own_polling(operation)
    if isinstance(polling, DurablePolling):
        if options == Options():
            return HandedOver(key=polling.key, posted=polling.posted.result())
        text = await polling.url()
    else:
        text, request = operation_of(operation)
        options = options.about(request)
    posted = await connection.post(text, options)
    return HandedOver(key=posted.key, posted=posted)
