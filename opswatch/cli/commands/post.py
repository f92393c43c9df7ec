"""`opswatch post`: posts operations to the queue, as any other program does, or to an app."""

import asyncio
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import click

from opswatch.cli.exit_codes import EXIT_SUCCESS, EXIT_USAGE
from opswatch.cli.failures import CommandError, command_error
from opswatch.cli.output import note
from opswatch.cli.posts import Draft, NotSent, Outcome, Refused, Sent, send_all
from opswatch.cli.source import Source, Target, source_options
from opswatch.cli.terminal import environment, print_error, read_duration, run_async
from opswatch.cli.waiting import Wait, wait_for
from opswatch.config import QUEUES, SERVICES
from opswatch.core.intake import CALLBACK_ENDS
from opswatch.core.keys import Key
from opswatch.core.texts import from_json, one_line

_STDIN = "-"
_EPILOG = """OPERATION is an operation ID, an ARM path, a URL or a JSON object; or, of an operation
that is known, SUBSCRIPTION/KEY, and with --again a unique beginning of its ID. `-` reads one from
each line of the standard input.

\b
Examples:
  opswatch post 6432a8f9-0fe6-4339-9303-772c92f35d02
  opswatch post 6432a8f9-0fe6-4339-9303-772c92f35d02 --callback https://example.com/hook
  opswatch post 6432a8f9-0fe6-4339-9303-772c92f35d02 --callback-on Failed,Lost --timeout PT6H
  opswatch post '{"operation": "1b2c", "kind": "redisEnterprise/create"}' --client-state 42
  opswatch post 6432a8f9-0fe6-4339-9303-772c92f35d02 --wait --callbacks --wait-timeout 1h
  opswatch list --status Lost --since 1d -o name | opswatch post - --again
"""


def _ends(text: str) -> list[str]:
    """Read the ends that a callback gets, in any case; raise `click.BadParameter`."""
    known = {end.lower(): end for end in CALLBACK_ENDS}
    names = [part.strip() for part in text.split(",")]
    if wrong := [name for name in names if name.lower() not in known]:
        raise click.BadParameter(f"{wrong[0]!r} is none of {', '.join(CALLBACK_ENDS)}")
    return [known[name.lower()] for name in names]


def _json(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}") from error


@click.command(epilog=_EPILOG)
@click.argument("operation", nargs=-1, required=True)
@click.option("--callback", metavar="URL", help="Call this URL when the operation has ended.")
@click.option(
    "--callback-on", type=_ends, metavar="END,…", help="Call it for these ends only, e.g. Failed."
)
@click.option("--kind", help="A label for grouping, e.g. redisEnterprise/create.")
@click.option("--resource", metavar="ID", help="The resource that the operation works on.")
@click.option("--timeout", metavar="DURATION", help="Watch it no longer than this, e.g. PT6H.")
@click.option(
    "--client-state", type=_json, metavar="JSON", help="Copied into the row and the callback."
)
@click.option("--again", is_flag=True, help="Watch again what ended as Lost, TimedOut or Stopped.")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until they have ended, as `wait`.")
@click.option(
    "--callbacks", is_flag=True, help="With --wait: until the callbacks are settled, too."
)
@click.option(
    "--wait-timeout",
    type=read_duration,
    metavar="DURATION",
    help="With --wait: no longer than this, e.g. 10m (exit code 8).",
)
@click.option("--force", is_flag=True, help="Post it even if it will be rejected.")
@run_async
@source_options(needs={QUEUES})
async def command(  # noqa: PLR0913 - one for each option
    *,
    operation: tuple[str, ...],
    callback: str | None,
    callback_on: list[str] | None,
    kind: str | None,
    resource: str | None,
    timeout: str | None,  # noqa: ASYNC109 - of the watch
    client_state: Any,
    again: bool,
    is_waiting: bool,
    callbacks: bool,
    wait_timeout: timedelta | None,
    force: bool,
    target: Target,
) -> int:
    """Post operations to be watched.

    Prints the key of each. What would be rejected is not posted, and everything else is: the exit
    code is then 2. An operation is sent as the path that the settings make of it. Options replace
    what a JSON object has. With --wait the exit code is that of the worst end.
    """
    if wait_timeout is not None and not is_waiting:
        raise click.UsageError("--wait-timeout needs --wait; --timeout is the watch's")
    if callbacks and not is_waiting:
        raise click.UsageError("--callbacks needs --wait; --callback is a URL to call")
    added = {
        "callbackUrl": callback,
        "callbackOn": callback_on,
        "kind": kind,
        "resourceId": resource,
        "timeout": timeout,
        "clientState": client_state,
        "again": again or None,
    }
    options = {name: value for name, value in added.items() if value is not None}
    if is_waiting:  # posting alone needs no more than the queues
        target = replace(target, needs=SERVICES)
    drafts = await _read_drafts(operation)
    if not drafts:
        note("there is no line to post")
    async with target.open() as source:
        outcomes = send_all(source, drafts, options, is_forced=force, is_awaited=is_waiting)
        posted, has_refused = await _report(source, drafts, outcomes)
        code = EXIT_SUCCESS
        if is_waiting and posted:
            named: dict[Key, dict[str, Collection[str]]] = {}
            for key, sent in posted if callbacks else ():
                named.setdefault(key, {}).update(sent.callbacks)
            rounds = {key: sent.ended_round for key, sent in posted}
            wait = Wait(
                callbacks=callbacks,
                named_callbacks=named,
                timeout=wait_timeout,
                has_reached=True,
                ended_rounds=rounds,
            )
            code = (await wait_for(source, list(rounds), wait)).exit_code
    return EXIT_USAGE if has_refused else code


async def _read_drafts(texts: Sequence[str]) -> list[Draft]:
    """Return what is to be posted: each argument, and each line of the input for a `-`."""
    drafts: list[Draft] = []
    for text in texts:
        if text != _STDIN:
            drafts.append(Draft(repr(one_line(text, 60)), text))
            continue
        lines = (await asyncio.to_thread(sys.stdin.buffer.read)).split(b"\n")
        drafts += [
            Draft(f"line {number}", line.decode("utf-8", "surrogateescape"))
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]
    return drafts


async def _report(
    source: Source, drafts: Sequence[Draft], outcomes: AsyncIterator[Outcome]
) -> tuple[list[tuple[Key, Sent]], bool]:
    """Print what becomes of each post.

    Returns those that will be watched, and whether one was refused.
    """
    posted: list[tuple[Key, Sent]] = []
    sent, has_refused = 0, False
    async for outcome in outcomes:
        match outcome:
            case Sent(_, key, refusal):
                sent += 1
                click.echo("sent" if key is None else key)
                if key is not None:
                    posted.append((key, outcome))
                if refusal is not None:
                    print_error(f"it will be rejected: {refusal}")
            case Refused(draft, reason):
                has_refused = True
                print_error(reason if len(drafts) == 1 else f"{draft.name}: {reason}")
            case NotSent(draft, error):
                failed = command_error(error)
                if failed is None:
                    raise error
                if len(drafts) == 1:
                    raise failed
                raise CommandError(
                    f"{failed.message}\n{sent} of {len(drafts)} were sent. Post all of them again "
                    f"from {draft.name} on: those that were sent already are not changed",
                    failed.exit_code,
                )
    page = f"{source.base}/dashboard" if source.base else environment().get("OPSWATCH_PAGE", "")
    keys = {key for key, _ in posted}
    if page and keys:
        path = "".join(f"/{key.partition}/{key.row}" for key in keys) if len(keys) == 1 else ""
        note(f"{page}#/operations{path}")
    return posted, has_refused
