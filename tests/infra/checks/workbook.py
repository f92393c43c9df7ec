"""The workbook: it parses, its charts ask the workspace over the chosen time, and it is shown.

Its queries are held by `kusto`.
"""

from collections.abc import Iterator
from typing import Any

from tests.infra.checks.bicep import flat, lookup
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

PLACE = "infra/workbook.json"
_ASKED = "microsoft.operationalinsights/workspaces"


def check(project: Project) -> list[Finding]:
    try:
        document = project.json(PLACE)
    except ValueError as error:
        return [Finding(PLACE, str(error))]
    return [*_document(document), *_charts(document["items"]), *_shown(project)]


def _document(document: dict[str, Any]) -> Iterator[Finding]:
    if document.get("version") != "Notebook/1.0":
        yield Finding(PLACE, "is no workbook")
    if document.get("fallbackResourceIds") != ["{workspaceId}"]:
        yield Finding(PLACE, "does not ask the workspace")
    names = [item.get("name") for item in document["items"]]
    if len(set(names)) != len(names):
        yield Finding(PLACE, "two items have one name")


def _charts(items: list[dict[str, Any]]) -> Iterator[Finding]:
    ranges = {
        parameter["name"] for item in items for parameter in item["content"].get("parameters", ())
    }
    for item in items:
        content = item["content"]
        if "query" not in content:
            continue
        if content.get("timeContextFromParameter") not in ranges:
            yield Finding(PLACE, f"{item['name']} does not follow the time range")
        if content.get("resourceType") != _ASKED:
            yield Finding(PLACE, f"{item['name']} asks no workspace")


def _shown(project: Project) -> Iterator[Finding]:
    workbook = project.module("workbook").get("resource", "workbook")
    data = flat(lookup(workbook.body if workbook else None, "properties.serializedData"))
    if data != "replace(loadTextContent('../workbook.json'), '{workspaceId}', workspaceId)":
        yield Finding("infra/modules/workbook.bicep", "does not show workbook.json")
