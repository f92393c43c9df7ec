"""A stand-in for Azure Queue and Table Storage that is fast enough not to be what is measured.

It speaks the part of the REST protocol that opswatch uses, so that the real adapters talk to it;
signatures are not verified, and everything is kept in memory.
"""

from tests.support.storage.clock import SimulatedClock
from tests.support.storage.elsewhere import Elsewhere, stand_in_elsewhere
from tests.support.storage.server import StandIn, Storage, running_stand_in

__all__ = [
    "Elsewhere",
    "SimulatedClock",
    "StandIn",
    "Storage",
    "running_stand_in",
    "stand_in_elsewhere",
]
