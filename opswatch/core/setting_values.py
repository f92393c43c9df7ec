"""The text of each setting becomes a value, or a `ValueError` that says what it should be."""

import re
from collections.abc import Callable, Collection
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from opswatch.core.callback_policy import is_loopback_host
from opswatch.core.policy import DEFAULT_CALLBACK_SCHEDULE, MAX_DELAY
from opswatch.core.times import parse_duration
from opswatch.core.webhook import Secret

# With 20 % of jitter a gap stays within what a queue can wait, which is seven days.
_LONGEST_GAP = timedelta(days=5)
_VAULT_REFERENCE = "@microsoft.keyvault("
_ORIGIN = re.compile(
    r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?", re.IGNORECASE | re.ASCII
)


def is_unresolved(text: str) -> bool:
    """Return whether a setting is a reference to a vault's secret.

    The platform replaces a reference by the secret; if it cannot, the app sees the reference.
    https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
    """
    return text.lower().startswith(_VAULT_REFERENCE)


def one_of(choices: Collection[str]) -> Callable[[str], str]:
    """Return a reader of one of `choices`, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text.lower()

    return parse


def segment(text: str) -> str:
    """Return one segment of a URL's path, which a setting may fill in."""
    if re.search(r"[/\\?#%&]|[^ -~]", text):
        raise ValueError(f"{text!r} holds a character that has no place in a URL's segment")
    return text


def arm_endpoint(text: str) -> str:
    """Return the scheme and host of an ARM endpoint, in lower case."""
    if not _ORIGIN.fullmatch(text):  # not quoted: it may hold a password
        raise ValueError("not https:// and a host, and nothing more")
    parts = urlsplit(text.lower())
    parts.port  # noqa: B018 - raises ValueError if there is no such port
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        raise ValueError("http is for a loopback host only: the token would travel in the clear")
    return f"{parts.scheme}://{parts.netloc}"


def _duration(text: str) -> timedelta:
    duration = parse_duration(text)
    if duration is None:
        raise ValueError(f"{text!r} is not an ISO 8601 duration such as PT5M")
    return duration


def between(least: timedelta, most: timedelta) -> Callable[[str], timedelta]:
    """Return a reader of an ISO 8601 duration within bounds."""

    def parse(text: str) -> timedelta:
        duration = _duration(text)
        if not least <= duration <= most:
            raise ValueError(f"{text!r} is not between {least} and {most}")
        return duration

    return parse


def whole_seconds(text: str) -> timedelta:
    """Return a duration that a queue can wait."""
    duration = between(timedelta(seconds=1), MAX_DELAY)(text)
    if duration.microseconds:
        raise ValueError(f"{text!r} is not whole seconds, which is all that a queue can wait")
    return duration


def positive(text: str) -> float:
    """Return a positive number."""
    number = float(text)
    if not 0 < number < 1e6:  # noqa: PLR2004 - a day is 86,400 s
        raise ValueError(f"{text!r} is not a positive number")
    return number


def schedule(text: str) -> tuple[timedelta, ...]:
    """Return the gaps before each attempt."""
    if not text:
        return DEFAULT_CALLBACK_SCHEDULE
    try:
        gaps = tuple(timedelta(seconds=float(part)) for part in text.split(","))
    except OverflowError:
        raise ValueError("a gap is no span of time") from None
    if not all(timedelta(0) <= gap <= _LONGEST_GAP for gap in gaps):
        raise ValueError("a gap is between 0 s and 5 days")
    return gaps


def host_patterns(text: str) -> tuple[str, ...]:
    """Return patterns of host names, in lower case."""
    patterns = tuple(part.strip().lower().rstrip(".") for part in text.split(",") if part.strip())
    for pattern in patterns:
        if not re.fullmatch(r"[a-z0-9*]([a-z0-9*.:-]*[a-z0-9*])?", pattern):
            raise ValueError(f"{pattern!r} is not a host pattern such as *.example.com")
    return patterns


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return networks in CIDR notation."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def secrets(text: str) -> tuple[Secret, ...]:
    """Return the secrets that sign callbacks."""
    return tuple(Secret.parse(word) for word in text.split())
