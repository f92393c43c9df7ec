"""An ARM simulator: answers status polls as Azure Resource Manager does, tokens included.

Never deployed; for the demo, for tests under load or over HTTP, and for one's own experiments.
"""

from opswatch.local.simulator.clock import ManualClock
from opswatch.local.simulator.durations import parse_draw
from opswatch.local.simulator.faults import (
    ClaimsChallenge,
    CutOff,
    Fault,
    HandOver,
    Moment,
    Reply,
    Slow,
    Told,
)
from opswatch.local.simulator.identity import Verdict
from opswatch.local.simulator.life import Envelope, Life, Style, tell
from opswatch.local.simulator.operations import Operation, StartedOperation
from opswatch.local.simulator.scripts import SCRIPTS, find_script, lasting
from opswatch.local.simulator.server import Simulator
from opswatch.local.simulator.stamps import RetryAfter, Stamp, WaitForm
from opswatch.local.simulator.throttle import Limit

__all__ = [
    "SCRIPTS",
    "ClaimsChallenge",
    "CutOff",
    "Envelope",
    "Fault",
    "HandOver",
    "Life",
    "Limit",
    "ManualClock",
    "Moment",
    "Operation",
    "Reply",
    "RetryAfter",
    "Simulator",
    "Slow",
    "Stamp",
    "StartedOperation",
    "Style",
    "Told",
    "Verdict",
    "WaitForm",
    "find_script",
    "lasting",
    "parse_draw",
    "tell",
]
