"""The memory and CPU that a process has used, as Linux reports them."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

_MB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The memory and CPU that a process has used up to now."""

    resident: float  # MB
    cpu: float  # seconds, of user and system
    blocks: int  # of Python's allocator, in this process


def usage(pid: int | str = "self") -> Usage:
    """Return what a process has used; `blocks` are always of this process."""
    process = Path("/proc") / str(pid)
    pages = int((process / "statm").read_text().split()[1])
    # The fields after the program's name, which may hold spaces: utime and stime are 14 and 15.
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Usage(
        resident=pages * os.sysconf("SC_PAGE_SIZE") / _MB,
        cpu=ticks / os.sysconf("SC_CLK_TCK"),
        blocks=sys.getallocatedblocks(),
    )
