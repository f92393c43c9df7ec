"""Route templates, matched as by ASP.NET Core, but in a given order, as by the host. Pure."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")
Check = Callable[[str], bool]

_PARAMETER = re.compile(r"\{(\*{0,2})(\w+)((?::\w+(?:\([^()]*\))?)*)(\??)\}")
_CONSTRAINT = re.compile(r":(\w+)(?:\(([^()]*)\))?")
_SHAPES = {
    "alpha": "[a-z]*",
    "bool": "true|false",
    "decimal": r"[+-]?\d*\.?\d+",
    "double": r"[+-]?\d*\.?\d+(e[+-]?\d+)?",
    "float": r"[+-]?\d*\.?\d+(e[+-]?\d+)?",
    "guid": r"\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?|[0-9a-f]{32}",
    "int": r"[+-]?\d{1,10}",
    "long": r"[+-]?\d{1,19}",
}
_LIMITS = ("length", "max", "maxlength", "min", "minlength", "range")
_WHOLE = re.compile(r"[+-]?\d{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[T]):
    """One compiled template and the `target` that it selects."""

    target: T
    methods: frozenset[str]  # empty: every method
    pattern: re.Pattern[str]
    constraints: tuple[tuple[str, Check], ...]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the parameters, or None; `path` is decoded and without outer slashes."""
        if self.methods and method not in self.methods:
            return None
        found = self.pattern.fullmatch(path)
        if not found:
            return None
        values = {name: value for name, value in found.groupdict().items() if value}
        matches = all(check(values[name]) for name, check in self.constraints if name in values)
        return values if matches else None


def compile_route(template: str, target: T, methods: Iterable[str] = ()) -> Route[T]:
    """Compile `template`; raise ValueError if it is not a supported route."""
    constraints = [
        (name, _compile_constraint(constraint, argument))
        for _, name, listed, _ in _PARAMETER.findall(template)
        for constraint, argument in _CONSTRAINT.findall(listed)
    ]
    pattern = ""
    for segment in filter(None, template.strip("/").split("/")):
        regex = ("/" if pattern else "") + _compile_segment(segment)
        whole = _PARAMETER.fullmatch(segment)
        is_optional = whole and (whole[1] or whole[4])
        pattern += f"(?:{regex})?" if is_optional else regex
    return Route(
        target=target,
        methods=frozenset(method.upper() for method in methods),
        pattern=re.compile(pattern, re.IGNORECASE | re.DOTALL),
        constraints=tuple(constraints),
    )


class RouteTable(Generic[T]):
    """Routes in the order in which they are tried."""

    def __init__(self, routes: Iterable[Route[T]] = ()) -> None:
        self._routes = tuple(routes)

    def find(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        """Return the target and the parameters of the first route that matches, or None."""
        path = decode_path(raw_path).strip("/")
        for route in self._routes:
            values = route.match(method, path)
            if values is not None:
                return route.target, values
        return None


def decode_path(raw_path: str) -> str:
    """Decode a path as ASP.NET Core does: everything except an encoded slash."""
    return "".join(
        part if part.lower() == "%2f" else unquote(part) for part in re.split("(%2[Ff])", raw_path)
    )


def _compile_segment(segment: str) -> str:
    regex, at = "", 0
    for parameter in _PARAMETER.finditer(segment):
        regex += _literal(segment[at : parameter.start()])
        regex += f"(?P<{parameter[2]}>{'.*' if parameter[1] else '[^/]+'})"
        at = parameter.end()
    return regex + _literal(segment[at:])


def _literal(text: str) -> str:
    if set(text) & set("{}*?"):
        raise ValueError(f"the route has a syntax error at {text!r}")
    return re.escape(text)


def _compile_constraint(constraint: str, argument: str) -> Check:
    if constraint in _SHAPES and not argument:
        shape = re.compile(_SHAPES[constraint], re.IGNORECASE)
        return lambda text: shape.fullmatch(text) is not None
    if constraint not in _LIMITS or not argument:
        raise ValueError(f"the route's constraint {constraint!r} is not supported")
    numbers = [int(number) for number in argument.split(",")]
    least = -inf if constraint.startswith("max") else numbers[0]
    most = inf if constraint.startswith("min") else numbers[-1]
    if constraint.endswith("length"):
        return lambda text: least <= len(text) <= most
    return lambda text: _WHOLE.fullmatch(text) is not None and least <= int(text) <= most
