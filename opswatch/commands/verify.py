"""`opswatch verify`: sends an `opswatch.test` event to a receiver and explains each layer."""

import argparse
import time
from datetime import UTC, datetime, timedelta
from secrets import token_bytes, token_hex

from rich.console import Console

from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.commands.probe import Network, reach
from opswatch.commands.terminal import (
    NOT_AS_WISHED,
    OK,
    Mark,
    Say,
    console,
    environment,
    run,
    since,
    teller,
)
from opswatch.config import STORAGE, Settings
from opswatch.core import webhook
from opswatch.core.deliveries import Delivery
from opswatch.core.http import CallbackRequest, HttpResponse, NoAnswer
from opswatch.core.keys import Key
from opswatch.core.policy import Policy
from opswatch.core.texts import one_line
from opswatch.core.webhook import Secret

_ORIGIN = "opswatch"
_SHOWN = 200  # characters of an answer
_NO_STORAGE = {STORAGE: "UseDevelopmentStorage=true"}  # none is needed, yet the settings demand it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `opswatch verify` to `parser`."""
    parser.add_argument("url", metavar="URL", help="a callback URL")
    parser.epilog = "The exit code is 0 if the receiver accepted the event, and 1 if not."


def command(options: argparse.Namespace) -> int:
    """Try a receiver out; return 1 unless it accepts the event."""
    return run(_verify(options.url))


async def _verify(url: str) -> int:
    out = console()
    settings = Settings.from_env(_NO_STORAGE | environment())
    secrets = settings.secrets or (_throw_away_secret(out),)
    return OK if await verify(url, settings, secrets, Network(), out) else NOT_AS_WISHED


def _throw_away_secret(out: Console) -> Secret:
    secret = Secret(token_bytes(32))
    out.print(f"No OPSWATCH_CALLBACK_SECRETS: signing with {secret.text}, made for this once.")
    return secret


async def verify(
    url: str, settings: Settings, secrets: tuple[Secret, ...], network: Network, out: Console
) -> bool:
    """Go through all layers to the receiver's answer; return whether it is an acceptance."""
    say = teller(out)
    answer: HttpResponse | NoAnswer | None = await reach(url, settings.rules, network, say)
    if answer is None:
        callbacks = HttpCallbacks(
            settings.rules,
            timeout=network.timeout,
            open_socket=network.open_socket,
            resolver=network.resolver,
            tls=network.tls,
        )
        try:
            await _ask_for_consent(callbacks, url, say)
            answer = await _post(callbacks, url, secrets, say)
        finally:
            await callbacks.close()
    reply = webhook.read_answer(answer, datetime.now(UTC))
    is_accepted = isinstance(reply, webhook.Accepted)
    say(Mark.GOOD if is_accepted else Mark.BAD, "verdict", _consequence(reply, settings.policy))
    return is_accepted


async def _ask_for_consent(callbacks: HttpCallbacks, url: str, say: Say) -> None:
    """Offer the handshake of CloudEvents' web hooks (section 4), which a receiver need not have."""
    began = time.perf_counter()
    request = CallbackRequest(url, {"WebHook-Request-Origin": _ORIGIN}, b"")
    match await callbacks.ask(request):
        case HttpResponse(headers={"webhook-allowed-origin": allowed}):
            mark = Mark.GOOD if allowed in ("*", _ORIGIN) else Mark.BAD
            say(mark, "OPTIONS", f"allows {one_line(allowed, _SHOWN)} ({since(began)})")
        case HttpResponse(status_code=code):
            say(Mark.ASIDE, "OPTIONS", f"{code}: no handshake, and none is needed ({since(began)})")
        case NoAnswer(layer, error):
            say(Mark.ASIDE, "OPTIONS", f"{layer}: {error} ({since(began)})")


async def _post(
    callbacks: HttpCallbacks, url: str, secrets: tuple[Secret, ...], say: Say
) -> HttpResponse | NoAnswer:
    now = datetime.now(UTC)
    delivery = _delivery(url, now)
    body = webhook.sample_event(delivery.delivery_id, now)
    began = time.perf_counter()
    answer = await callbacks.post(webhook.request(delivery, body, secrets, now))
    match answer:
        case HttpResponse(status_code=code, body=text):
            mark = Mark.GOOD if webhook.attempt_of(answer, now, 0).layer is None else Mark.BAD
            shown = one_line(text.decode("utf-8", "replace"), _SHOWN)
            say(mark, "POST", f"{code} ({since(began)}) {shown}".rstrip())
        case NoAnswer(layer, error):
            say(Mark.BAD, "POST", f"{layer}: {error} ({since(began)})")
    return answer


def _delivery(url: str, now: datetime) -> Delivery:
    """Return a delivery of the kind that no table holds."""
    nowhere = Key("-", "test")
    return Delivery(
        key=nowhere,
        operation=nowhere,
        delivery_id=f"msg_{token_hex(16)}",
        callback_url=url,
        started_at=now,
        next_attempt_at=now,
    )


def _consequence(reply: webhook.Reply, policy: Policy) -> str:
    """Say what opswatch would do after such an answer to a first attempt."""
    match reply:
        case webhook.Accepted():
            return "delivered"
        case webhook.Final(reason):
            return f"abandoned at once: {reason}"
        case webhook.Unacceptable(reason):
            return f"abandoned after {webhook.MAX_UNACCEPTABLE} attempts: {reason}"
        case webhook.Failed(reason, floor, asked):
            schedule = policy.callback_schedule
            wait = max(asked or timedelta(0), min(floor, max(schedule)))
            soonest = f", no sooner than in {wait}" if wait else ""
            return (
                f"tried again{soonest}, {len(schedule)} times in all over "
                f"{sum(schedule, timedelta(0))}: {reason}"
            )
