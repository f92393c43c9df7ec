"""The exit codes of every command."""

import errno
from collections.abc import Iterable, Mapping
from types import MappingProxyType

EXIT_SUCCESS = 0  # done; of an operation that is waited for: Succeeded
EXIT_FAILURE = 1  # Failed; of a check: not as it should be
EXIT_USAGE = 2  # of wrong settings and of an unknown operation, too; click's code for an argument
EXIT_CANCELED = 3  # Canceled or Stopped
EXIT_LOST = 4  # TimedOut or Lost: no end is known
EXIT_NOT_ALLOWED = 5  # 401, 403, or no sign-in
EXIT_UNREACHABLE = 6  # could not look
EXIT_RUNNING = 8  # still running when --timeout passed
EXIT_INTERRUPTED = 130  # 128 and the number of SIGINT

EXIT_CODES: Mapping[int, str] = MappingProxyType(
    {
        EXIT_SUCCESS: "succeeded, or done",
        EXIT_FAILURE: "Failed; a check found a fault",
        EXIT_USAGE: "wrong usage or settings, or no such operation",
        EXIT_CANCELED: "Canceled or Stopped",
        EXIT_LOST: "TimedOut or Lost",
        EXIT_NOT_ALLOWED: "not allowed: 401, 403, or no sign-in",
        EXIT_UNREACHABLE: "could not look (no answer, no app has run there) or print (full disk)",
        EXIT_RUNNING: "still running when --timeout passed",
        EXIT_INTERRUPTED: "interrupted",
    }
)
# Of an OSError: the output cannot be written. It ends with EXIT_UNREACHABLE: 1 would mean Failed.
OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_OF_STATUS: Mapping[str, int] = MappingProxyType(
    {
        "Succeeded": EXIT_SUCCESS,
        "Failed": EXIT_FAILURE,
        "Canceled": EXIT_CANCELED,
        "Stopped": EXIT_CANCELED,
        "TimedOut": EXIT_LOST,
        "Lost": EXIT_LOST,
    }
)
_WORST_FIRST = (EXIT_FAILURE, EXIT_LOST, EXIT_CANCELED, EXIT_RUNNING, EXIT_SUCCESS)


def exit_code_of(statuses: Iterable[str]) -> int:
    """Return the exit code for operations with these statuses: that of the worst end.

    A status that is no end means that the operation is still running.
    """
    codes = {_OF_STATUS.get(status, EXIT_RUNNING) for status in statuses}
    return next((code for code in _WORST_FIRST if code in codes), EXIT_SUCCESS)
