"""Settings of the host and the app, from host.json, local.settings.json and the environment."""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from opswatch.core.errors import ConfigError

T = TypeVar("T")

# An app setting with this prefix overrides one value of host.json.
# https://learn.microsoft.com/azure/azure-functions/functions-host-json#override-hostjson-values
_OVERRIDE = "AzureFunctionsJobHost__"
CORES = os.cpu_count() or 1
_MAX_BATCH = 32  # messages per receive, a limit of the storage service
_MAX_INT = 2**31 - 1
_MIN_POLLING_INTERVAL = timedelta(milliseconds=100)
_MAX_VISIBILITY = timedelta(days=7)
_DEFAULT_FUNCTION_TIMEOUT: timedelta | None = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """host.json `extensions.queues`."""

    batch_size: int = 16
    new_batch_threshold: int = 8 * CORES  # QueuesOptions: half a batch for each core
    max_dequeue_count: int = 5
    visibility_timeout: timedelta = timedelta(0)
    max_polling_interval: timedelta = timedelta(minutes=1)
    base64: bool = True  # messageEncoding


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """The values of host.json that the local host uses."""

    queues: QueueSettings = QueueSettings()
    route_prefix: str = "api"
    function_timeout: timedelta | None = _DEFAULT_FUNCTION_TIMEOUT  # None: unbounded

    @classmethod
    def load(cls, app_dir: Path, env: Mapping[str, str]) -> "HostSettings":
        """Read `app_dir`/host.json and its overrides in `env`; raise `ConfigError`."""
        path = app_dir / "host.json"
        if not path.is_file():
            raise ConfigError([f"{path}: not found; is this the folder of a function app?"])
        return cls.parse(read_object(path), env)

    @classmethod
    def parse(cls, document: Mapping[str, Any], env: Mapping[str, str]) -> "HostSettings":
        """Check a host.json, overridden by `env`; raise one `ConfigError` for all problems."""
        reader = _Reader(document, env)
        if document.get("version") != "2.0":
            reader.problems.append('host.json: version: is not "2.0"')
        settings = cls(
            queues=reader.read_queues(),
            route_prefix=reader.read("extensions.http.routePrefix", "api", _route_prefix),
            function_timeout=reader.read(
                "functionTimeout", _DEFAULT_FUNCTION_TIMEOUT, _function_timeout
            ),
        )
        if reader.problems:
            raise ConfigError(reader.problems)
        return settings


def local_values(app_dir: Path) -> dict[str, str]:
    """Return the app settings of `app_dir`/local.settings.json, if there is such a file."""
    path = app_dir / "local.settings.json"
    document = read_object(path) if path.is_file() else {}
    if document.get("IsEncrypted"):
        raise ConfigError([f"{path}: encrypted; only Core Tools can read that"])
    values = document.get("Values") or {}
    wrong = [name for name, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise ConfigError([f"{path}: {name} is not a string" for name in wrong])
    return dict(values)


def resolve(text: str, env: Mapping[str, str]) -> str:
    """Replace each %SETTING% in `text`; raise ValueError if a setting is missing."""
    for name in re.findall("%([^%]+)%", text):
        if not env.get(name):
            raise ValueError(f"%{name}% is not an app setting")
    return re.sub("%([^%]+)%", lambda match: env[match[1]], text)


def parse_timespan(value: object) -> timedelta:
    """Read a .NET time span such as `00:00:02`, `1.02:00:00` or `00:00:00.1`; raise ValueError."""
    match = re.fullmatch(
        r"(?:(\d{1,8})\.)?([01]?\d|2[0-3]):([0-5]?\d)(?::([0-5]?\d)(?:\.(\d{1,7}))?)?", str(value)
    )
    if not match:
        raise ValueError(f"{value!r} is not a time span such as 00:00:30")
    days, hours, minutes, seconds, fraction = (group or "0" for group in match.groups())
    return timedelta(
        days=int(days),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds),
        microseconds=int(fraction.ljust(7, "0")) // 10,
    )


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; raise `ConfigError`."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ConfigError([f"{path}: not JSON: {error}"]) from error
    if not isinstance(document, dict):
        raise ConfigError([f"{path}: not a JSON object"])
    return document


class _Reader:
    """Reads one value at a time and collects the problems."""

    def __init__(self, document: Mapping[str, Any], env: Mapping[str, str]) -> None:
        self._document = document
        self._env = env
        self.problems: list[str] = []

    def read(self, path: str, default: T, parse: Callable[[Any], T]) -> T:
        """Return the parsed value, or `default` if it is missing or invalid."""
        source = _OVERRIDE + path.replace(".", "__")
        value: Any = self._env.get(source)
        if value is None:
            source, value = f"host.json: {path}", self._document
            for key in path.split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.problems.append(f"{source}: {error}")
            return default

    def read_queues(self) -> QueueSettings:
        """Return `extensions.queues`."""

        def read(name: str, default: T, parse: Callable[[Any], T]) -> T:
            return self.read(f"extensions.queues.{name}", default, parse)

        default = QueueSettings()
        batch_size = read("batchSize", default.batch_size, _whole(1, _MAX_BATCH))
        return QueueSettings(
            batch_size=batch_size,
            new_batch_threshold=read(
                "newBatchThreshold", batch_size // 2 * CORES, _whole(0, _MAX_INT)
            ),
            max_dequeue_count=read(
                "maxDequeueCount", default.max_dequeue_count, _whole(1, _MAX_INT)
            ),
            visibility_timeout=read(
                "visibilityTimeout",
                default.visibility_timeout,
                _span(timedelta(0), _MAX_VISIBILITY),
            ),
            max_polling_interval=read(
                "maxPollingInterval",
                default.max_polling_interval,
                _span(_MIN_POLLING_INTERVAL, timedelta.max),
            ),
            base64=read("messageEncoding", default.base64, _is_base64),
        )


def _whole(least: int, most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        text = str(value)
        if not re.fullmatch(r"-?\d{1,12}", text):
            raise ValueError(f"{value!r} is not a whole number")
        if not least <= int(text) <= most:
            raise ValueError(f"{value!r} is not between {least} and {most}")
        return int(text)

    return parse


def _span(least: timedelta, most: timedelta) -> Callable[[object], timedelta]:
    def parse(value: object) -> timedelta:
        span = parse_timespan(value)
        if not least <= span <= most:
            raise ValueError(f"{value!r} is not between {least} and {most}")
        return span

    return parse


def _function_timeout(value: object) -> timedelta | None:
    if str(value) == "-1":
        return None
    return _span(timedelta(seconds=1), timedelta.max)(value)


def _is_base64(value: object) -> bool:
    if not isinstance(value, str) or value.lower() not in ("none", "base64"):
        raise ValueError(f"{value!r} is neither 'none' nor 'base64'")
    return value.lower() == "base64"


def _route_prefix(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")  # noqa: TRY004 - a problem to collect
    return value.strip("/")
