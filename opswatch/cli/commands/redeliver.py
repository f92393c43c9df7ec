"""`opswatch redeliver`: sends deliveries again, under the same ids."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_SUCCESS, EXIT_USAGE
from opswatch.cli.failures import CommandError
from opswatch.cli.listing import SINCE_HELP
from opswatch.cli.operations import OPERATION_HELP, find_key, get_operation, operation_path, unknown
from opswatch.cli.pages import count_rows
from opswatch.cli.source import Source, Target, source_options, utc_now
from opswatch.cli.terminal import print_error, run_async
from opswatch.config import SERVICES
from opswatch.core.times import format_instant

_EXAMPLES = """\b
Examples:
  opswatch redeliver 6432a8f9
  opswatch redeliver 6432a8f9 --delivery msg_0123456789abcdef0123456789abcdef
  opswatch redeliver --state abandoned --since 1d --dry-run
  opswatch redeliver --state abandoned --host hooks.example.com --yes
"""


@click.command(epilog=f"{OPERATION_HELP}\n\n{_EXAMPLES}")
@click.argument("operations", metavar="[OPERATION]...", nargs=-1)
@click.option(
    "--delivery", metavar="msg_…", help="The one with this id of an OPERATION, even if it arrived."
)
@click.option("--state", type=click.Choice(["abandoned"]), help="All deliveries in this state.")
@click.option("--since", metavar="WHEN", help=f"Abandoned since: {SINCE_HELP}")
@click.option("--host", metavar="HOST", help="The host of the callback URL.")
@click.option("--abandoned-since", metavar="WHEN", hidden=True)
@click.option("--dry-run", is_flag=True, help="Only count them.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask: for scripts.")
@run_async
@source_options(needs=SERVICES)
async def command(  # noqa: PLR0913 - one for each option
    *,
    operations: tuple[str, ...],
    delivery: str | None,
    state: str | None,
    since: str | None,
    host: str | None,
    abandoned_since: str | None,
    dry_run: bool,
    yes: bool,
    target: Target,
) -> int:
    """Send deliveries again.

    Of an OPERATION those that have not arrived: an abandoned one begins its schedule again, and a
    pending one is sent now. With --state all that were abandoned, after a question, which --yes
    answers. Each keeps its id. The exit code is 1 if an operation has none to send.
    """
    if abandoned_since is not None:  # as it was called before
        state, since = "abandoned", abandoned_since
    if bool(operations) == bool(state):
        raise click.UsageError("Either an OPERATION or --state abandoned is needed")
    if delivery is not None and len(operations) != 1:
        raise click.UsageError("--delivery is of one OPERATION")
    if state is None and (since is not None or host is not None):
        raise click.UsageError("--since and --host go with --state")
    async with target.open() as source:
        if state is None:
            return await _send_of(source, operations, delivery, is_dry=dry_run)
        wanted = {"state": state, "until": format_instant(utc_now())}
        wanted |= {
            name: text for name, text in (("since", since), ("host", host)) if text is not None
        }
        return await _send_all(source, wanted, is_dry=dry_run, is_sure=yes)


async def _send_of(
    source: Source, operations: Sequence[str], delivery: str | None, *, is_dry: bool
) -> int:
    """Send the deliveries of some operations that have not arrived, or the one that is named."""
    keys = [await find_key(source, text) for text in operations]
    code = EXIT_SUCCESS
    for key in dict.fromkeys(keys):
        if is_dry:
            row = await get_operation(source, key)
            if row is None:
                raise unknown(key)
            sent = [
                each
                for each in row["deliveries"]
                if delivery == each["deliveryId"]
                or (delivery is None and each["state"] != "delivered")
            ]
        else:
            query = {} if delivery is None else {"delivery": delivery}
            answer = await source.call("POST", f"{operation_path(key)}/redeliver", query)
            sent = answer["value"]
        if sent:
            click.echo(f"{_queued(len(sent), is_dry=is_dry)} of {key}")
        else:
            print_error(
                f"{key} has no delivery that has not arrived; `opswatch show {key}` lists the "
                "others, and --delivery names one of them"
            )
            code = EXIT_FAILURE
    return code


async def _send_all(
    source: Source, wanted: Mapping[str, Any], *, is_dry: bool, is_sure: bool
) -> int:
    """Send every delivery that `wanted` selects; ask before, with their number.

    Its `until` leaves out what is abandoned again meanwhile: a receiver that refuses at once would
    be called without end.
    """
    if is_dry or not is_sure:
        count = await count_rows(source, "deliveries", wanted)
        if is_dry or not count:
            click.echo(_queued(count, is_dry=is_dry))
            return EXIT_SUCCESS
        question = f"{_counted(count)} would be sent again"
        if not sys.stdin.isatty():
            raise CommandError(
                f"{question}: this is no terminal to ask on, so add --yes, or --dry-run", EXIT_USAGE
            )
        if not click.confirm(f"{question}. Go on?", err=True):
            print_error("nothing was sent")
            return EXIT_FAILURE
    queued, has_more = 0, True
    while has_more:
        answer = await source.call("POST", "deliveries/redeliver", body=wanted)
        queued, has_more = queued + answer["count"], answer.get("more", False)
    click.echo(_queued(queued, is_dry=False))
    return EXIT_SUCCESS


def _queued(count: int, *, is_dry: bool) -> str:
    return f"{'would queue' if is_dry else 'queued'} {_counted(count)}"


def _counted(count: int) -> str:
    return f"{count} {'delivery' if count == 1 else 'deliveries'}"
