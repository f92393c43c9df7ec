"""The alert rules: each asks its own query, fires when it should, and somebody is told."""

from collections.abc import Iterator

from tree_sitter import Node

from tests.infra.checks.bicep import flat, items, literal, lookup, properties
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

# Alert -> severity, operator, threshold.
ALERTS = {
    "poison": ("1", "GreaterThan", "0"),
    "overdue": ("1", "GreaterThan", "300"),
    "heartbeat": ("1", "LessThan", "1"),
    "abandoned": ("2", "GreaterThan", "0"),
    "access": ("1", "GreaterThan", "0"),
    "throttled": ("2", "GreaterThan", "5"),
    "rejections": ("3", "GreaterThan", "0"),
    "errors": ("2", "GreaterThan", "0"),
}
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
    return [*_alerts(project)]


def alert_rules(project: Project) -> dict[str, dict[str, Node]]:
    """Return the alert rules by name, each with the values of its table row."""
    variable = project.module("alerts").get("var", "rules")
    rows = [dict(properties(item)) for item in items(variable.value if variable else None)]
    return {literal(row["name"]) or "": row for row in rows if "name" in row}


def _alerts(project: Project) -> Iterator[Finding]:
    source = project.module("alerts")
    rules = alert_rules(project)
    variable = source.get("var", "rules")
    if rules.keys() != ALERTS.keys() or len(items(variable.value if variable else None)) != len(
        ALERTS
    ):
        yield Finding(source.name, f"alerts on {sorted(rules)}, not on {sorted(ALERTS)}")
    for name, row in rules.items():
        told = {key: flat(node) for key, node in row.items()}
        if told.get("query") != f"loadTextContent('../queries/{name}.kql')":
            yield Finding(source.name, f"{name} asks another query than its own")
        if told.keys() != _COLUMNS:
            yield Finding(source.name, f"{name} has {sorted(told)}")
        fires = tuple(told.get(key, "").strip("'") for key in ("severity", "operator", "threshold"))
        if fires != ALERTS.get(name):
            yield Finding(source.name, f"{name} is {fires}, not {ALERTS.get(name)}")
        if told.get("aggregation", "").strip("'") not in {"Maximum", "Total"}:
            yield Finding(source.name, f"{name}: aggregation {told.get('aggregation')}")
        frequency, window = (
            _PERIODS.get(told.get(key, "").strip("'"), 0) for key in ("frequency", "window")
        )
        if not 0 < frequency <= window <= 60:
            yield Finding(source.name, f"{name}: runs each {frequency} min over {window} min")
    loop = source.get("resource", "queryRules")
    if not loop or "for rule in rules:" not in flat(loop.node):
        yield Finding(source.name, "not every rule becomes an alert")
    group = source.get("resource", "operators")
    receivers = flat(lookup(group.body if group else None, "properties.emailReceivers"))
    if "emailAddress: alertEmail" not in receivers or not receivers.startswith("empty(alertEmail)"):
        yield Finding(source.name, "nobody is told")
