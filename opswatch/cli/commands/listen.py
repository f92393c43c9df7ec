"""`opswatch listen`: a receiver on this machine, which prints the callbacks that it gets."""

import json
import shlex
from secrets import token_bytes
from typing import Any
from urllib.parse import urlsplit

import click

from opswatch.cli.exit_codes import EXIT_SUCCESS, EXIT_USAGE
from opswatch.cli.terminal import environment, print_error, run_async
from opswatch.cli.texts import short_instant
from opswatch.core import setting_values
from opswatch.core.errors import ConfigError
from opswatch.core.texts import one_line
from opswatch.core.webhook import Secret
from opswatch.local.listener import Listener, ReceivedCallback
from opswatch.local.ports import LOOPBACK, PortError
from opswatch.local.signals import stop_event

_SHOWN = 120  # characters of each fact
_SECRETS = "OPSWATCH_CALLBACK_SECRETS"
_EPILOG = """\b
Examples:
  opswatch listen
  opswatch listen --port 8080 --respond 503
  opswatch listen --forward-to http://localhost:3000/hook
  opswatch listen -o json
"""


def _forward_url(text: str) -> str:
    """Read the URL of a program that gets the callbacks; raise `click.BadParameter`."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not text.isascii() or any(c.isspace() for c in text):
        raise click.BadParameter(f"{text!r} is not a URL like http://localhost:3000/hook")
    return text


def _secrets(text: str) -> tuple[Secret, ...]:
    """Read secrets, separated by spaces; raise `click.BadParameter`."""
    try:
        return setting_values.secrets(text)
    except ValueError as error:
        raise click.BadParameter(f"{error} (`opswatch secret` makes one)") from error


@click.command(epilog=_EPILOG)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any free one."
)
@click.option(
    "--secret",
    "given",
    type=_secrets,
    metavar="whsec_…",
    help=f"What callbacks are signed with (default: {_SECRETS}, or a new one).",
)
@click.option(
    "--forward-to",
    type=_forward_url,
    metavar="URL",
    help="Pass genuine callbacks on, byte for byte, and answer as the program there does.",
)
@click.option(
    "--respond",
    type=click.IntRange(200, 599),
    metavar="CODE",
    help="Answer genuine callbacks with this status (default: 204).",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "jsonl"]),
    default="text",
    show_default=True,
    help="json, jsonl: an object in a line for each callback.",
)
@run_async
async def command(
    port: int,
    given: tuple[Secret, ...] | None,
    forward_to: str | None,
    respond: int | None,
    output: str,
) -> int:
    """Receive callbacks on this machine and print them.

    Prints first, on stderr, where it listens and the settings of an app that calls it. Then each
    callback in a line: its event, or why it is not genuine (which is answered with 401). Ends at
    Ctrl-C or SIGTERM.
    """
    secrets, origin = given or (), "--secret"
    if not secrets:
        secrets, origin = _configured(environment().get(_SECRETS, "").strip()), "as it is set here"
    if not secrets:
        secrets, origin = (Secret(token_bytes(32)),), "new: the app needs it"
    stopped = stop_event()
    failures: list[OSError] = []

    def report(received: ReceivedCallback) -> None:
        try:
            click.echo(as_text(received) if output == "text" else as_json(received))
        except OSError as error:  # the output is full, or its reader has gone
            failures.append(error)
            stopped.set()

    listener = Listener(secrets, report, port=port, forward_to=forward_to, respond=respond)
    try:
        async with listener:
            for line in settings_lines(listener.url, secrets, origin):
                click.echo(line, err=True)
            await stopped.wait()
    except PortError as error:
        print_error(str(error))
        return EXIT_USAGE
    for failure in failures:
        raise failure
    return EXIT_SUCCESS


def _configured(text: str) -> tuple[Secret, ...]:
    """Return the secrets of the settings; raise `ConfigError`."""
    if setting_values.is_unresolved(text):  # only the app can read it
        return ()
    try:
        return setting_values.secrets(text)
    except ValueError as error:
        raise ConfigError([f"{_SECRETS}: {error}"]) from error


def settings_lines(url: str, secrets: tuple[Secret, ...], origin: str) -> list[str]:
    """Return what a person, or a shell, needs to lead an app of this machine to `url`."""
    text = " ".join(secret.text for secret in secrets)
    return [
        f"# Listening on {url} until Ctrl-C. Settings of an app that calls it:",
        f"export OPSWATCH_CALLBACK_URL={url}",
        f"export OPSWATCH_CALLBACK_NETWORKS={LOOPBACK}/32",
        f"export {_SECRETS}={shlex.quote(text)}  # {origin}",
    ]


def as_text(received: ReceivedCallback) -> str:
    """Return a received callback as one line."""
    answer = f"answered {received.status_code}"
    if received.forward_error:
        answer += f" (not forwarded: {received.forward_error})"
    if received.attempt not in ("", "1"):
        answer = f"attempt {received.attempt}, {answer}"
    began = f"{short_instant(received.at)}  "
    if received.event is None:
        return f"{began}NOT GENUINE: {received.problem}; {answer}"
    event = received.event
    facts: dict[str, Any] = event["data"]
    words = [
        event["type"],
        facts.get("operationId"),
        facts.get("resourceId"),
        (facts.get("error") or {}).get("code") or facts.get("reason"),
    ]
    return f"{began}{'  '.join(one_line(str(word), _SHOWN) for word in words if word)}  {answer}"


def as_json(received: ReceivedCallback) -> str:
    """Return a received callback as a JSON object in one line."""
    value = {
        "receivedAt": short_instant(received.at),
        "isGenuine": received.event is not None,
        "problem": received.problem,
        "attempt": int(received.attempt) if received.attempt.isdecimal() else None,
        "statusCode": received.status_code,
        "forwardError": received.forward_error,
        "event": received.event,
    }
    return json.dumps(value)
