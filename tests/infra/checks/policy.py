"""What must hold of the templates beyond their types: no key, nothing open, nothing without bound.

Expectations are exact texts, so that a change of a template is a change there too, and is seen.
"""

import re
from collections.abc import Iterator

from tests.infra.checks.bicep import (
    Source,
    flat,
    items,
    literal,
    lookup,
    text,
)
from tests.infra.checks.expected import EXPECTED
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project
from tests.infra.checks.rights import ROLES

ENDPOINTS = {
    "blob": ("storageAccountId", "'privatelink.blob.${environment().suffixes.storage}'"),
    "queue": ("storageAccountId", "'privatelink.queue.${environment().suffixes.storage}'"),
    "table": ("storageAccountId", "'privatelink.table.${environment().suffixes.storage}'"),
    "vault": (
        "keyVaultId",
        "replace(environment().suffixes.keyvaultDns, '.vault.', 'privatelink.vaultcore.')",
    ),
}

# Flex Consumption refuses these with error 51021, or they carry what an identity should.
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
FORBIDDEN = {
    r"\blist(Keys|\w*Sas|Secrets|ConnectionStrings|Credentials|HostKeys|\w*Token)\b": (
        "asks for a key"
    ),
    r"\bAccountKey=|\bSharedAccessKey\b|\bSharedAccessSignature\b|\bsig=": "holds a key",
    r"\bwhsec_\w": "holds a callback secret",
    r"StorageAccountConnectionString|EndpointSuffix": "uses a connection string",
    r"\b(ENABLE_ORYX_BUILD|FUNCTIONS_(EXTENSION_VERSION|MAX_HTTP_CONCURRENCY|WORKER_\w+))\b": (
        "sets what Flex Consumption refuses"
    ),
    r"\b(SCM_DO_BUILD_DURING_DEPLOYMENT|WEBSITE_(CONTENT\w+|DNS_SERVER|RUN_FROM_PACKAGE))\b": (
        "sets what Flex Consumption refuses"
    ),
    r"\bWEBSITE_(MAX_DYNAMIC\w+|NODE_DEFAULT_VERSION|SKIP_CONTENT\w+|VNET_ROUTE_ALL|USE_\w+)\b": (
        "sets what Flex Consumption refuses"
    ),
    r"\b(alwaysOn|containerSize|ftpsState|isReserved|isXenon|vnet\w+Enabled)\b": (
        "sets what Flex Consumption refuses"
    ),
    r"\b(functionAppScaleLimit|functionsRuntimeScaleMonitoringEnabled|preWarmedInstanceCount)\b": (
        "sets what Flex Consumption refuses"
    ),
    r"\b((linux|windows)FxVersion|(java|netFramework|powerShell)Version|use32BitWorkerProcess)\b": (
        "sets what Flex Consumption refuses"
    ),
    r"'http://": "is not https",
    r"'[^'\n]*\*[^'\n]*/[^'\n]*'|actions: \[\s*'\*'|/\*/|/\*'": "grants a wildcard",
    r"\.(core\.windows\.net|vault\.azure\.net|management\.azure\.com)": "names one cloud's host",
}
# Parameter -> how it is bounded, and its possible defaults ("": required).
BOUNDS = {
    "callbackSecretsStored": ("", ("false",)),
    "environmentName": ("@minLength(1) @maxLength(32)", ("",)),
    "instanceMemoryMB": ("@allowed([ 512 2048 4096 ])", ("512", "2048")),
    "location": ("@minLength(1) @metadata({ azd: { type: 'location' } })", ("",)),
    "logDailyCapGb": ("@minValue(1)", tuple(map(str, range(1, 11)))),
    "logRetentionDays": ("@minValue(30) @maxValue(730)", ("30",)),
    "maximumInstanceCount": ("@minValue(40) @maxValue(1000)", tuple(map(str, range(40, 101)))),
    "operatorPrincipalType": ("@allowed([ 'Group' 'ServicePrincipal' 'User' ])", ("'Group'",)),
    "privateNetworking": ("", ("false",)),
    "pythonVersion": ("@allowed([ '3.11' '3.12' '3.13' ])", ("'3.13'",)),
    "recoverKeyVault": ("", ("false",)),
    "zoneRedundant": ("", ("false",)),
}
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PREVIEW_ALLOWED = {"Microsoft.Insights/diagnosticSettings"}  # never left preview


def check(project: Project) -> list[Finding]:
    found: list[Finding] = []
    for source in project.sources.values():
        found += _expected(source)
        found += _forbidden(source)
    found += _missing(project)
    found += _network(project)
    found += _publishing(project)
    found += _bounds(project)
    return found


def _expected(source: Source) -> Iterator[Finding]:
    for resource in source.all("resource"):
        if resource.existing:
            continue
        kind = resource.resource_type
        if kind not in EXPECTED and kind != "Microsoft.Authorization/roleAssignments":
            yield source.finding(resource.node, f"{kind} is nothing that opswatch deploys")
        for path, want in EXPECTED.get(kind, {}).items():
            have = flat(lookup(resource.body, path))
            if have != want:
                yield source.finding(
                    resource.node, f"{kind}: {path} is {have or 'absent'}, not {want}"
                )
        if resource.literal.endswith("preview") and kind not in _PREVIEW_ALLOWED:
            yield source.finding(resource.node, f"{kind} at a preview version")
        if resource.condition not in (None, "(!empty(operatorPrincipalId))"):
            yield source.finding(resource.node, f"{kind} only if {resource.condition}")


def _forbidden(source: Source) -> Iterator[Finding]:
    code = re.sub(r"^\s*//.*$", "", text(source.root), flags=re.MULTILINE)
    for pattern, reason in FORBIDDEN.items():
        match = re.search(pattern, code)
        if match:
            yield Finding(source.name, f"{match[0]!r} {reason}")
    for guid in _GUID.findall(code):
        if guid.lower() not in ROLES.values():
            yield Finding(source.name, f"{guid} is no role that opswatch gives")
    for output in source.all("output"):
        if re.search(r"(secret|password|key)s?$", output.name, re.IGNORECASE):
            yield source.finding(output.node, f"output {output.name} sounds like a secret")


def _missing(project: Project) -> Iterator[Finding]:
    declared = {
        resource.resource_type
        for source in project.sources.values()
        for resource in source.all("resource")
        if not resource.existing
    }
    for kind in EXPECTED.keys() - declared:
        yield Finding("infra", f"no {kind} is declared")


def _network(project: Project) -> Iterator[Finding]:
    source = project.module("network")
    variable = source.get("var", "endpoints")
    have = {
        literal(lookup(item, "groupId")): (
            flat(lookup(item, "serviceId")),
            flat(lookup(item, "zone")),
        )
        for item in items(variable.value if variable else None)
    }
    if have != ENDPOINTS:
        yield Finding(source.name, f"the endpoints are {have}")
    network = source.get("resource", "network")
    subnets = {
        literal(lookup(item, "name")): lookup(item, "properties")
        for item in items(lookup(network.body if network else None, "properties.subnets"))
    }
    wanted = {
        "app": {
            "addressPrefix": "appSubnetPrefix",
            "delegations.properties.serviceName": "'Microsoft.App/environments'",
        },
        "endpoints": {
            "addressPrefix": "endpointSubnetPrefix",
            "privateEndpointNetworkPolicies": "'Enabled'",
        },
    }
    if subnets.keys() != wanted.keys():
        yield Finding(source.name, f"the subnets are {sorted(map(str, subnets))}")
    for name, expected in wanted.items():
        for path, want in expected.items():
            if flat(lookup(subnets.get(name), path)) != want:
                yield Finding(source.name, f"subnet {name}: {path} is not {want}")
    for symbol, name in (("appSubnet", "'app'"), ("endpointSubnet", "'endpoints'")):
        subnet = source.get("resource", symbol)
        body = subnet.body if subnet else None
        if flat(lookup(body, "name")) != name or flat(lookup(body, "parent")) != "network":
            yield Finding(source.name, f"{symbol} is not the subnet {name}")
    for name, loop in (
        ("zones", "for endpoint in endpoints:"),
        ("links", "for i in range(0, length(endpoints)):"),
        ("privateEndpoints", "for endpoint in endpoints:"),
        ("zoneGroups", "for i in range(0, length(endpoints)):"),
    ):
        resource = source.get("resource", name)
        if not resource or loop not in flat(resource.node):
            yield Finding(source.name, f"{name} does not go over every endpoint")


def _publishing(project: Project) -> Iterator[Finding]:
    source = project.module("function-app")
    names = sorted(
        str(literal(lookup(each.body, "name")))
        for each in source.all("resource")
        if each.resource_type.endswith("/basicPublishingCredentialsPolicies")
    )
    if names != ["ftp", "scm"]:
        yield Finding(source.name, f"basic publishing is turned off for {names} only")


def _bounds(project: Project) -> Iterator[Finding]:
    """What a parameter may be: Azure's limits, and a bill that has a bound by default."""
    for name, (decorators, defaults) in BOUNDS.items():
        param = project.main.get("param", name)
        above = " ".join(flat(node) for node in param.decorators) if param else ""
        if not all(each in above for each in decorators.split(" @")):
            yield Finding(project.main.name, f"{name} is not bounded by {decorators}")
        default = flat(param.value if param else None)
        if default not in defaults:
            yield Finding(project.main.name, f"{name} is {default or 'required'} by default")
    for source in project.sources.values():
        for param in source.all("param"):
            if source is not project.main and param.value is not None:
                yield source.finding(param.node, f"{param.name}: defaults belong in main.bicep")
