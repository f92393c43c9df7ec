"""Who may do what: the exact roles, on the exact scopes, and nothing that opens more."""

from collections.abc import Iterator

from tests.infra.checks.bicep import (
    Declaration,
    Source,
    flat,
    items,
    literal,
    lookup,
    properties,
    walk,
)
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "keyVaultSecretsOfficer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "keyVaultSecretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "monitoringMetricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "storageBlobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "storageQueueDataContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "storageQueueDataMessageSender": "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
    "storageTableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "storageTableDataReader": "76199698-9eea-4c19-bc75-cec21354c6b6",
}
# Assignment -> (where it holds, which role, whose).
ASSIGNMENTS = {
    "appOnStorage": ("account", "roleId", "identityPrincipalId"),
    "appOnVault": ("vault", "roleIds.keyVaultSecretsUser", "identityPrincipalId"),
    "appOnComponent": ("component", "roleIds.monitoringMetricsPublisher", "identityPrincipalId"),
    "operatorOnQueue": (
        "operations",
        "roleIds.storageQueueDataMessageSender",
        "operatorPrincipalId",
    ),
    "operatorOnTables": ("account", "roleIds.storageTableDataReader", "operatorPrincipalId"),
    "operatorOnVault": ("vault", "roleIds.keyVaultSecretsOfficer", "operatorPrincipalId"),
}
APP_STORAGE_ROLES = [
    "roleIds.storageBlobDataOwner",
    "roleIds.storageQueueDataContributor",
    "roleIds.storageTableDataContributor",
]
CACHE_READ_ACTIONS = {
    "Microsoft.Cache/locations/operationsStatus/read",
    "Microsoft.Cache/locations/asyncOperations/read",
    "Microsoft.Cache/locations/operationResults/read",
}


def check(project: Project) -> list[Finding]:
    return [
        *_roles(project.module("roles")),
        *_assignments(project.module("roles")),
        *_subjects(project.module("roles")),
        *_elsewhere(project),
        *_reader(project),
    ]


def _roles(source: Source) -> Iterator[Finding]:
    variable = source.get("var", "roleIds")
    role_ids = dict(properties(variable.value)) if variable and variable.value is not None else {}
    if {name: literal(node) for name, node in role_ids.items()} != ROLES:
        yield Finding(source.name, "roleIds are not the built-in roles of those names")
    storage_roles = source.get("var", "appStorageRoleIds")
    given = [flat(node) for node in items(storage_roles.value if storage_roles else None)]
    if given != APP_STORAGE_ROLES:
        yield Finding(source.name, "the app has other rights on its storage than it needs")


def _assignments(source: Source) -> Iterator[Finding]:
    assignments = {
        each.name: each
        for each in source.all("resource")
        if each.resource_type == "Microsoft.Authorization/roleAssignments"
    }
    if assignments.keys() != ASSIGNMENTS.keys():
        yield Finding(source.name, f"assigns {sorted(assignments)}, not {sorted(ASSIGNMENTS)}")
    for name in assignments.keys() & ASSIGNMENTS.keys():
        scope, role, principal = ASSIGNMENTS[name]
        definitions = "subscriptionResourceId('Microsoft.Authorization/roleDefinitions', "
        operator = principal == "operatorPrincipalId"
        expected = {
            "scope": scope,
            "name": f"guid({scope}.id, {principal}, {role})",
            "properties.roleDefinitionId": f"{definitions}{role})",
            "properties.principalId": principal,
            "properties.principalType": (
                "operatorPrincipalType" if operator else "'ServicePrincipal'"
            ),
        }
        yield from _assignment(source, assignments[name], expected)
        condition = "(!empty(operatorPrincipalId))" if operator else None
        if assignments[name].condition != condition:
            yield source.finding(assignments[name].node, f"{name} is not if {condition}")
    loop = assignments.get("appOnStorage")
    if loop and "for roleId in appStorageRoleIds:" not in flat(loop.node):
        yield source.finding(loop.node, "appOnStorage does not go over appStorageRoleIds")


def _subjects(source: Source) -> Iterator[Finding]:
    """What rights are given on are the resources that were handed in."""
    for name, want in (
        ("account", "storageAccountName"),
        ("vault", "keyVaultName"),
        ("component", "componentName"),
        ("queueService", "'default'"),
        ("operations", "'operations'"),
    ):
        resource = source.get("resource", name)
        if not resource or not resource.existing or flat(lookup(resource.body, "name")) != want:
            yield Finding(source.name, f"{name} is not the existing {want}")


def _elsewhere(project: Project) -> Iterator[Finding]:
    homes = ("infra/modules/roles.bicep", "infra/modules/operation-reader.bicep")
    for source in project.sources.values():
        for each in source.all("resource"):
            gives = each.resource_type.startswith("Microsoft.Authorization/")
            if gives and source.name not in homes:
                yield source.finding(each.node, "rights are given in roles.bicep only")


def _assignment(
    source: Source, assignment: Declaration, expected: dict[str, str]
) -> Iterator[Finding]:
    for path, want in expected.items():
        have = flat(lookup(assignment.body, path))
        if have != want:
            yield source.finding(
                assignment.node, f"{assignment.name}: {path} is {have or 'absent'}, not {want}"
            )


def _reader(project: Project) -> Iterator[Finding]:
    source = project.module("operation-reader")
    actions = source.get("var", "cacheReadActions")
    have = [literal(node) for node in items(actions.value if actions else None)]
    if sorted(map(str, have)) != sorted(CACHE_READ_ACTIONS):
        yield Finding(source.name, f"the actions are {have}")
    more = source.get("var", "moreReadActions")
    want = (
        "filter( split(replace(additionalReadActions, ' ', ''), ','), "
        "action => endsWith(action, '/read') && !contains(action, '*') )"
    )
    if flat(more.value if more else None) != want:
        yield Finding(source.name, "additional actions may be more than single read actions")
    permissions = [node for node in walk(source.root) if flat(node) == "permissions"]
    assignments = [each for each in source.all("resource") if "roleAssignments" in each.literal]
    if len(permissions) != 1 or len(assignments) != 1:
        yield Finding(source.name, "is more than one role, assigned once")
    for assignment in assignments:
        yield from _assignment(
            source,
            assignment,
            {
                "name": "guid(subscription().id, principalId, role.id)",
                "properties.roleDefinitionId": "role.id",
                "properties.principalId": "principalId",
                "properties.principalType": "'ServicePrincipal'",
            },
        )
    role = source.get("resource", "role")
    name = flat(lookup(role.body if role else None, "properties.roleName"))
    if "${subscription().subscriptionId}" not in name or "${instanceName}" not in name:
        yield Finding(source.name, "the role's name is not unique in its tenant")
