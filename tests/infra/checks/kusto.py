"""Every query: parsed by Microsoft's own parser, its names held against `infra/telemetry.json`."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.checks.alerts import alert_rules
from tests.infra.checks.bicep import flat
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import ROOT, Project

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
_NUMBERS = {"real", "long", "int", "decimal"}
_NODE = Path(__file__).with_name("kusto.cjs")


def check(project: Project) -> list[Finding]:
    telemetry = project.json("infra/telemetry.json")
    found: list[Finding] = []
    columns: dict[str, dict[str, str]] = {}
    for result in analyse(tuple(project.queries())):
        found += [Finding(result["name"], error) for error in result["errors"]]
        columns[result["name"]] = dict(result["columns"])
        if not result["columns"]:
            found.append(Finding(result["name"], "yields no columns"))
    for name, text in project.queries():
        found += [Finding(name, message) for message in _names(text, telemetry)]
        first = re.sub(r"//.*", "", text).split()
        if not first or first[0] not in TABLES:
            found.append(Finding(name, "does not begin with a table of telemetry"))
    for name, row in alert_rules(project).items():
        measure = flat(row.get("measure")).strip("'")
        kind = columns.get(f"infra/queries/{name}.kql", {}).get(measure)
        if kind not in _NUMBERS:
            found.append(Finding(f"infra/queries/{name}.kql", f"has no number {measure}"))
        if flat(row.get("operator")) == "'LessThan'" and not _has_a_row(project, name):
            found.append(Finding(f"infra/queries/{name}.kql", "yields no row where nothing came"))
    return found


def _has_a_row(project: Project, name: str) -> bool:
    """Say whether a query yields a row in silence: it ends with a summary of all, by nothing."""
    last = project.read(f"infra/queries/{name}.kql").rpartition("\n|")[2]
    return bool(re.match(r"\s*summarize\b(?!.*\bby\b)", last, re.DOTALL))


def _names(text: str, telemetry: dict[str, Any]) -> list[str]:
    """Say which metrics, events and dimensions of a query are not declared."""
    problems: list[str] = []
    code = re.sub(r"//.*", "", text)
    used = set(re.findall(r'"(opswatch\.[^"]*)"', code))
    known = telemetry["metrics"] if "AppMetrics" in code else telemetry["events"]
    problems += [f"{name} is not declared" for name in sorted(used - known.keys())]
    if not used and "AppRequests" not in code:
        problems.append("names no metric and no event")
    # A metric is found by its name, an event by the field of that name.
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
        f"adds up a {kind} as if it were none"
        for kind in kinds
        if len(kinds) == 1 and re.search(wrong.get(kind, "(?!)"), code)
    ]
    # The parser lets it pass, and it is never true.
    problems += [
        f"compares the text {field} with what is no text"
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
def analyse(queries: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    """Return what the parser says of each query: its errors and the columns that it yields."""
    given = {
        "tables": TABLES,
        "queries": [{"name": name, "text": text} for name, text in queries],
    }
    done = subprocess.run(
        ["node", str(_NODE)],
        cwd=ROOT,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: list[dict[str, Any]] = json.loads(done.stdout)
    return answer
