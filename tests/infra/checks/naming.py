"""Names and wiring: each value reaches the parameter of its name, and Azure takes the names."""

import re
from collections.abc import Iterator

from opswatch.rows.messages import QUEUES
from opswatch.rows.tables import TABLES
from tests.infra.checks.bicep import Source, flat, items, literal, lookup, properties
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

# Prefix and what Azure takes: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
_TOKEN = "abcdefghij012"  # uniqueString gives thirteen of [a-z0-9]
ABBREVIATIONS = {
    "insightsComponents": r"[\w.()-]{1,259}[\w()-]",
    "keyVaultVaults": r"[a-z][a-z0-9-]{1,22}[a-z0-9]",
    "managedIdentityUserAssignedIdentities": r"[a-z0-9][\w-]{2,127}",
    "networkVirtualNetworks": r"[a-z0-9][\w.-]{0,62}\w",
    "operationalInsightsWorkspaces": r"[a-z0-9][a-z0-9-]{2,61}[a-z0-9]",
    "resourcesResourceGroups": r"[\w.()-]{1,89}[\w()-]",
    "storageStorageAccounts": r"[a-z0-9]{3,24}",
    "webServerFarms": r"[a-z0-9-]{1,60}",
    "webSitesFunctions": r"[a-z0-9][a-z0-9-]{0,58}[a-z0-9]",
}
# Tables that the platform or an administrator's page needs besides those of the app.
EXTRA_TABLES = {"hosts"}
# Values that do not bear their parameter's name.
_WIRED = {
    ("app", "name"): "'${abbrs.webSitesFunctions}${resourceToken}'",
    ("app", "planName"): "'${abbrs.webServerFarms}${resourceToken}'",
    ("app", "settings"): (
        "union(givenSettings, callbackSecretsStored ? "
        "{ OPSWATCH_CALLBACK_SECRETS: vault.outputs.callbackSecretsReference } : {})"
    ),
    ("app", "subnetId"): "privateNetworking ? network!.outputs.appSubnetId : ''",
    ("identity", "name"): "'${abbrs.managedIdentityUserAssignedIdentities}${resourceToken}'",
    ("monitoring", "componentName"): "'${abbrs.insightsComponents}${resourceToken}'",
    ("monitoring", "workspaceName"): "'${abbrs.operationalInsightsWorkspaces}${resourceToken}'",
    ("network", "appSubnetPrefix"): "cidrSubnet(networkAddressPrefix, 25, 0)",
    ("network", "endpointSubnetPrefix"): "cidrSubnet(networkAddressPrefix, 25, 1)",
    ("network", "name"): "'${abbrs.networkVirtualNetworks}${resourceToken}'",
    ("operationReader", "instanceName"): "'${environmentName}-${resourceToken}'",
    ("storage", "name"): "storageAccountName",
    ("vault", "name"): "keyVaultName",
}

_GENERIC = {"clientId", "id", "name", "principalId"}


def check(project: Project) -> list[Finding]:
    found: list[Finding] = []
    found += _abbreviations(project)
    found += _wiring(project)
    found += _scopes(project)
    found += _entities(project)
    found += _uniqueness(project)
    for source in project.sources.values():
        found += _outputs(source)
    return found


def _abbreviations(project: Project) -> Iterator[Finding]:
    given = project.json("infra/abbreviations.json")
    if given.keys() != ABBREVIATIONS.keys():
        yield Finding("infra/abbreviations.json", "other kinds than those deployed")
    text = project.read("infra/main.bicep")
    for kind, pattern in ABBREVIATIONS.items():
        name = given.get(kind, "?") + _TOKEN
        if not re.fullmatch(pattern, name):
            yield Finding("infra/abbreviations.json", f"{kind}: Azure refuses {name}")
        if text.count(f"abbrs.{kind}}}") != 1:
            yield Finding("infra/main.bicep", f"abbrs.{kind} does not name exactly one resource")
    prefixes = list(given.values())
    if len(set(prefixes)) != len(prefixes):
        yield Finding("infra/abbreviations.json", "two kinds have one prefix")


def _wiring(project: Project) -> Iterator[Finding]:
    main = project.main
    for module in main.all("module"):
        params = lookup(module.body, "params")
        for name, node in properties(params) if params is not None else ():
            want = _WIRED.get((module.name, name))
            fits = flat(node) == want if want else _matches(name, flat(node))
            if not fits:
                yield main.finding(node, f"{flat(node)} goes to {name} of {module.name}")
    loop = main.get("module", "operationReader")
    if not loop or "for id in watched:" not in flat(loop.node):
        yield Finding(main.name, "not every watched subscription gets its role")
    conditions = {
        module.name: module.condition for module in main.all("module") if module.condition
    }
    if conditions != {"network": "(privateNetworking)"}:
        yield Finding(main.name, f"modules are deployed only if {conditions}")
    app = main.get("module", "app")
    if flat(lookup(app.body if app else None, "dependsOn")) != "[ roles ]":
        yield Finding(main.name, "the app may start before it has its rights")


def _matches(name: str, value: str) -> bool:
    """Whether a value is of the parameter's name, maybe with its module's before it."""
    output = re.fullmatch(r"(\w+)\.outputs\.(\w+)", value)
    if output is None:
        given = value.lower()
        if name in _GENERIC:
            return value == name  # anybody's would end like that
        return bool(re.fullmatch(r"\w+", value)) and (
            given.endswith(name.lower()) or given.startswith(name.lower())
        )
    module, last = output[1].lower(), output[2].lower()
    generic = last in ("id", "name", "principalid", "clientid")
    wanted = {module + last, f"{module}account{last}", f"key{module}{last}"} if generic else {last}
    if module == "identity" and name == "principalId":
        wanted.add("principalid")
    return name.lower() in wanted or (not generic and name.lower().endswith(last))


def _scopes(project: Project) -> Iterator[Finding]:
    for module in project.main.all("module"):
        want = "subscription(id)" if module.name == "operationReader" else "rg"
        if flat(lookup(module.body, "scope")) != want:
            yield project.main.finding(module.node, f"{module.name} is not deployed to {want}")
    want_watched = (
        "empty(watchedSubscriptionIds) ? [subscription().subscriptionId] "
        ": split(replace(watchedSubscriptionIds, ' ', ''), ',')"
    )
    watched = project.main.get("var", "watched")
    if flat(watched.value if watched else None) != want_watched:
        yield Finding(project.main.name, "the watched subscriptions are not those asked for")


def _entities(project: Project) -> Iterator[Finding]:
    source = project.module("storage")
    wanted = {
        "queueNames": {name + tail for name in QUEUES for tail in ("", "-poison")},
        "tableNames": set(TABLES) | EXTRA_TABLES,
    }
    for variable, want in wanted.items():
        declared = source.get("var", variable)
        names = [literal(node) or "" for node in items(declared.value if declared else None)]
        if set(names) != want or len(names) != len(want):
            odd = sorted(set(names) ^ want)
            yield Finding(source.name, f"{variable} differ from the code in {odd or 'number'}")
    for loop, over in (("queues", "queueNames"), ("tables", "tableNames")):
        resource = source.get("resource", loop)
        if not resource or f"in {over}:" not in flat(resource.node):
            yield Finding(source.name, f"{loop} are not those of {over}")
    container = source.get("resource", "deploymentContainer")
    name = literal(lookup(container.body if container else None, "name")) or ""
    if not re.fullmatch(r"[a-z0-9](-?[a-z0-9]){2,62}", name):
        yield Finding(source.name, f"{name!r} is no name of a container")


def _uniqueness(project: Project) -> Iterator[Finding]:
    wanted = {
        "resourceToken": "toLower(uniqueString(subscription().id, environmentName, location))",
        "tags": "{ 'azd-env-name': environmentName }",
        "storageAccountName": "'${abbrs.storageStorageAccounts}${resourceToken}'",
        "keyVaultName": "'${abbrs.keyVaultVaults}${resourceToken}'",
        "clouds": "{ AzureCloud: 'public' AzureUSGovernment: 'usgov' AzureChinaCloud: 'china' }",
        "abbrs": "loadJsonContent('./abbreviations.json')",
    }
    for name, want in wanted.items():
        variable = project.main.get("var", name)
        if flat(variable.value if variable else None) != want:
            yield Finding(project.main.name, f"{name} is not {want}")
    group = project.main.get("resource", "rg")
    name = flat(lookup(group.body if group else None, "name"))
    if name != "'${abbrs.resourcesResourceGroups}${environmentName}'":
        yield Finding(project.main.name, f"the resource group is named {name}")


def _outputs(source: Source) -> Iterator[Finding]:
    """An output tells what its name says: `xId` the id of x, `name` a name."""
    for output in source.all("output"):
        value = flat(output.value)
        match = re.fullmatch(r"(\w+)(?:\.\w+)*\.(\w+)", value)
        if source.scope == "subscription":
            continue
        if match is None:
            if value != COMPOSED.get(output.name):
                yield source.finding(output.node, f"output {output.name} is {value}")
            continue
        symbol, last = match[1].lower(), match[2].lower()
        if source.get("resource", match[1]) is None:
            yield source.finding(output.node, f"output {output.name} is of no resource")
        if output.name.lower() not in (last, symbol + last):
            yield source.finding(output.node, f"output {output.name} is {value}")
    if source.name == "infra/main.bicep":
        given = {output.name: flat(output.value) for output in source.all("output")}
        for name in sorted(given.keys() | MAIN_OUTPUTS.keys()):
            if given.get(name) != MAIN_OUTPUTS.get(name):
                yield Finding(source.name, f"output {name} is {given.get(name)}")


COMPOSED = {
    "callbackSecretsReference": (
        "'@Microsoft.KeyVault(SecretUri=${vault.properties.vaultUri}secrets/callback-secrets)'"
    ),
    "uri": "'https://${site.properties.defaultHostName}'",
}
MAIN_OUTPUTS = {
    "AZURE_LOCATION": "location",
    "AZURE_TENANT_ID": "tenant().tenantId",
    "AZURE_RESOURCE_GROUP": "rg.name",
    "AZURE_FUNCTION_NAME": "app.outputs.name",
    "AZURE_KEY_VAULT_NAME": "vault.outputs.name",
    "OPSWATCH_STORAGE_ACCOUNT": "storage.outputs.name",
    "OPSWATCH_URL": "app.outputs.uri",
}
