"""Parameters of queries: what they mean, how they are read, and how the OpenAPI describes them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from opswatch.core.deliveries import DeliveryState
from opswatch.core.errors import Reason
from opswatch.core.times import parse_duration
from opswatch.web.problems import Code, ProblemError

API_VERSION = "2026-12-01"
DEFAULT_PAGE, LARGEST_PAGE = 100, 1000
LONGEST_TEXT = 2048  # characters
_AGE = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PLUS_AS_SPACE = re.compile(r" (?=\d\d:?\d\d$)", re.ASCII)  # of an offset that was not escaped
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

Parse = Callable[[str, datetime], Any]  # a value, and the current instant; raises `ValueError`


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a query."""

    name: str
    schema: Mapping[str, Any]
    description: str
    parse: Parse


def read_query(
    query: list[tuple[str, str]], parameters: tuple[Parameter, ...], now: datetime
) -> dict[str, Any]:
    """Return the values of the parameters that a query has; raise `ProblemError`."""
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {}
    for name, text in query:
        if name not in known:  # its value is not repeated: it may be a key
            raise ProblemError(Code.UNKNOWN_PARAMETER, f"{name[:64]!r} is not a parameter here")
        if name in values:
            raise ProblemError(Code.INVALID_PARAMETER, f"{name} is given twice")
        if len(text) > LONGEST_TEXT:
            detail = f"{name} has more than {LONGEST_TEXT} characters"
            raise ProblemError(Code.INVALID_PARAMETER, detail)
        code = Code.INVALID_PARAMETER
        if name == "api-version":
            code = Code.UNSUPPORTED_API_VERSION
        try:
            values[name] = known[name].parse(text, now)
        except ValueError as error:
            raise ProblemError(code, f"{name}: {error}") from error
    return values


def read_instant(text: str, now: datetime) -> datetime:
    """Return the instant that a text means, or that lies a duration before `now`."""
    age = _AGE.fullmatch(text)
    span = timedelta(**{_UNITS[age[2]]: int(age[1])}) if age else parse_duration(text)
    try:
        if span is not None:
            return max(now - span, _EARLIEST)
        instant = datetime.fromisoformat(_PLUS_AS_SPACE.sub("+", text.upper()))
        instant = instant.replace(tzinfo=instant.tzinfo or UTC)
        return min(max(instant, _EARLIEST), _LATEST).astimezone(UTC)
    except OverflowError:
        return _EARLIEST
    except ValueError:
        pass
    raise ValueError(
        "an instant such as 2026-11-25T21:00:00Z, or a duration back such as 1h or P1D"
    )


def _page_size(text: str, _: datetime) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= LARGEST_PAGE:
        raise ValueError(f"a number from 1 to {LARGEST_PAGE}")
    return int(text)


def _version(text: str, _: datetime) -> str:
    if text != API_VERSION:
        raise ValueError(f"the only one is {API_VERSION}")
    return text


def _text(text: str, _: datetime) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def _texts(text: str, _: datetime) -> tuple[str, ...]:
    values = tuple(part.strip() for part in text.split(",") if part.strip())
    if not values:
        raise ValueError("must not be empty")
    return values


def _prefix(text: str, _: datetime) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", text):
        raise ValueError("the beginning of an operation ID: letters, digits, '.', '_' and '-'")
    return text


def _one_of(*allowed: str) -> Parse:
    def parse(text: str, _: datetime) -> str:
        if text not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return text

    return parse


def _list_of(*allowed: str) -> Parse:
    by_name = {name.lower(): name for name in allowed}

    def parse(text: str, now: datetime) -> tuple[str, ...]:
        values = _texts(text, now)
        if any(value.lower() not in by_name for value in values):
            raise ValueError(f"one or more of {', '.join(allowed)}, by comma")
        return tuple(dict.fromkeys(by_name[value.lower()] for value in values))

    return parse


def _texts_parameter(name: str, description: str) -> Parameter:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT, "pattern": "[^\\s,]"}
    text = f"{description}, without case; several by comma"
    return Parameter(name=name, schema=schema, description=text, parse=_texts)


def _list_parameter(name: str, allowed: tuple[str, ...], description: str) -> Parameter:
    one = "|".join(allowed)
    schema = {"type": "string", "pattern": f"^({one})(,({one}))*$"}
    return Parameter(name=name, schema=schema, description=description, parse=_list_of(*allowed))


_WHEN = {
    "type": "string",
    "anyOf": [{"format": "date-time"}, {"pattern": "^[0-9]{1,6}[smhdw]$"}],
    "examples": ["2026-11-25T21:00:00Z", "1h", "P1D"],
}
VERSION = Parameter(
    name="api-version",
    schema={"type": "string", "enum": [API_VERSION]},
    description="The version of the API; optional.",
    parse=_version,
)
SINCE = Parameter(
    name="since",
    schema=_WHEN,
    description="From this instant on; an ISO 8601 duration or `1h` counts back from now.",
    parse=read_instant,
)
UNTIL = Parameter(
    name="until",
    schema=_WHEN,
    description="Before this instant; as `since`.",
    parse=read_instant,
)
PAGE_SIZE = Parameter(
    name="maxpagesize",
    schema={
        "type": "integer",
        "minimum": 1,
        "maximum": LARGEST_PAGE,
        "default": DEFAULT_PAGE,
    },
    description="How many a page has at most; a page may be short or empty and still go on.",
    parse=_page_size,
)
# In `nextLink` only: what it holds is not for clients, and no client makes one.
CONTINUATION = Parameter(name="continuation", schema={}, description="", parse=_text)
STATE = Parameter(
    name="state",
    schema={"type": "string", "enum": ["watching", "finished"]},
    description="`watching`: those without a result, in the order of their keys; or `finished`.",
    parse=_one_of("watching", "finished"),
)
STATUS = _texts_parameter("status", "The status; one that no end has implies `state=watching`")
OPERATION = Parameter(
    name="operation",
    schema={"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    description="The beginning of an operation ID, registered within 30 days.",
    parse=_prefix,
)
SUBSCRIPTION = _texts_parameter("subscription", "The subscription ID")
PROVIDER = _texts_parameter("provider", "The resource provider")
LOCATION = _texts_parameter("location", "The location, without spaces")
KIND = _texts_parameter("kind", "The kind, such as `redisEnterprise/create`")
RESOURCE = Parameter(
    name="resource",
    schema={"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT, "pattern": "\\S"},
    description="A part of the resource ID, without case.",
    parse=_text,
)
DELIVERY_STATES = _list_parameter(
    "state", tuple(DeliveryState), "The states, by comma; all unless given."
)
HOST = _texts_parameter(
    "host", "The host of the callback URL, with its port or without, or a URL of it"
)
REASON = _list_parameter("reason", tuple(Reason), "The reasons, by comma; all unless given.")
DELIVERY = Parameter(
    name="delivery",
    schema={"type": "string", "pattern": "^msg_[0-9a-f]{32}$"},
    description="The id of one delivery: sent again even if it was delivered.",
    parse=_text,
)
