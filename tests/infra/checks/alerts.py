"""The alert rules: each asks its own query, fires when it should, and somebody is told."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from tests.infra.checks.bicep import flat, items, literal, lookup, properties
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

# Alert -> severity, aggregation, operator, threshold.
ALERTS = {
    "poison": ("1", "Maximum", "GreaterThan", "0"),
    "overdue": ("1", "Maximum", "GreaterThan", "300"),
    "heartbeat": ("1", "Total", "LessThan", "1"),
    "abandoned": ("2", "Total", "GreaterThan", "0"),
    "access": ("1", "Total", "GreaterThan", "0"),
    "throttled": ("2", "Maximum", "GreaterThan", "5"),
    "rejections": ("3", "Total", "GreaterThan", "0"),
    "errors": ("2", "Total", "GreaterThan", "0"),
}
# Alert -> what its query must ask, or it would tell of something else than its title.
ASKS = {
    "poison": ('Name == "opswatch.poison.depth"',),
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
    "rejections": ('Name == "opswatch.rejections"',),
    "errors": ("AppRequests", 'ResultCode startswith "5"'),
}
_FIRES = ("severity", "aggregation", "operator", "threshold")
_RECEIVERS = (
    "empty(alertEmail) ? [] : "
    "[ { name: 'operators' emailAddress: alertEmail useCommonAlertSchema: true } ]"
)
_COLUMNS = {
    "name",
    "displayName",
    "severity",
    "query",
    "measure",
    "aggregation",
    "operator",
    "threshold",
    "frequency",
    "window",
}
# https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule
_PERIODS = {"PT5M": 5, "PT10M": 10, "PT15M": 15, "PT30M": 30, "PT45M": 45, "PT1H": 60}


def check(project: Project) -> list[Finding]:
    found = [*_whole(project)]
    for name, row in alert_rules(project).items():
        told = {key: flat(node) for key, node in row.items()}
        found += _rule(project.module("alerts").name, name, told)
        found += _asks(project, name)
    return found


def alert_rules(project: Project) -> dict[str, dict[str, Node]]:
    """Return the alert rules by name, each with the values of its table row."""
    variable = project.module("alerts").get("var", "rules")
    rows = [dict(properties(item)) for item in items(variable.value if variable else None)]
    return {literal(row["name"]) or "": row for row in rows if "name" in row}


def _whole(project: Project) -> Iterator[Finding]:
    source = project.module("alerts")
    rules = alert_rules(project)
    variable = source.get("var", "rules")
    rows = items(variable.value if variable else None)
    if rules.keys() != ALERTS.keys() or len(rows) != len(ALERTS):
        yield Finding(source.name, f"alerts on {sorted(rules)}, not on {sorted(ALERTS)}")
    loop = source.get("resource", "queryRules")
    if not loop or "for rule in rules:" not in flat(loop.node):
        yield Finding(source.name, "not every rule becomes an alert")
    group = source.get("resource", "operators")
    receivers = flat(lookup(group.body if group else None, "properties.emailReceivers"))
    if receivers != _RECEIVERS:
        yield Finding(source.name, "nobody is told")


def _rule(place: str, name: str, told: dict[str, str]) -> Iterator[Finding]:
    if told.get("query") != f"loadTextContent('../queries/{name}.kql')":
        yield Finding(place, f"{name} asks another query than its own")
    if told.keys() != _COLUMNS:
        yield Finding(place, f"{name} has {sorted(told)}")
    fires = tuple(told.get(key, "").strip("'") for key in _FIRES)
    if fires != ALERTS.get(name):
        yield Finding(place, f"{name} is {fires}, not {ALERTS.get(name)}")
    frequency, window = (
        _PERIODS.get(told.get(key, "").strip("'"), 0) for key in ("frequency", "window")
    )
    if not 0 < frequency <= window <= 60:
        yield Finding(place, f"{name}: runs each {frequency} min over {window} min")


def _asks(project: Project, name: str) -> Iterator[Finding]:
    place = f"infra/queries/{name}.kql"
    asked = re.sub(r"//.*", "", project.read(place))
    for part in ASKS.get(name, ()):
        if part not in asked:
            yield Finding(place, f"does not ask {part}")
