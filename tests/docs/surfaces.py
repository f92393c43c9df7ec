"""What people write and call: posts, settings, the HTTP API and the terminal."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import click

from opswatch import config
from opswatch.cli import COMMANDS
from opswatch.cli.exit_codes import EXIT_CODES
from opswatch.cli.group import group
from opswatch.config import Settings
from opswatch.core.errors import Reason
from opswatch.core.intake import Defaults, Rejection
from opswatch.web.openapi import document
from opswatch.web.parameters import VERSION
from opswatch.web.problems import Code
from opswatch.web.routes import ROUTES, Route
from opswatch.web.schemas import POST, SCHEMAS
from tests.docs.markdown import Table
from tests.support.builders import NOW, intake

WIDTH = 98  # of a terminal, for the texts of help

# --- posts

# A message that is rejected for each reason, and how the page shows it.
REJECTED: dict[Reason, tuple[bytes, str]] = {
    Reason.EMPTY: (b" ", "white space alone"),
    Reason.NOT_UTF8: ("6432a8f9".encode("utf-16"), "a text in UTF-16"),
    Reason.NOT_JSON: (b'{"operation": ', '`{"operation": `'),
    Reason.UNKNOWN_SHAPE: (b'{"name": "cache"}', '`{"name": "cache"}`'),
    Reason.MISSING_SETTING: (b"6432a8f9", "`6432a8f9`, with no `OPSWATCH_LOCATION`"),
    Reason.INVALID_OPERATION: (b"West US", "`West US`"),
    Reason.FOREIGN_HOST: (b"https://example.com/x", "`https://example.com/x`"),
    Reason.INVALID_CALLBACK: (
        b'{"id": "6432a8f9", "callbackUrl": "http://localhost"}',
        '`{"id": "6432a8f9", "callbackUrl": "http://localhost"}`',
    ),
    Reason.INVALID_TIMEOUT: (
        b'{"id": "6432a8f9", "timeout": "6h"}',
        '`{"id": "6432a8f9", "timeout": "6h"}`',
    ),
    Reason.TOO_LARGE: (b"x" * (64 * 1024 + 1), "65,537 bytes"),
}


def properties() -> Table:
    """Return the properties of a post that is a JSON object."""
    rows = tuple((f"`{name}`", _json_type(schema)) for name, schema in POST["properties"].items())
    return Table(("property", "type", "meaning"), rows)


def reasons() -> Table:
    """Return the reasons of rejections, each with the detail of an example."""
    rows = []
    for reason in Reason:
        body, shown = REJECTED[reason]
        usual = intake()
        if reason is Reason.MISSING_SETTING:
            usual = intake(defaults=Defaults(subscription_id="s"))
        read = usual.read(body, NOW)
        assert isinstance(read, Rejection)
        assert read.reason is reason, read
        rows.append((f"`{reason}`", shown, read.detail))
    return Table(("reason", "example", "its detail", "when"), tuple(rows))


def _json_type(schema: Mapping[str, Any]) -> str:
    if "type" not in schema:
        return "any"
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return " or ".join(name for name in types if name != "null")


# --- settings


class _Asked(dict[str, str]):
    """An environment that keeps which names are asked for, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def get(self, name: str, default: Any = None) -> Any:
        self.names[name] = None
        return super().get(name, default)


class _Defaults(config._Reader):
    """A reader that keeps the default of each setting."""

    def __init__(self) -> None:
        super().__init__({})
        self.defaults: dict[str, str] = {}

    def read(self, name: str, default: str, parse: Any) -> Any:
        value = super().read(name, default, parse)
        if not default and isinstance(value, tuple):  # the schedule, which is not a text
            default = ",".join(f"{delay.total_seconds():g}" for delay in value)
        self.defaults[name] = default
        return value


def settings() -> Table:
    """Return the settings with their defaults."""
    asked = _Asked()
    Settings.read(asked)
    reader = _Defaults()
    config._arm(reader)
    config._policy(reader)
    config._defaults(reader, config._rules(reader))
    order = [*config.STOPS]
    names = sorted(asked.names, key=lambda name: order.index(name) if name in order else 0)
    rows = [
        (f"`{name}`", f"`{default}`" if (default := reader.defaults.get(name)) else "")
        for name in names
    ]
    return Table(("setting", "default", "form and meaning"), tuple(rows))


# --- the HTTP API


def routes() -> str:
    """Return every route with its parameters and answers, but for those that all have."""
    common = {method: _codes_of_all(method) for method in ("get", "post")}
    return "\n".join(_route(route, common[route.method.lower()]) for route in ROUTES)


def _codes_of_all(method: str) -> set[str]:
    """Return the codes that every route with a method lists."""
    listed = [
        {code for answer in methods[method]["responses"].values() for code in _codes(answer)}
        for methods in document()["paths"].values()
        if method in methods
    ]
    return set.intersection(*listed) | {Code.NOT_READY.code}  # health has an answer of that status


def _codes(answer: Mapping[str, Any]) -> list[str]:
    """Return the codes of problems in an answer's description, such as `Conflict: One, Other`."""
    return [*filter(None, answer["description"].partition(": ")[2].split(", "))]


def _route(route: Route, common: set[str]) -> str:
    described = document()["paths"][f"/{route.path}"][route.method.lower()]
    key = f"the key of `{route.function}`" if described["security"] else "no key"
    lines = [f"#### `{route.method} /api/{route.path}`", "", f"{route.summary}. Needs {key}.", ""]
    if route.body:
        lines += [f"The body is `{route.body}` as JSON.", ""]
    query = [
        (f"`{each['name']}`", _form(each["schema"]), each["description"])
        for each in described["parameters"]
        if each["in"] == "query" and each["name"] != VERSION.name
    ]
    if query:
        lines += [Table(("parameter", "form", "meaning"), tuple(query)).write("")]
    answers = [
        (code, contents)
        for code, each in described["responses"].items()
        if (contents := _answer(each, common))
    ]
    return "\n".join([*lines, Table(("answer", "contents"), tuple(answers)).write("")])


def _answer(described: Mapping[str, Any], common: set[str]) -> str:
    """Return what an answer has that not every route's has."""
    schemas = [each["schema"] for each in described.get("content", {}).values()]
    names = [schema.get("$ref", "an object").rpartition("/")[2] for schema in schemas]
    parts = [f"`{name}`" if name in SCHEMAS else name for name in names if name != "Problem"]
    own = [code for code in _codes(described) if code not in common]
    if {*Reason} <= {*own}:
        own = [code for code in own if code not in {*Reason}]
        parts.append("a reason of a rejection")
    parts += [f"`{code}`" for code in own]
    if parts and (headers := [name for name in described.get("headers", ()) if name != "ETag"]):
        parts.append("with " + ", ".join(f"`{name}`" for name in headers))
    return ", ".join(parts)


def _form(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "integer":
        return f"{schema['minimum']} to {schema['maximum']}, default {schema['default']}"
    if listed := re.match(r"\^\(([\w|]+)\)", schema.get("pattern", "")):
        return ", ".join(f"`{value}`" for value in listed[1].split("|"))
    if "examples" in schema:
        return "such as " + ", ".join(f"`{example}`" for example in schema["examples"])
    return "text"


def shapes() -> Table:
    """Return the members of each JSON object in a body or an answer."""
    return Table(("object", "members", "remark"), tuple(_shapes()))


def _shapes() -> Iterator[tuple[str, str]]:
    for name, schema in SCHEMAS.items():
        required = schema.get("required", ())
        members = [
            f"`{member}`" + ("" if member in required else "?") for member in schema["properties"]
        ]
        yield f"`{name}`", ", ".join(members)


def problems() -> Table:
    """Return the codes of problems, besides the reasons of rejections."""
    get, post = _codes_of_all("get"), _codes_of_all("post")
    rows = []
    for code in Code:
        routes_of = "GET and POST" if code.code in get else "POST" if code.code in post else ""
        rows.append((f"`{code.code}`", str(code.status.value), routes_of, code.title))
    return Table(("code", "status", "all routes of", "title"), tuple(rows))


# --- the terminal


def commands() -> str:
    """Return what `--help` prints for every command."""
    parent = click.Context(
        group, info_name="opswatch", terminal_width=WIDTH, **group.context_settings
    )
    return "\n".join(
        f"#### `opswatch {name}`\n\n```text\n{_help(name, parent)}\n```\n" for name in COMMANDS
    )


def _help(name: str, parent: click.Context) -> str:
    command = group.get_command(parent, name)
    assert command is not None, name
    return click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH).get_help()


def codes() -> Table:
    """Return the exit codes."""
    rows = tuple((f"`{code}`", meaning) for code, meaning in EXIT_CODES.items())
    return Table(("exit code", "meaning"), rows)
