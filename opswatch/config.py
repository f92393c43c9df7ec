"""The settings: variables in, one checked `Settings` out. Nothing here reads the environment."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeVar
from urllib.parse import urlsplit

from opswatch.core.callback_policy import CallbackRules, is_loopback_host
from opswatch.core.errors import ConfigError
from opswatch.core.intake import MAX_TIMEOUT, MIN_TIMEOUT, Defaults
from opswatch.core.policy import DEFAULT_CALLBACK_SCHEDULE, MAX_DELAY, Policy
from opswatch.core.redact import redact_text
from opswatch.core.times import parse_duration
from opswatch.core.webhook import Secret

T = TypeVar("T")

# Endpoints and scopes as azure.mgmt.core.tools.get_arm_endpoints has them, which would cost an
# import at every cold start; a test holds both together.
CLOUDS = {
    "public": ("https://management.azure.com", "https://management.azure.com/.default"),
    "usgov": (
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net/.default",
    ),
    "china": (
        "https://management.chinacloudapi.cn",
        "https://management.chinacloudapi.cn/.default",
    ),
}
STORAGE = "AzureWebJobsStorage"
# The storage emulator's account: the same public key on every machine that runs it.
# https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
DEVELOPMENT_ACCOUNT = "devstoreaccount1"
DEVELOPMENT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_DEVELOPMENT_PORTS = {"blob": 10000, "queue": 10001, "table": 10002}
_ORIGIN = re.compile(
    r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How to reach the storage account: a connection string, or two endpoints and an identity."""

    connection_string: str = field(default="", repr=False)
    queue_uri: str = ""
    table_uri: str = ""
    managed_identity: bool = False
    client_id: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str], name: str = STORAGE) -> "Storage":
        """Read the connection `name` as the Functions host reads it; raise `ConfigError`."""
        reader = _Reader(env)
        storage = _storage(reader, name)
        reader.finish()
        return storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, checked."""

    storage: Storage
    arm_endpoint: str  # scheme and host, no slash at the end
    arm_scope: str
    client_id: str | None  # of the user-assigned identity that polls
    defaults: Defaults
    rules: CallbackRules
    secrets: tuple[Secret, ...]  # newest first
    policy: Policy

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Check `env` and return the settings; raise one `ConfigError` that names every mistake."""
        reader = _Reader(env)
        storage = _storage(reader, STORAGE)
        endpoint, scope = _arm(reader)
        policy = _policy(reader)
        rules = CallbackRules(
            hosts=reader.read("OPSWATCH_CALLBACK_HOSTS", "", _host_patterns) or (),
            networks=reader.read("OPSWATCH_CALLBACK_NETWORKS", "", _networks) or (),
        )
        settings = cls(
            storage=storage,
            arm_endpoint=endpoint,
            arm_scope=scope,
            client_id=env.get("AZURE_CLIENT_ID", "").strip() or storage.client_id,
            defaults=_defaults(reader, rules),
            rules=rules,
            secrets=reader.read("OPSWATCH_CALLBACK_SECRETS", "", _secrets) or (),
            policy=policy,
        )
        reader.finish()
        return settings


class _Reader:
    """Reads one variable after another and keeps every problem for the end."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._problems: list[str] = []

    def get(self, name: str) -> str:
        return self._env.get(name, "").strip()

    def read(self, name: str, default: str, parse: Callable[[str], T]) -> T | None:
        """Return the parsed value (an empty variable counts as absent); None after a problem."""
        try:
            return parse(self.get(name) or default)
        except ValueError as error:
            self.report(f"{name}: {error}")
            return None

    def report(self, problem: str) -> None:
        self._problems.append(redact_text(problem))  # a secret may be in the wrong variable

    def finish(self) -> None:
        if self._problems:
            raise ConfigError(self._problems)


def _storage(reader: _Reader, name: str) -> Storage:
    """Read a connection as the Functions host does.

    https://learn.microsoft.com/azure/azure-functions/functions-reference#connections
    """
    connection = reader.get(name)
    if connection:
        return Storage(connection_string=_connection_string(reader, name, connection))
    account = reader.get(f"{name}__accountName")
    queue_uri, table_uri = (
        reader.get(f"{name}__{service}ServiceUri")
        or (account and f"https://{account}.{service}.core.windows.net")
        for service in ("queue", "table")
    )
    if not (queue_uri and table_uri):
        reader.report(
            f"{name}: missing; set a connection string, {name}__accountName, "
            f"or {name}__queueServiceUri and {name}__tableServiceUri"
        )
    for uri in filter(None, (queue_uri, table_uri)):
        if not re.fullmatch(r"https://[^\s/?#@]+(/[^\s?#]*)?", uri):
            # Not quoted: a query may be a signature.
            reader.report(f"{name}: a service URI is an https URL without a query")
    return Storage(
        queue_uri=queue_uri.rstrip("/"),
        table_uri=table_uri.rstrip("/"),
        managed_identity=reader.get(f"{name}__credential").lower() == "managedidentity",
        client_id=reader.get(f"{name}__clientId") or None,
    )


def _connection_string(reader: _Reader, name: str, text: str) -> str:
    parts = connection_parts(text)
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return development_storage(_DEVELOPMENT_PORTS)
    has_key = {"accountname", "accountkey"} <= parts.keys()
    has_sas = {"sharedaccesssignature", "queueendpoint", "tableendpoint"} <= parts.keys()
    if not (has_key or has_sas) or not all(parts.values()):
        reader.report(
            f"{name}: not a connection string (AccountName and AccountKey, or "
            "SharedAccessSignature with QueueEndpoint and TableEndpoint)"
        )
    return text


def connection_parts(text: str) -> dict[str, str]:
    """Return what a connection string says, by its names in lower case."""
    pairs = [part.partition("=") for part in text.split(";") if part]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def development_storage(ports: Mapping[str, int]) -> str:
    """Return the connection string of a storage emulator whose services listen on `ports`."""
    endpoints = "".join(
        f"{service.capitalize()}Endpoint=http://127.0.0.1:{port}/{DEVELOPMENT_ACCOUNT};"
        for service, port in ports.items()
    )
    return (
        f"DefaultEndpointsProtocol=http;AccountName={DEVELOPMENT_ACCOUNT};"
        f"AccountKey={DEVELOPMENT_KEY};{endpoints}"
    )


def _policy(reader: _Reader) -> Policy:
    timeout = reader.read("OPSWATCH_TIMEOUT", "PT24H", _between(MIN_TIMEOUT, MAX_TIMEOUT))
    poll_min = reader.read("OPSWATCH_POLL_MIN", "PT1S", _whole_seconds)
    poll_max = reader.read("OPSWATCH_POLL_MAX", "PT5M", _whole_seconds)
    if poll_min and poll_max and poll_min > poll_max:
        reader.report("OPSWATCH_POLL_MIN: more than OPSWATCH_POLL_MAX")
    grace = reader.read("OPSWATCH_MISS_GRACE", "PT15M", _between(timedelta(0), MAX_TIMEOUT))
    retention = reader.read(
        "OPSWATCH_RETENTION", "P30D", _between(timedelta(hours=1), timedelta(days=3650))
    )
    schedule = reader.read("OPSWATCH_CALLBACK_SCHEDULE", "", _schedule)
    result = reader.read("OPSWATCH_CALLBACK_RESULT", "redacted", _one_of(("redacted", "none")))
    cost = reader.read("OPSWATCH_POLL_COST", "2", _positive)
    defaults = Policy()
    return Policy(
        timeout=timeout or defaults.timeout,
        poll_min=poll_min or defaults.poll_min,
        poll_max=poll_max or defaults.poll_max,
        poll_cost=cost or defaults.poll_cost,
        miss_grace=defaults.miss_grace if grace is None else grace,
        retention=retention or defaults.retention,
        callback_schedule=schedule or defaults.callback_schedule,
        callback_result=result != "none",
    )


def _defaults(reader: _Reader, rules: CallbackRules) -> Defaults:
    def callback(url: str) -> str | None:
        refusal = rules.refusal(url) if url else None
        if refusal:
            raise ValueError(refusal)
        return url or None

    return Defaults(
        subscription_id=reader.read("OPSWATCH_SUBSCRIPTION_ID", "", _segment) or None,
        location=reader.read("OPSWATCH_LOCATION", "", _segment) or None,
        provider=reader.read("OPSWATCH_PROVIDER", "Microsoft.Cache", _segment) or None,
        api_version=reader.read("OPSWATCH_API_VERSION", "2024-10-01", _segment) or None,
        callback_url=reader.read("OPSWATCH_CALLBACK_URL", "", callback),
    )


def _one_of(choices: Collection[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text.lower()

    return parse


def _segment(text: str) -> str:
    """Return one segment of a URL's path, which a setting may fill in."""
    if re.search(r"[/\\?#%&]|[^ -~]", text):
        raise ValueError(f"{text!r} holds a character that has no place in a URL's segment")
    return text


def _arm(reader: _Reader) -> tuple[str, str]:
    """Return ARM's endpoint and the scope of its tokens: an endpoint brings its cloud's scope."""
    cloud = reader.read("OPSWATCH_CLOUD", "public", _one_of(CLOUDS)) or "public"
    endpoint, scope = CLOUDS[cloud]
    endpoint = reader.read("OPSWATCH_ARM_ENDPOINT", endpoint, _arm_endpoint) or endpoint
    for name, (known, its_scope) in CLOUDS.items():
        host, known_host = urlsplit(endpoint).hostname or "", urlsplit(known).hostname
        if host == known_host or host.endswith(f".{known_host}"):
            if name != cloud and reader.get("OPSWATCH_CLOUD"):
                reader.report(f"OPSWATCH_ARM_ENDPOINT: {host} is of the cloud {name}, not {cloud}")
            scope = its_scope
    return endpoint, scope


def _arm_endpoint(text: str) -> str:
    if not _ORIGIN.fullmatch(text):  # not quoted: it may hold a password
        raise ValueError("not https:// and a host, and nothing more")
    parts = urlsplit(text.lower())
    parts.port  # noqa: B018 - raises ValueError where there is no such port
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        raise ValueError("http is for a loopback host only: the token would travel in the clear")
    return f"{parts.scheme}://{parts.netloc}"


def _duration(text: str) -> timedelta:
    duration = parse_duration(text)
    if duration is None:
        raise ValueError(f"{text!r} is not an ISO 8601 duration such as PT5M")
    return duration


def _between(least: timedelta, most: timedelta) -> Callable[[str], timedelta]:
    def parse(text: str) -> timedelta:
        duration = _duration(text)
        if not least <= duration <= most:
            raise ValueError(f"{text!r} is not between {least} and {most}")
        return duration

    return parse


def _whole_seconds(text: str) -> timedelta:
    duration = _between(timedelta(seconds=1), MAX_DELAY)(text)
    if duration.microseconds:
        raise ValueError(f"{text!r} is not whole seconds, which is all that a queue can wait")
    return duration


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:  # noqa: PLR2004 - a day is 86,400 s
        raise ValueError(f"{text!r} is not a positive number")
    return number


def _schedule(text: str) -> tuple[timedelta, ...]:
    if not text:
        return DEFAULT_CALLBACK_SCHEDULE
    try:
        gaps = tuple(timedelta(seconds=float(part)) for part in text.split(","))
    except OverflowError:
        raise ValueError("a gap is no span of time") from None
    if not all(timedelta(0) <= gap <= MAX_DELAY for gap in gaps):
        raise ValueError("a gap is between 0 s and 7 days")
    return gaps


def _host_patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(part.strip().lower().rstrip(".") for part in text.split(",") if part.strip())
    for pattern in patterns:
        if not re.fullmatch(r"[a-z0-9*]([a-z0-9*.:-]*[a-z0-9*])?", pattern):
            raise ValueError(f"{pattern!r} is not a host pattern such as *.example.com")
    return patterns


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def _secrets(text: str) -> tuple[Secret, ...]:
    # The platform replaces a reference by the secret; if it cannot, the app sees the reference.
    # https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
    if text.lower().startswith("@microsoft.keyvault("):
        return ()
    return tuple(Secret.parse(word) for word in text.split())
