"""Route templates, as ASP.NET Core and so the Functions host match them: pure."""

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
    """One template, compiled; `target` is what it leads to."""

    target: T
    methods: frozenset[str]  # every method, where there are none
    pattern: re.Pattern[str]
    constraints: tuple[tuple[str, Check], ...]
    precedence: tuple[int, ...]  # the least is tried first

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the parameters if `path`, decoded and without outer slashes, fits; or None."""
        if self.methods and method not in self.methods:
            return None
        found = self.pattern.fullmatch(path)
        if not found:
            return None
        values = {name: value for name, value in found.groupdict().items() if value}
        fits = all(check(values[name]) for name, check in self.constraints if name in values)
        return values if fits else None


def compile_route(template: str, target: T, methods: Iterable[str] = ()) -> Route[T]:
    """Compile `template`; raise ValueError where it cannot be read."""
    segments = [segment for segment in template.strip("/").split("/") if segment]
    constraints = [
        (name, _check(constraint, argument))
        for _, name, listed, _ in _PARAMETER.findall(template)
        for constraint, argument in _CONSTRAINT.findall(listed)
    ]
    return Route(
        target=target,
        methods=frozenset(method.upper() for method in methods),
        pattern=re.compile(_pattern(segments), re.IGNORECASE),
        constraints=tuple(constraints),
        precedence=tuple(map(_rank, segments)),
    )


class RouteTable(Generic[T]):
    """Routes, asked in the order of their precedence: literals win, then constraints."""

    def __init__(self, routes: Iterable[Route[T]] = ()) -> None:
        self._routes = sorted(routes, key=lambda route: route.precedence)

    def find(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        """Return where a request leads and the route's parameters; None where no route fits."""
        path = decode_path(raw_path).strip("/")
        for route in self._routes:
            values = route.match(method, path)
            if values is not None:
                return route.target, values
        return None


def decode_path(raw_path: str) -> str:
    """Decode a path as ASP.NET Core does: everything but an encoded slash."""
    return "".join(
        part if part.lower() == "%2f" else unquote(part) for part in re.split("(%2[Ff])", raw_path)
    )


def _pattern(segments: list[str]) -> str:
    pattern = ""
    for segment in segments:
        slash = "/" if pattern else ""
        compiled = _segment(segment)
        parameter = _PARAMETER.fullmatch(segment)
        may_be_absent = parameter and (parameter[1] or parameter[4])
        pattern += f"(?:{slash}{compiled})?" if may_be_absent else slash + compiled
    return pattern


def _segment(segment: str) -> str:
    compiled, at = "", 0
    for parameter in _PARAMETER.finditer(segment):
        compiled += _literal(segment[at : parameter.start()])
        compiled += f"(?P<{parameter[2]}>{'.*' if parameter[1] else '[^/]+'})"
        at = parameter.end()
    return compiled + _literal(segment[at:])


def _literal(text: str) -> str:
    if set(text) & set("{}*?"):
        raise ValueError(f"the route cannot be read at {text!r}")
    return re.escape(text)


def _rank(segment: str) -> int:
    parameter = _PARAMETER.search(segment)
    if parameter is None:
        return 1
    if parameter[1]:
        return 5
    if parameter[0] != segment:
        return 2
    return 3 if parameter[3] else 4


def _check(constraint: str, argument: str) -> Check:
    if constraint in _SHAPES and not argument:
        shape = re.compile(_SHAPES[constraint], re.IGNORECASE)
        return lambda text: shape.fullmatch(text) is not None
    if constraint in _LIMITS and argument:
        return _limit(constraint, [int(number) for number in argument.split(",")])
    raise ValueError(f"the route's constraint {constraint!r} is not known here")


def _limit(constraint: str, numbers: list[int]) -> Check:
    least = -inf if constraint.startswith("max") else numbers[0]
    most = inf if constraint.startswith("min") else numbers[-1]
    if constraint.endswith("length"):
        return lambda text: least <= len(text) <= most
    return lambda text: _WHOLE.fullmatch(text) is not None and least <= int(text) <= most
