"""The settings: variables in, one checked `Settings` out. Nothing here reads the environment."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlsplit

from opswatch.core import setting_values as values
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.errors import ConfigError
from opswatch.core.intake import MAX_TIMEOUT, MIN_TIMEOUT, Defaults
from opswatch.core.mistakes import Mistake, Part, meant_setting, problems_of
from opswatch.core.policy import Policy
from opswatch.core.redact import redact_text
from opswatch.core.setting_values import is_unresolved
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
# The services of a storage account: posting needs the queues, reading the tables, the app both.
QUEUES, TABLES = "queue", "table"
SERVICES = frozenset({QUEUES, TABLES})
_NEEDED_BY = {QUEUES: "everything but reading", TABLES: "everything but posting"}
# The storage emulator's account: the same public key on every machine that runs it.
# https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
DEVELOPMENT_ACCOUNT = "devstoreaccount1"
DEVELOPMENT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_DEVELOPMENT_PORTS = {"blob": 10000, "queue": 10001, "table": 10002}
# What each setting stops if it is wrong.
STOPS: Mapping[str, frozenset[Part]] = MappingProxyType(
    {
        STORAGE: frozenset({Part.STORAGE}),
        "OPSWATCH_CLOUD": frozenset({Part.POSTS, Part.POLLS}),
        "OPSWATCH_ARM_ENDPOINT": frozenset({Part.POSTS, Part.POLLS}),
        "OPSWATCH_SUBSCRIPTION_ID": frozenset({Part.POSTS}),
        "OPSWATCH_LOCATION": frozenset({Part.POSTS}),
        "OPSWATCH_PROVIDER": frozenset({Part.POSTS}),
        "OPSWATCH_API_VERSION": frozenset({Part.POSTS}),
        "OPSWATCH_CALLBACK_URL": frozenset({Part.POSTS}),
        "OPSWATCH_CALLBACK_SECRETS": frozenset({Part.DELIVERIES}),
        # A post that names a receiver waits, too: see `_UnknownRules`.
        "OPSWATCH_CALLBACK_HOSTS": frozenset({Part.DELIVERIES}),
        "OPSWATCH_CALLBACK_NETWORKS": frozenset({Part.DELIVERIES}),
        "OPSWATCH_CALLBACK_SCHEDULE": frozenset({Part.DELIVERIES}),
        "OPSWATCH_CALLBACK_RESULT": frozenset({Part.DELIVERIES}),
        "OPSWATCH_TIMEOUT": frozenset({Part.POSTS}),
        "OPSWATCH_POLL_MIN": frozenset({Part.POLLS}),
        "OPSWATCH_POLL_MAX": frozenset({Part.POLLS}),
        "OPSWATCH_POLL_COST": frozenset({Part.POLLS}),
        "OPSWATCH_MISS_GRACE": frozenset({Part.POLLS}),
        "OPSWATCH_RETENTION": frozenset({Part.PURGE}),
    }
)
_SECRETS = "OPSWATCH_CALLBACK_SECRETS"
_PREFIX = "OPSWATCH_"
UNRESOLVED = (
    "a Key Vault reference that Azure could not resolve: check that the secret exists and that the "
    "app's identity may read it, then restart the app"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How to reach the storage account: a connection string, or two endpoints and an identity."""

    connection_string: str = field(default="", repr=False)
    queue_uri: str = ""
    table_uri: str = ""
    managed_identity: bool = False
    client_id: str | None = None

    @property
    def has_queues(self) -> bool:
        """Whether messages can be sent: if not, the Functions host receives none either."""
        return bool(self.queue_uri) or _has_service(self.connection_string, QUEUES)

    @property
    def has_tables(self) -> bool:
        """Whether tables can be read."""
        return bool(self.table_uri) or _has_service(self.connection_string, TABLES)

    @classmethod
    def from_env(
        cls, env: Mapping[str, str], name: str = STORAGE, *, needs: Collection[str] = SERVICES
    ) -> "Storage":
        """Read the connection `name` as the Functions host reads it; raise `ConfigError`.

        It may lack what the caller does not need of the account, but not everything.
        """
        reader = _Reader(env)
        storage = _storage(reader, name, needs)
        if reader.mistakes:
            raise ConfigError([mistake.text for mistake in reader.mistakes])
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
    mistakes: tuple[Mistake, ...] = ()  # a setting that is wrong has its default, or no value

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Check `env` and return the settings; raise one `ConfigError` that names every mistake.

        A missing secret is no mistake, and neither is an unresolved reference to a vault.
        """
        settings = cls.read(env)
        if problems := problems_of(settings.mistakes, *Part):
            raise ConfigError(problems)
        return settings

    @classmethod
    def read(cls, env: Mapping[str, str], *, needs: Collection[str] = SERVICES) -> "Settings":
        """Return the settings with their mistakes: what a mistake stops must not be done.

        A connection without the services that the caller does not need is no mistake.
        """
        reader = _Reader(env)
        storage = _storage(reader, STORAGE, needs)
        endpoint, scope = _arm(reader)
        policy = _policy(reader)
        rules = _rules(reader)
        defaults = _defaults(reader, rules)
        secrets = reader.read(_SECRETS, "", values.secrets) or ()
        reader.report_misspellings()
        return cls(
            storage=storage,
            arm_endpoint=endpoint,
            arm_scope=scope,
            client_id=env.get("AZURE_CLIENT_ID", "").strip() or storage.client_id,
            defaults=defaults,
            rules=rules,
            secrets=secrets,
            policy=policy,
            mistakes=tuple(reader.mistakes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _UnknownRules(CallbackRules):
    """Rules that the settings fail to give: what needs them raises `ConfigError`, and waits."""

    problems: tuple[str, ...]

    def refusal(self, url: str) -> str | None:  # noqa: ARG002 - as the rules'
        raise ConfigError([*self.problems])

    def verdict(self, address: str, *, scheme: str) -> str | None:  # noqa: ARG002 - as the rules'
        raise ConfigError([*self.problems])


_WIDEST_RULES = CallbackRules(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))


class _Reader:
    """Reads one variable after another and keeps every mistake for the end."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.mistakes: list[Mistake] = []

    def get(self, name: str) -> str:
        return self._env.get(name, "").strip()

    def read(self, name: str, default: str, parse: Callable[[str], T]) -> T | None:
        """Return the parsed value (an empty variable counts as absent); None after a mistake."""
        text = self.get(name)
        if is_unresolved(text):
            self.report(name, UNRESOLVED, frozenset() if name == _SECRETS else None)
            return None
        try:
            return parse(text or default)
        except ValueError as error:
            self.report(name, str(error))
            return None

    def report(self, name: str, problem: str, stops: frozenset[Part] | None = None) -> None:
        text = f"{name}: {redact_text(problem)}"  # a secret may be in the wrong variable
        stops = STOPS.get(name, frozenset({Part.STORAGE})) if stops is None else stops
        self.mistakes.append(Mistake(text, stops))

    def report_misspellings(self) -> None:
        """Take an unknown name for a misspelling of a known one if they are much alike."""
        for name in sorted(self._env):
            if name.startswith(_PREFIX) and name not in STOPS and self.get(name):
                meant = meant_setting(name, STOPS)
                if meant:
                    self.report(name, f"unknown; is it a misspelling of {meant}?", STOPS[meant])


def _storage(reader: _Reader, name: str, needs: Collection[str]) -> Storage:
    """Read a connection as the Functions host does, with the services that the caller needs.

    https://learn.microsoft.com/azure/azure-functions/functions-reference#connections
    """
    connection = reader.get(name)
    if connection:
        return Storage(connection_string=_connection_string(reader, name, connection, needs))
    account = reader.get(f"{name}__accountName")
    queue_uri, table_uri = (
        reader.get(f"{name}__{service}ServiceUri")
        or (account and f"https://{account}.{service}.core.windows.net")
        for service in (QUEUES, TABLES)
    )
    if not (queue_uri or table_uri):
        reader.report(
            name,
            f"missing; set a connection string, {name}__accountName, "
            f"or {name}__queueServiceUri and {name}__tableServiceUri",
        )
    for service, uri in ((QUEUES, queue_uri), (TABLES, table_uri)):
        if (queue_uri or table_uri) and service in needs and not uri:
            reader.report(name, absent_service(service, name))
    uris = [queue_uri.rstrip("/"), table_uri.rstrip("/")]
    for number, uri in enumerate(uris):
        if uri and not re.fullmatch(r"https://[^\s/?#@]+(/[^\s?#]*)?", uri):
            # Not quoted: a query may be a signature.
            reader.report(name, "a service URI is an https URL without a query")
            uris[number] = ""
    return Storage(
        queue_uri=uris[0],
        table_uri=uris[1],
        managed_identity=reader.get(f"{name}__credential").lower() == "managedidentity",
        client_id=reader.get(f"{name}__clientId") or None,
    )


def _connection_string(reader: _Reader, name: str, text: str, needs: Collection[str]) -> str:
    """Return a connection string, or nothing if it is none."""
    parts = connection_parts(text)
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return development_storage(_DEVELOPMENT_PORTS)
    has_key = {"accountname", "accountkey"} <= parts.keys()
    has_service = any(_has_service(text, service) for service in SERVICES)
    has_sas = "sharedaccesssignature" in parts and has_service
    if not (has_key or has_sas) or not all(parts.values()):
        reader.report(
            name,
            UNRESOLVED
            if is_unresolved(text)
            else "not a connection string (AccountName and AccountKey, or "
            "SharedAccessSignature with QueueEndpoint and TableEndpoint)",
        )
        return ""
    for service in (QUEUES, TABLES):
        if service in needs and not _has_service(text, service):
            reader.report(name, absent_service(service, name))
    return text


def absent_service(service: str, name: str = STORAGE) -> str:
    """Return what is wrong with a connection that lacks a service which is needed."""
    return (
        f"it names no {service}s, which {_NEEDED_BY[service]} needs: set "
        f"{service.capitalize()}Endpoint in the connection string, or {name}__{service}ServiceUri"
    )


def _has_service(connection_string: str, service: str) -> bool:
    parts = connection_parts(connection_string)
    return "accountname" in parts or f"{service}endpoint" in parts


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
    timeout = reader.read("OPSWATCH_TIMEOUT", "PT24H", values.between(MIN_TIMEOUT, MAX_TIMEOUT))
    poll_min = reader.read("OPSWATCH_POLL_MIN", "PT1S", values.whole_seconds)
    poll_max = reader.read("OPSWATCH_POLL_MAX", "PT5M", values.whole_seconds)
    if poll_min and poll_max and poll_min > poll_max:
        reader.report("OPSWATCH_POLL_MIN", "more than OPSWATCH_POLL_MAX")
    grace = reader.read("OPSWATCH_MISS_GRACE", "PT15M", values.between(timedelta(0), MAX_TIMEOUT))
    retention = reader.read(
        "OPSWATCH_RETENTION", "P30D", values.between(timedelta(hours=1), timedelta(days=3650))
    )
    schedule = reader.read("OPSWATCH_CALLBACK_SCHEDULE", "", values.schedule)
    result = reader.read(
        "OPSWATCH_CALLBACK_RESULT", "redacted", values.one_of(("redacted", "none"))
    )
    cost = reader.read("OPSWATCH_POLL_COST", "2", values.positive)
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
        # If the rules are unknown, the URL is judged by them when it is called.
        known = _WIDEST_RULES if isinstance(rules, _UnknownRules) else rules
        refusal = known.refusal(url) if url else None
        if refusal:
            raise ValueError(refusal)
        return url or None

    return Defaults(
        subscription_id=reader.read("OPSWATCH_SUBSCRIPTION_ID", "", values.segment) or None,
        location=reader.read("OPSWATCH_LOCATION", "", values.segment) or None,
        provider=reader.read("OPSWATCH_PROVIDER", "Microsoft.Cache", values.segment) or None,
        api_version=reader.read("OPSWATCH_API_VERSION", "2024-10-01", values.segment) or None,
        callback_url=reader.read("OPSWATCH_CALLBACK_URL", "", callback),
    )


def _rules(reader: _Reader) -> CallbackRules:
    """Read the rules for callbacks. A wrong rule leaves them unknown: no rule would permit more."""
    before = len(reader.mistakes)
    hosts = reader.read("OPSWATCH_CALLBACK_HOSTS", "", values.host_patterns) or ()
    networks = reader.read("OPSWATCH_CALLBACK_NETWORKS", "", values.networks) or ()
    if wrong := reader.mistakes[before:]:
        return _UnknownRules(problems=tuple(mistake.text for mistake in wrong))
    return CallbackRules(hosts=hosts, networks=networks)


def _arm(reader: _Reader) -> tuple[str, str]:
    """Return ARM's endpoint and the scope of its tokens: an endpoint brings its cloud's scope."""
    cloud = reader.read("OPSWATCH_CLOUD", "public", values.one_of(CLOUDS)) or "public"
    endpoint, scope = CLOUDS[cloud]
    endpoint = reader.read("OPSWATCH_ARM_ENDPOINT", endpoint, values.arm_endpoint) or endpoint
    for name, (known, its_scope) in CLOUDS.items():
        host, known_host = urlsplit(endpoint).hostname or "", urlsplit(known).hostname
        if host == known_host or host.endswith(f".{known_host}"):
            if name != cloud and reader.get("OPSWATCH_CLOUD"):
                problem = f"{host} is of the cloud {name}, not {cloud}"
                reader.report("OPSWATCH_ARM_ENDPOINT", problem)
            scope = its_scope
    return endpoint, scope
