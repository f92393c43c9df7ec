"""Nothing is set that no check looks at: a property too many is as much a change as one too few.

Azure refuses some together that are each allowed (`muteActionsDuration` with `autoMitigate`), and
others open what the rest has closed, so the list of what may be set is closed.
"""

from collections.abc import Iterator

from tree_sitter import Node

from tests.infra.checks.bicep import Source, items, properties
from tests.infra.checks.expected import EXPECTED
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

# What another check holds, or what is prose.
ELSEWHERE: dict[str, set[str]] = {
    "Microsoft.Authorization/roleAssignments": {
        "name",
        "scope",
        "properties.roleDefinitionId",
        "properties.principalId",
        "properties.principalType",
    },
    "Microsoft.Authorization/roleDefinitions": {"properties.description"},
    "Microsoft.Insights/actionGroups": {"properties.emailReceivers"},
    "Microsoft.Insights/workbooks": {"properties.serializedData"},
    "Microsoft.Network/virtualNetworks": {"properties.subnets"},
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": {"name"},
}


def check(project: Project) -> list[Finding]:
    return [found for source in project.sources.values() for found in _unlisted(source)]


def _unlisted(source: Source) -> Iterator[Finding]:
    for resource in source.all("resource"):
        if resource.existing or resource.body is None:
            continue
        kind = resource.resource_type
        listed = EXPECTED.get(kind, {}).keys() | ELSEWHERE.get(kind, set())
        for path in _paths(resource.body):
            if not any(path == each or path.startswith(f"{each}.") for each in listed):
                yield source.finding(resource.node, f"{kind}: nothing looks at {path}")


def _paths(node: Node, above: str = "") -> Iterator[str]:
    """Yield `a.b.c` for each property that holds no object, through arrays of one item."""
    within = items(node)
    if len(within) == 1 and within[0].type == "object":
        yield from _paths(within[0], above)
    elif node.type == "object" and node.named_children:
        for name, value in properties(node):
            yield from _paths(value, f"{above}.{name}" if above else name)
    else:
        yield above
