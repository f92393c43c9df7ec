"""Sockets that listen on loopback, for the programs of this machine."""

import errno
import os
import socket

from opswatch.core.errors import OpswatchError

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024


class PortError(OpswatchError):
    """A port cannot be listened on; the message says why, and what to do."""


def listen_on(port: int) -> socket.socket:
    """Return a socket that listens on loopback, on a free port for 0; raise `PortError`."""
    try:
        return socket.create_server((LOOPBACK, port), backlog=_BACKLOG)
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                reason = "is in use"
            case errno.EACCES:
                reason = "is for privileged users, or reserved by the system"
            case _:
                reason = f"cannot be used ({os.strerror(error.errno or 0)})"
        raise PortError(
            f"Port {port} {reason}: choose another one with --port (0 takes any free one)"
        ) from error
