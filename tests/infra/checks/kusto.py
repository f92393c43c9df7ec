"""Every query: parsed by Microsoft's own parser, and its names compared with telemetry.json."""

import re
from functools import cache
from typing import Any

from tests.infra.checks.node import ask
from tests.infra.checks.project import Project
from tests.infra.rules import ALERTS

# The columns that queries may use: https://learn.microsoft.com/azure/azure-monitor/reference/tables/appmetrics
_COMMON = (
    "TimeGenerated: datetime, OperationId: string, OperationName: string, AppRoleName: string, "
    "AppRoleInstance: string, ItemCount: int, Properties: dynamic, Type: string, "
    "_ResourceId: string"
)
TABLES = {
    "AppMetrics": f"({_COMMON}, Name: string, Sum: real, Min: real, Max: real)",
    "AppTraces": f"({_COMMON}, Message: string, SeverityLevel: int)",
    "AppRequests": (
        f"({_COMMON}, Name: string, Url: string, Success: bool, ResultCode: string, "
        "DurationMs: real)"
    ),
}
# Alert: what its query must contain, or the alert would not mean what its title says.
_CONDITIONS = {
    "poison": ('Name == "opswatch.poison.depth"',),
    "kept": (
        'tostring(Properties.event) == "opswatch.message_kept"',
        "dcount(bin(TimeGenerated, 1m))",
    ),
    "overdue": ('Name == "opswatch.watches.oldest_overdue"',),
    "heartbeat": ('Name == "opswatch.heartbeat"',),
    "abandoned": (
        'Name == "opswatch.deliveries.settled"',
        'tostring(Properties.state) == "abandoned"',
    ),
    "access": (
        'Name == "opswatch.misses"',
        'tostring(Properties.status_code) in ("401", "403")',
    ),
    "throttled": (
        'sumif(Sum, Name == "opswatch.polls")',
        'Name == "opswatch.misses" and tostring(Properties.status_code) == "429"',
        "100.0 * Throttled / Polls",
    ),
    "slow": ('tostring(Properties.event) == "opswatch.slow"',),
    "rejections": ('Name == "opswatch.rejections"',),
    "errors": ("AppRequests", 'ResultCode startswith "5"'),
}
_NUMBERS = {"real", "long", "int", "decimal"}


def check(project: Project) -> list[str]:
    telemetry = project.json("infra/telemetry.json")
    found: list[str] = []
    columns: dict[str, dict[str, str]] = {}
    for name, text in project.queries():
        result = analyse(text)
        found += [f"{name}: {error}" for error in result["errors"]]
        columns[name] = dict(result["columns"])
        if not result["columns"]:
            found.append(f"{name}: returns no columns")
        found += [f"{name}: {message}" for message in _names(text, telemetry)]
        first = re.sub(r"//.*", "", text).split()
        if not first or first[0] not in TABLES:
            found.append(f"{name}: does not begin with a table of telemetry")
    for name, (*_, operator, _, measure) in ALERTS.items():
        place = f"infra/queries/{name}.kql"
        if columns.get(place, {}).get(measure) not in _NUMBERS:
            found.append(f"{place}: has no number {measure}")
        if operator == "LessThan" and not _has_a_row(project, name):
            found.append(f"{place}: returns no row if there is no data")
        code = re.sub(r"//.*", "", project.read(place))
        found += [f"{place}: lacks {part}" for part in _CONDITIONS[name] if part not in code]
    return found


def _has_a_row(project: Project, name: str) -> bool:
    """Return whether a query returns a row without data: it ends with a summary without `by`."""
    last = project.read(f"infra/queries/{name}.kql").rpartition("\n|")[2]
    return bool(re.match(r"\s*summarize\b(?!.*\bby\b)", last, re.DOTALL))


def _names(text: str, telemetry: dict[str, Any]) -> list[str]:
    """Return which metrics, events and dimensions of a query are not declared."""
    problems: list[str] = []
    code = re.sub(r"//.*", "", text)
    used = set(re.findall(r'"(opswatch\.[^"]*)"', code))
    known = telemetry["metrics"] if "AppMetrics" in code else telemetry["events"]
    problems += [f"{name} is not declared" for name in sorted(used - known.keys())]
    if not used and "AppRequests" not in code:
        problems.append("names neither a metric nor an event")
    # A metric has a column for its name, an event a property.
    if "AppMetrics" in code and not re.search(r"\bName (==|in \()", code):
        problems.append("does not filter by Name")
    if "AppTraces" in code and "tostring(Properties.event) ==" not in code:
        problems.append("does not filter by Properties.event")
    fields = set(re.findall(r"Properties\.(\w+)", code)) - {"event"}
    dimensions = {
        field
        for name in used & known.keys()
        for field in (known[name]["dimensions"] if isinstance(known[name], dict) else known[name])
    }
    problems += [f"no dimension {field} is declared" for field in sorted(fields - dimensions)]
    kinds = {known[name]["kind"] for name in used & known.keys() if "AppMetrics" in code}
    wrong = {"gauge": r"\bsum\(Sum\)", "counter": r"\b(?:avg|max|min)\(Sum\)"}
    problems += [
        f"aggregates a {kind} in the wrong way"
        for kind in kinds
        if len(kinds) == 1 and re.search(wrong.get(kind, "(?!)"), code)
    ]
    # The parser accepts it, and it is never true.
    problems += [
        f"compares the text {field} with a number"
        for field in re.findall(
            r"tostring\(Properties\.(\w+)\)\s*(?:[!=]=|!?in~?)\s*\(?[^\"\s(]", code
        )
    ]
    values = telemetry["values"]
    for field, value in re.findall(r'Properties\.(\w+)\) == "([^"]*)"', code):
        if field in values and value not in values[field]:
            problems.append(f"{field} is never {value}")
    for field, choices in re.findall(r"Properties\.(\w+)\) in \(([^)]*)\)", code):
        problems += [
            f"{field} is never {value}"
            for value in re.findall(r'"([^"]*)"', choices)
            if field in values and value not in values[field]
        ]
    return problems


@cache
def analyse(text: str) -> dict[str, Any]:
    """Return the parser's errors and the result columns of a query."""
    answer: dict[str, Any] = ask("kusto.cjs", {"tables": TABLES, "text": text})
    return answer
