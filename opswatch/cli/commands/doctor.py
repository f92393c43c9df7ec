"""`opswatch doctor`: prints the checks of `opswatch.health`, one line each."""

import click

from opswatch.bootstrap import open_services
from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_SUCCESS, EXIT_UNREACHABLE
from opswatch.cli.failures import AppUnreachableError
from opswatch.cli.source import Target, source_options
from opswatch.cli.terminal import Mark, Reporter, console, environment, reporter, run_async
from opswatch.config import TABLES
from opswatch.core.errors import ConfigError
from opswatch.core.texts import one_line
from opswatch.health import check_all

_EXAMPLES = """\b
Examples:
  opswatch doctor
"""


@click.command(epilog=_EXAMPLES)
@run_async
@source_options(needs={TABLES})
async def command(target: Target) -> int:
    """Check settings, storage, token and ARM.

    Reads only, and creates nothing. With --url the app checks what it needs itself. The exit code
    is 1 if any line begins with ✗.
    """
    report = reporter(console())
    if target.find_url(environment()) is not None:
        return await _ask_app(target, report)
    is_healthy = True
    try:
        async with open_services(environment()) as services:
            report(Mark.GOOD, "settings", f"valid; ARM is {services.intake.endpoint}")
            async for check in check_all(services):
                report(Mark.GOOD if check.is_good else Mark.BAD, check.topic, check.text)
                is_healthy = is_healthy and check.is_good
    except ConfigError as error:
        for problem in error.problems:
            report(Mark.BAD, "settings", problem)
        return EXIT_FAILURE
    return EXIT_SUCCESS if is_healthy else EXIT_FAILURE


async def _ask_app(target: Target, report: Reporter) -> int:
    async with target.open() as source:
        try:
            answer = await source.call("GET", "health/details")
        except AppUnreachableError as error:
            text = f"{error}; check the URL, and whether the app runs"
            report(Mark.BAD, "app", one_line(text))
            return EXIT_UNREACHABLE
    for check in answer["checks"]:
        mark = Mark.GOOD if check["isGood"] else Mark.BAD
        report(mark, one_line(check["topic"]), one_line(check["text"]))
    return EXIT_SUCCESS if answer["status"] == "healthy" else EXIT_FAILURE
