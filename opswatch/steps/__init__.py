"""The steps: each reads its inputs, asks `core` what follows, and applies the answer.

The order of effects within a step is what keeps watches from being lost: a successor is sent
before the row that makes it valid is committed, and an end is kept before anything follows from it.
"""

from opswatch.steps.deliver import deliver
from opswatch.steps.finish import finish
from opswatch.steps.messages import deliveries_message, operations_message
from opswatch.steps.poll import poll
from opswatch.steps.purge import purge
from opswatch.steps.reconcile import reconcile
from opswatch.steps.redeliver import redeliver, redeliver_abandoned
from opswatch.steps.register import register, reject
from opswatch.steps.stop import Stopping, stop

__all__ = [
    "Stopping",
    "deliver",
    "deliveries_message",
    "finish",
    "operations_message",
    "poll",
    "purge",
    "reconcile",
    "redeliver",
    "redeliver_abandoned",
    "register",
    "reject",
    "stop",
]
