"""The workbook: its charts query the workspace over the selected time.

Its queries are checked by `kusto`, its place in the deployment by `tests/infra/deployment.py`.
"""

from collections.abc import Iterator
from typing import Any

from tests.infra.checks.project import Project

PLACE = "infra/workbook.json"
_WORKSPACE = "microsoft.operationalinsights/workspaces"


def check(project: Project) -> list[str]:
    try:
        document = project.json(PLACE)
    except ValueError as error:
        return [f"{PLACE}: {error}"]
    return [*_document(document), *_charts(document["items"])]


def _document(document: dict[str, Any]) -> Iterator[str]:
    if document.get("version") != "Notebook/1.0":
        yield f"{PLACE}: is not a workbook"
    if document.get("fallbackResourceIds") != ["{workspaceId}"]:
        yield f"{PLACE}: does not query the workspace"
    names = [item.get("name") for item in document["items"]]
    if len(set(names)) != len(names):
        yield f"{PLACE}: two items have the same name"


def _charts(items: list[dict[str, Any]]) -> Iterator[str]:
    ranges = {
        parameter["name"] for item in items for parameter in item["content"].get("parameters", ())
    }
    for item in items:
        content = item["content"]
        if "query" not in content:
            continue
        if content.get("timeContextFromParameter") not in ranges:
            yield f"{PLACE}: {item['name']} does not follow the selected time"
        if content.get("resourceType") != _WORKSPACE:
            yield f"{PLACE}: {item['name']} does not query a workspace"
