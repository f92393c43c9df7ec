"""`opswatch post`: posts an operation to the queue, as any user of the queue does."""

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from opswatch.adapters.storage import create_missing
from opswatch.bootstrap import intake_of, open_account
from opswatch.commands.terminal import (
    MISUSED,
    OK,
    UsageError,
    complain,
    console,
    environment,
    run,
)
from opswatch.commands.views import key_text
from opswatch.config import Settings
from opswatch.core.intake import Rejection
from opswatch.rows.messages import OPERATIONS_QUEUE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch post` to `parser`."""
    parser.add_argument(
        "operation", metavar="OPERATION", help="an operation ID, ARM path, URL or JSON object"
    )
    parser.add_argument("--callback", metavar="URL", help="whom to call when it has ended")
    parser.add_argument("--timeout", metavar="PT6H", help="how long to watch it")
    parser.add_argument("--kind", help="the class of operations whose durations it shares")
    parser.add_argument("--client-state", metavar="JSON", help="echoed in the row and the callback")
    parser.add_argument(
        "--force", action="store_true", help="send it although it would be rejected"
    )


def command(options: argparse.Namespace) -> int:
    """Post an operation; return 2 for one that would be rejected."""
    return run(_post(options))


async def _post(options: argparse.Namespace) -> int:
    env = environment()
    settings = Settings.from_env(env)
    text = _message(options)
    read = intake_of(settings).read(text.encode(), datetime.now(UTC))
    if isinstance(read, Rejection):
        complain(f"{read.reason}: {read.detail}")
        if not options.force:
            return MISUSED
    async with open_account(settings, env) as account:
        queue = account.queue(OPERATIONS_QUEUE)
        await create_missing(account, [OPERATIONS_QUEUE], [])
        await queue.send_message(text, time_to_live=-1)
    console().print("sent" if isinstance(read, Rejection) else key_text(read.operation.key))
    return OK


def _message(options: argparse.Namespace) -> str:
    """Return what is posted: the operation as it was given, with what the options add to it."""
    added = {
        "callbackUrl": options.callback,
        "timeout": options.timeout,
        "kind": options.kind,
        "clientState": _json("--client-state", options.client_state),
    }
    given = {name: value for name, value in added.items() if value is not None}
    text: str = options.operation
    if not given:
        return text
    if not text.lstrip().startswith("{"):
        return json.dumps({"operation": text.strip(), **given})
    return json.dumps({**_json("OPERATION", text), **given})


def _json(name: str, text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise UsageError(f"{name}: not JSON: {error}") from error
