"""What a message's number means beside that of the live row, in both chains."""

from datetime import timedelta
from enum import Enum, auto

# By which a row may be overdue before its wake-up counts as lost: longer than the slowest step.
OVERDUE_GRACE = timedelta(minutes=2)
NOT_YET_DELAY = timedelta(seconds=5)


class Fence(Enum):
    """What a message's number means beside the row's."""

    WORK = auto()
    DROP = auto()  # the row has moved on: a duplicate
    NOT_YET = auto()  # the row's commit is under way, or was cut off: come again


def fence(message_seq: int, row_seq: int) -> Fence:
    """Compare a wake-up's number with that of its live row."""
    if message_seq == row_seq:
        return Fence.WORK
    return Fence.DROP if message_seq < row_seq else Fence.NOT_YET
