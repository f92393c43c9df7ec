"""`opswatch`: the terminal. Each command is a module with `add_arguments` and `command`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

_COMMANDS = {
    "dev": ("opswatch.local.host.dev", "run the function app as the Functions host would"),
    "simulate": ("opswatch.local.simulator.command", "run a simulated ARM"),
    "post": ("opswatch.commands.post", "post an operation, to be watched to its end"),
    "show": ("opswatch.commands.show", "show an operation and its deliveries"),
    "list": ("opswatch.commands.list", "list operations, newest first"),
    "tail": ("opswatch.commands.tail", "follow operations as they change"),
    "cancel": ("opswatch.commands.cancel", "stop watching an operation"),
    "redeliver": ("opswatch.commands.redeliver", "replay settled deliveries"),
    "secret": ("opswatch.commands.secret", "make a secret that callbacks are signed with"),
    "verify": ("opswatch.commands.verify", "try a receiver out, layer by layer"),
    "doctor": ("opswatch.commands.doctor", "check settings, storage, token and ARM"),
    "demo": ("opswatch.local.demo.command", "see everything at work, from post to callback"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    chosen = _parser().parse_args(arguments[:1]).command
    module = import_module(_COMMANDS[chosen][0])  # only now: some of them import a lot
    parser = argparse.ArgumentParser(prog=f"opswatch {chosen}", description=_COMMANDS[chosen][1])
    module.add_arguments(parser)
    code: int = module.command(parser.parse_args(arguments[1:]))
    return code


def _parser() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {name:10} {text}" for name, (_, text) in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="opswatch",
        description="Watches Azure Resource Manager operations to their end, and calls you back.",
        epilog=f"commands:\n{lines}\n\n`opswatch COMMAND --help` says the rest.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="COMMAND", help="see below")
    return parser


if __name__ == "__main__":
    sys.exit(main())
