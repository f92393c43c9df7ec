"""An ARM simulator: it answers polls as Azure Resource Manager does, and issues tokens.

For the demo, for tests under load or over HTTP, and for experiments; never deployed.
"""

from opswatch.local.simulator.durations import parse_distribution
from opswatch.local.simulator.faults import (
    ClaimsChallenge,
    CutOff,
    Fault,
    FixedReply,
    HandOver,
    PollContext,
    Reply,
    Slow,
)
from opswatch.local.simulator.identity import TokenStatus
from opswatch.local.simulator.operations import Operation, StartedOperation
from opswatch.local.simulator.scenario import Envelope, Scenario, Style, respond
from opswatch.local.simulator.scripts import SCRIPTS, find_script
from opswatch.local.simulator.server import Simulator
from opswatch.local.simulator.throttle import Limit
from opswatch.local.simulator.timestamps import RetryAfter, TimestampFormat, WaitForm

__all__ = [
    "SCRIPTS",
    "ClaimsChallenge",
    "CutOff",
    "Envelope",
    "Fault",
    "FixedReply",
    "HandOver",
    "Limit",
    "Operation",
    "PollContext",
    "Reply",
    "RetryAfter",
    "Scenario",
    "Simulator",
    "Slow",
    "StartedOperation",
    "Style",
    "TimestampFormat",
    "TokenStatus",
    "WaitForm",
    "find_script",
    "parse_distribution",
    "respond",
]
