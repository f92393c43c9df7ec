"""`opswatch wait`: waits until operations have ended."""

import time
from contextlib import suppress
from datetime import timedelta
from math import inf

import click

from opswatch.cli.columns import operation_columns
from opswatch.cli.operations import OPERATION_HELP, find_key, key_of
from opswatch.cli.output import Output, output_options
from opswatch.cli.source import Target, source_options, time_limit
from opswatch.cli.terminal import read_duration, run_async
from opswatch.cli.waiting import Wait, wait_for
from opswatch.config import TABLES
from opswatch.core.intake import CALLBACK_ENDS

_LAST_LOOK = timedelta(milliseconds=1)  # zero would look without a limit
_EXAMPLES = """\b
Examples:
  opswatch wait 6432a8f9
  opswatch wait 6432a8f9 --timeout PT1H --callbacks
  opswatch wait 6432a8f9 --callback https://example.com/hook
  opswatch wait 6432a8f9 1b2c3d4e --any -o json
  opswatch wait 6432a8f9 --timeout 0
"""


@click.command(epilog=f"{OPERATION_HELP}\n\n{_EXAMPLES}")
@click.argument("operations", metavar="OPERATION...", nargs=-1, required=True)
@click.option("--any", "any_of_them", is_flag=True, help="Until the first one has ended.")
@click.option(
    "--callbacks", is_flag=True, help="Until the callbacks that they have by then are settled, too."
)
@click.option(
    "--callback",
    "callback_urls",
    metavar="URL",
    multiple=True,
    help="Until this callback is settled, too, even if its post has not been read yet.",
)
@click.option(
    "--timeout",
    type=read_duration,
    metavar="DURATION",
    help="No longer than this: PT1H, 90s, 10m; 0 looks once.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="The pause between two looks (1 s at first, later up to 5 s).",
)
@run_async
@output_options
@source_options(needs={TABLES})
async def command(  # noqa: PLR0913 - as many options
    operations: tuple[str, ...],
    *,
    any_of_them: bool,
    callbacks: bool,
    callback_urls: tuple[str, ...],
    timeout: timedelta | None,  # noqa: ASYNC109 - of the wait
    every: float | None,
    output: Output,
    target: Target,
) -> int:
    """Wait until operations have ended.

    Progress is printed on stderr. An outage of up to 10 minutes is ridden out. The exit code is
    that of the worst end: 0 Succeeded, 1 Failed (or a callback that is waited for was abandoned),
    3 Canceled or Stopped, 4 TimedOut or Lost; 8 if --timeout passed before.

    What was posted just now may be in the queue yet. A callback that was added is waited for by
    --callback, and not by --callbacks. An end that `post --again` is to replace counts until then:
    `post --again --wait` waits for the next one.
    """
    began = time.monotonic()
    async with target.open() as source:
        async with time_limit(timeout.total_seconds() if timeout else inf, source.base):
            keys = [await find_key(source, text, may_be_new=True) for text in operations]
        if timeout:
            timeout = max(timeout - timedelta(seconds=time.monotonic() - began), _LAST_LOOK)
        wait = Wait(
            any_of_them=any_of_them,
            callbacks=callbacks,
            named_callbacks=dict.fromkeys(keys, dict.fromkeys(callback_urls, CALLBACK_ENDS)),
            timeout=timeout,
            every=every,
        )
        waited = await wait_for(source, list(dict.fromkeys(keys)), wait)
    with suppress(BrokenPipeError):  # the exit code is what counts
        output.print_rows(waited.rows, operation_columns(waited.rows), lambda row: str(key_of(row)))
    return waited.exit_code
