"""`opswatch verify`: sends an `opswatch.test` event to a receiver and explains each layer."""

import time
from datetime import UTC, datetime, timedelta
from secrets import token_bytes, token_hex

import click
from rich.console import Console

from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.cli.exit_codes import EXIT_FAILURE, EXIT_SUCCESS
from opswatch.cli.output import span
from opswatch.cli.probe import Network, reach
from opswatch.cli.terminal import Mark, Reporter, console, elapsed, environment, reporter, run_async
from opswatch.config import STORAGE, Settings
from opswatch.core import webhook
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.policy import Policy
from opswatch.core.texts import one_line
from opswatch.core.webhook import Secret

_ORIGIN = "opswatch"
_SHOWN = 200  # characters of an answer
_NO_STORAGE = {STORAGE: "UseDevelopmentStorage=true"}  # not used, but the settings require one


_EXAMPLES = """\b
Examples:
  opswatch verify https://example.com/hook
"""


@click.command(epilog=_EXAMPLES)
@click.argument("url")
@run_async
async def command(url: str) -> int:
    """Send a test event to a receiver and explain each layer.

    The exit code is 0 if the receiver accepted the event, and 1 if not.
    """
    out = console()
    settings = Settings.from_env(_NO_STORAGE | environment())
    secrets = settings.secrets
    if not secrets:
        secrets = (Secret(token_bytes(32)),)
        text = secrets[0].text
        out.print(f"No OPSWATCH_CALLBACK_SECRETS: signing with {text}, generated for this test.")
    is_accepted = await verify(url, settings, secrets, Network(), out)
    return EXIT_SUCCESS if is_accepted else EXIT_FAILURE


async def verify(
    url: str, settings: Settings, secrets: tuple[Secret, ...], network: Network, out: Console
) -> bool:
    """Go through all layers to the receiver's answer; return whether it accepts the event."""
    report = reporter(out)
    answer: HttpResponse | NoAnswer | None = await reach(url, settings.rules, network, report)
    if answer is None:
        callbacks = HttpCallbacks(
            settings.rules,
            timeout=network.timeout,
            open_socket=network.open_socket,
            resolver=network.resolver,
            tls=network.tls,
        )
        try:
            await _ask_for_consent(callbacks, url, report)
            answer = await _post(callbacks, url, secrets, report)
        finally:
            await callbacks.close()
    reply = webhook.read_answer(answer, datetime.now(UTC))
    is_accepted = isinstance(reply, webhook.Accepted)
    report(Mark.GOOD if is_accepted else Mark.BAD, "verdict", _verdict(reply, settings.policy))
    return is_accepted


async def _ask_for_consent(callbacks: HttpCallbacks, url: str, report: Reporter) -> None:
    """Offer the handshake of CloudEvents' web hooks (section 4), which a receiver may not have."""
    began = time.perf_counter()
    request = CallbackRequest(url, {"WebHook-Request-Origin": _ORIGIN}, b"")
    match await callbacks.ask(request):
        case HttpResponse(headers={"webhook-allowed-origin": allowed}):
            mark = Mark.GOOD if allowed in ("*", _ORIGIN) else Mark.BAD
            report(mark, "OPTIONS", f"allows {one_line(allowed, _SHOWN)} ({elapsed(began)})")
        case HttpResponse(status_code=code):
            text = f"{code}: no handshake, and none is required ({elapsed(began)})"
            report(Mark.INFO, "OPTIONS", text)
        case NoAnswer(layer, error):
            report(Mark.INFO, "OPTIONS", f"{layer}: {error} ({elapsed(began)})")


async def _post(
    callbacks: HttpCallbacks, url: str, secrets: tuple[Secret, ...], report: Reporter
) -> HttpResponse | NoAnswer:
    """Send the event as a first attempt, and report the answer."""
    now = datetime.now(UTC)
    message_id = f"msg_{token_hex(16)}"
    body = webhook.sample_event(message_id, now)
    began = time.perf_counter()
    answer = await callbacks.post(webhook.request(url, message_id, body, secrets, now))
    match answer:
        case HttpResponse(status_code=code, body=text):
            mark = Mark.GOOD if webhook.attempt_of(answer, now, 0).layer is None else Mark.BAD
            shown = one_line(text.decode("utf-8", "replace"), _SHOWN)
            report(mark, "POST", f"{code} ({elapsed(began)}) {shown}".rstrip())
        case NoAnswer(layer, error):
            report(Mark.BAD, "POST", f"{layer}: {error} ({elapsed(began)})")
    return answer


def _verdict(reply: webhook.Reply, policy: Policy) -> str:
    """Return what opswatch would do after such an answer to a first attempt."""
    match reply:
        case webhook.Accepted():
            return "delivered"
        case webhook.Final(reason):
            return f"abandoned at once: {reason}"
        case webhook.Unacceptable(reason):
            return f"abandoned after {webhook.MAX_UNACCEPTABLE} attempts: {reason}"
        case webhook.Failed(reason, floor, retry_after):
            schedule = policy.callback_schedule
            wait = max(retry_after or timedelta(0), min(floor, max(schedule)))
            earliest = f", in {span(wait)} at the earliest" if wait else ""
            whole = sum(schedule, timedelta(0))
            return f"retried{earliest}, up to {len(schedule)} attempts over {span(whole)}: {reason}"
