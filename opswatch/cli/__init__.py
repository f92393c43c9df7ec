"""The terminal: the group `opswatch`, which imports the module of a command when it is needed."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from opswatch.cli.exit_codes import (
    EXIT_INTERRUPTED,
    EXIT_SUCCESS,
    EXIT_UNREACHABLE,
    OUTPUT_ERRORS,
)

# name -> summary; `commands` has a module of that name, with the click command `command`
COMMANDS = {
    "dev": "Run the function app without Core Tools.",
    "simulate": "Run a simulated ARM.",
    "demo": "Run everything on this machine, from post to callback.",
    "post": "Post operations to be watched.",
    "wait": "Wait until operations have ended.",
    "show": "Show an operation and its deliveries.",
    "list": "List operations, newest first.",
    "tail": "Follow operations as they change.",
    "deliveries": "List deliveries of callbacks.",
    "rejections": "List rejected posts.",
    "kinds": "List kinds of operations and how long they take.",
    "summary": "Show what needs attention.",
    "stop": "Stop watching an operation.",
    "redeliver": "Send deliveries again.",
    "secret": "Generate a secret that callbacks are signed with.",
    "listen": "Receive callbacks on this machine and print them.",
    "verify": "Send a test event to a receiver and explain each layer.",
    "doctor": "Check settings, storage, token and ARM.",
    "completion": "Print the completion script of a shell.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    Without `argv` it is the process's own: its output is flushed here, where a full disk or a
    closed pipe is a line and not a traceback, and nothing that was left behind is waited for.
    """
    if argv is not None:
        return _run(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # What a command has left behind, such as a hung `az`, complains when its event loop is gone.
    sys.unraisablehook = lambda _: None
    try:
        code = _run(sys.argv[1:])
    except OSError as error:  # of the report of another one
        if error.errno not in OUTPUT_ERRORS:
            raise
        code = EXIT_UNREACHABLE
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        code = code or _report_output(error)
        _discard_output()
    if threading.active_count() > 1:  # such as the look-up of a name, which nothing can end
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(arguments: Sequence[str]) -> int:
    """Run one command; what it imports may be interrupted, too."""
    output = sys.stdout
    try:
        import click  # noqa: PLC0415 - see above

        from opswatch.cli.group import group  # noqa: PLC0415 - see above
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    try:
        code: Any = group.main([*arguments], prog_name="opswatch", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "opswatch"
        message = " ".join(error.format_message().split()).rstrip(".")
        click.echo(f"{message} (see `{command} --help`)", err=True)
        return error.exit_code
    except click.ClickException as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except OSError as error:
        if error.errno not in OUTPUT_ERRORS:
            raise
        return _report_output(error)
    except SystemExit as error:
        if sys.stdout is not output:  # click's way to end after a broken pipe
            sys.stdout = output
            return EXIT_SUCCESS
        code = error.code
    return EXIT_SUCCESS if code is None else int(code)


def _report_output(error: OSError) -> int:
    """Print that the output cannot be written; return the exit code."""
    with suppress(OSError):  # stderr may be on the same disk
        print(f"The output cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
    return EXIT_UNREACHABLE


def _discard_output() -> None:
    """Let the interpreter flush what is left to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
