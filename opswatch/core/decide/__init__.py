"""The verbs: what follows from a message's fence number, from a poll, and from an attempt."""

from opswatch.core.decide.deliveries import (
    Retry,
    Settle,
    abandon,
    after_attempt,
    has_waited_enough,
    is_settled,
    owe,
    postpone,
    replay,
    rewake_delivery,
    wait_for_host,
)
from opswatch.core.decide.fence import (
    NOT_YET_DELAY,
    OVERDUE_GRACE,
    Fence,
    fence,
)
from opswatch.core.decide.watches import (
    Action,
    Finish,
    Wait,
    after_poll,
    begin,
    line_of,
    result_of,
    rewake_watch,
    stop,
)

__all__ = [
    "NOT_YET_DELAY",
    "OVERDUE_GRACE",
    "Action",
    "Fence",
    "Finish",
    "Retry",
    "Settle",
    "Wait",
    "abandon",
    "after_attempt",
    "after_poll",
    "begin",
    "fence",
    "has_waited_enough",
    "is_settled",
    "line_of",
    "owe",
    "postpone",
    "replay",
    "result_of",
    "rewake_delivery",
    "rewake_watch",
    "stop",
    "wait_for_host",
]
