"""Rules for what the templates deploy, as assertions over a snapshot.

What no rule mentions, the kept snapshots hold.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from opswatch.rows.messages import QUEUES
from opswatch.rows.tables import TABLES
from tests.infra.bicep import SUBSCRIPTION, TENANT
from tests.infra.deployment import OTHER, PASSED_ON, ROLE_NAME, SETS, Deployment

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "76199698-9eea-4c19-bc75-cec21354c6b6": "Storage Table Data Reader",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a": "Storage Queue Data Message Sender",
    ROLE_NAME: "opswatch operation reader",
}
# Principal, scope, role: the table of infra/README.md.
ASSIGNMENTS = {
    ("app", "storage account", "Storage Blob Data Owner"),
    ("app", "storage account", "Storage Queue Data Contributor"),
    ("app", "storage account", "Storage Table Data Contributor"),
    ("app", "vault", "Key Vault Secrets User"),
    ("app", "Application Insights", "Monitoring Metrics Publisher"),
    ("operators", "queue operations", "Storage Queue Data Message Sender"),
    ("operators", "queue deliveries", "Storage Queue Data Message Sender"),
    ("operators", "storage account", "Storage Table Data Contributor"),
    ("operators", "vault", "Key Vault Secrets Officer"),
}
READERS = ("readers", "storage account", "Storage Table Data Reader")
ACTIONS = [
    "Microsoft.Cache/locations/operationsStatus/read",
    "Microsoft.Cache/locations/asyncOperations/read",
    "Microsoft.Cache/locations/operationResults/read",
    "Microsoft.Cache/redisEnterprise/operationResults/read",
    "Microsoft.Cache/redisEnterprise/databases/operationResults/read",
    "Microsoft.Cache/redisEnterprise/privateEndpointConnectionProxies/operationResults/read",
    "Microsoft.Resources/subscriptions/operationresults/read",
]
_DEPLOYER = "[deployer().objectId]"
_DEPLOYER_TYPE = "[if(empty(deployer().userPrincipalName), 'ServicePrincipal', 'User')]"
_PRINCIPALS = {
    (_DEPLOYER, _DEPLOYER_TYPE): "operators",
    ("the-operators", "Group"): "operators",
    ("the-reader", "User"): "readers",
}
_SCOPES = {
    r".*/storageAccounts/\w+/queueServices/default/queues/(\w+)": r"queue \1",
    r".*/storageAccounts/\w+": "storage account",
    r".*/vaults/[\w-]+": "vault",
    r".*/components/[\w-]+": "Application Insights",
    r"/subscriptions/([\w-]+)": r"subscription \1",
}
# Alert: severity, aggregation, operator, threshold, and the measured column of its query.
ALERTS = {
    "poison": (1, "Maximum", "GreaterThan", 0, "Messages"),
    "kept": (1, "Maximum", "GreaterThan", 4, "Minutes"),
    "overdue": (1, "Maximum", "GreaterThan", 300, "Seconds"),
    "heartbeat": (1, "Total", "LessThan", 1, "Runs"),
    "abandoned": (2, "Total", "GreaterThan", 0, "Deliveries"),
    "access": (1, "Total", "GreaterThan", 0, "Misses"),
    "throttled": (2, "Maximum", "GreaterThan", 5, "Percent"),
    "slow": (3, "Total", "GreaterThan", 0, "Operations"),
    "rejections": (3, "Total", "GreaterThan", 0, "Messages"),
    "errors": (2, "Total", "GreaterThan", 0, "Requests"),
}
_MINUTES = {"PT5M": 5, "PT15M": 15, "PT30M": 30}
# Complete properties of everything that can be reached from outside: an additional property is
# as much a change as a missing one.
_ACCOUNT = {
    "accessTier": "Hot",
    "allowBlobPublicAccess": False,
    "allowCrossTenantReplication": False,
    "allowSharedKeyAccess": False,
    "allowedCopyScope": "AAD",
    "defaultToOAuthAuthentication": True,
    "isLocalUserEnabled": False,
    "minimumTlsVersion": "TLS1_2",
    "supportsHttpsTrafficOnly": True,
}
_VAULT = {
    "tenantId": TENANT,
    "sku": {"family": "A", "name": "standard"},
    "enableRbacAuthorization": True,
    "enableSoftDelete": True,
    "softDeleteRetentionInDays": 90,
    "enablePurgeProtection": True,
    "enabledForDeployment": False,
    "enabledForDiskEncryption": False,
    "enabledForTemplateDeployment": False,
}
# Exactly these, for Flex Consumption refuses others (error 51021):
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
_SITE = {
    "httpsOnly": True,
    "publicNetworkAccess": "Enabled",
    "siteConfig": {
        "minTlsVersion": "1.2",
        "scmMinTlsVersion": "1.2",
        "http20Enabled": True,
        "remoteDebuggingEnabled": False,
        "cors": {"allowedOrigins": [], "supportCredentials": False},
    },
}


def ids_are_unique(of: Deployment) -> None:
    ids = [each["id"].lower() for each in of.resources]
    assert sorted(ids) == sorted(set(ids))
    assert of.snapshot["diagnostics"] == []


def roles_are_exact(of: Deployment) -> None:
    own = {("app", f"subscription {each}", "opswatch operation reader") for each in of.watched}
    expected = ASSIGNMENTS | own | ({READERS} if of.has_everything else set())
    assert sorted(_assignments(of)) == sorted(expected)


def _assignments(of: Deployment) -> Iterator[tuple[str, str, str]]:
    own = {each["name"]: "opswatch operation reader" for each in of.all("roleDefinitions")}
    app = f"[reference('{of.id('userAssignedIdentities')}', '2024-11-30').principalId]"
    principals = {**_PRINCIPALS, (app, "ServicePrincipal"): "app"}
    for each in of.all("roleAssignments"):
        given = each["properties"]
        role = given["roleDefinitionId"].rpartition("/")[2]
        # Its name must contain the scope, the principal and the role, or two could collide.
        scope = re.match(r"\[?guid\('([^']+)'", each["name"])
        if scope:
            assert given["principalId"].strip("[]") in each["name"]
            assert role in each["name"]
        found = scope[1] if scope else each["id"].partition("/providers/Microsoft.Authorization")[0]
        assert found in each["id"]
        yield (
            principals[given["principalId"], given["principalType"]],
            _scope(found),
            {**ROLES, **own}[role],
        )


def _scope(resource_id: str) -> str:
    for pattern, name in _SCOPES.items():
        match = re.fullmatch(pattern, resource_id)
        if match:
            return match.expand(name)
    raise LookupError(resource_id)


def actions_are_exact(of: Deployment) -> None:
    more = ["microsoft.compute/locations/operations/read"] if of.has_everything else []
    found = {each["id"].partition("/providers/")[0]: each for each in of.all("roleDefinitions")}
    scopes = [f"/subscriptions/{each}" for each in of.watched]
    assert list(found) == ([] if of.name == "role" else scopes)
    for scope, role in found.items():
        assert role["properties"]["assignableScopes"] == [scope]
        assert role["properties"]["permissions"] == [_permission(more)]
        assert scope.rpartition("/")[2] in role["properties"]["roleName"]  # unique in a tenant
        assert of.one("sites")["name"].rpartition("-")[2] in role["properties"]["roleName"]


def _permission(more: list[str]) -> dict[str, list[str]]:
    none: list[str] = []
    return {
        "actions": ACTIONS + more,
        "notActions": none,
        "dataActions": none,
        "notDataActions": none,
    }


def only_the_app_is_public(of: Deployment) -> None:
    network = {
        "publicNetworkAccess": "Disabled" if of.has_everything else "Enabled",
        "networkAcls": {
            "bypass": "None",
            "defaultAction": "Deny" if of.has_everything else "Allow",
        },
    }
    mode = {"createMode": "recover" if of.has_everything else "default"}
    assert of.one("storageAccounts")["properties"] == {**_ACCOUNT, **network}
    assert of.one("vaults")["properties"] == {**_VAULT, **network, **mode}
    assert of.one("containers")["properties"] == {"publicAccess": "None"}
    assert of.one("components")["properties"]["DisableLocalAuth"] is True
    assert of.one("workspaces")["properties"]["features"]["disableLocalAuth"] is True
    keys = r"list\w*keys|accountkey|sharedaccess|whsec_|http://"
    assert not re.search(keys, json.dumps(of.snapshot), re.IGNORECASE)
    policies = of.all("basicPublishingCredentialsPolicies")
    assert {each["name"].rpartition("/")[2]: each["properties"] for each in policies} == {
        "ftp": {"allow": False},
        "scm": {"allow": False},
    }


def endpoints_are_private(of: Deployment) -> None:
    found = [each["type"] for each in of.resources if "Microsoft.Network" in each["type"]]
    assert bool(found) is of.has_everything
    if not found:
        return
    network, account, vault = (
        of.id(kind) for kind in ("virtualNetworks", "storageAccounts", "vaults")
    )
    properties = of.one("virtualNetworks")["properties"]
    space = ipaddress.ip_network(properties["addressSpace"]["addressPrefixes"][0])
    subnets = {each["name"]: each["properties"]["addressPrefix"] for each in properties["subnets"]}
    halves = [str(half) for half in space.subnets()]
    assert subnets == dict(zip(("app", "endpoints"), halves, strict=True))
    site = of.one("sites")["properties"]
    assert site["virtualNetworkSubnetId"] == f"{network}/subnets/app"
    linked = {}
    for each in of.all("privateEndpoints"):
        assert each["properties"]["subnet"] == {"id": f"{network}/subnets/endpoints"}
        (link,) = each["properties"]["privateLinkServiceConnections"]
        (group,) = link["properties"]["groupIds"]
        linked[group] = link["properties"]["privateLinkServiceId"]
    assert linked == {"blob": account, "queue": account, "table": account, "vault": vault}
    zones = [_zone(group) for group in linked]
    assert [each["name"] for each in of.all("privateDnsZones")] == zones
    for kind in ("virtualNetworkLinks", "privateDnsZoneGroups"):
        for each, zone in zip(of.all(kind), zones, strict=True):
            assert zone.strip("[]") in each["id"] + json.dumps(each["properties"])


def _zone(group: str) -> str:
    if group == "vault":
        suffix = "environment().suffixes.keyvaultDns"
        return f"[replace({suffix}, '.vault.', 'privatelink.vaultcore.')]"
    return f"[format('privatelink.{group}.{{0}}', environment().suffixes.storage)]"


def app_can_run(of: Deployment) -> None:
    site, plan, identity = of.one("sites"), of.one("serverfarms"), of.id("userAssignedIdentities")
    properties = site["properties"]
    config = properties["functionAppConfig"]
    assert properties.keys() == {
        *_SITE, "functionAppConfig", "keyVaultReferenceIdentity", "serverFarmId",
        "virtualNetworkSubnetId",
    }  # fmt: skip
    assert {name: properties[name] for name in _SITE} == _SITE
    assert properties["keyVaultReferenceIdentity"] == identity
    assert site["identity"]["userAssignedIdentities"] == {identity: {}}
    assert (plan["sku"]["name"], plan["properties"]["zoneRedundant"]) == ("FC1", of.has_everything)
    assert config["runtime"]["version"] == ("3.11" if of.has_everything else "3.13")
    ready = [{"name": "function:operations", "instanceCount": 1}]
    assert config["scaleAndConcurrency"] == {
        "instanceMemoryMB": 512,
        "maximumInstanceCount": 4 if of.has_everything else 40,
        "alwaysReady": ready if of.has_everything else [],
    }
    container = of.one("containers")["name"].rpartition("/")[2]
    package = config["deployment"]["storage"]["value"]
    assert package == f"[format('{{0}}{{1}}', {_account(of)}.blob, '{container}')]"
    assert site["tags"] == {"azd-env-name": "ops", "azd-service-name": "opswatch"}
    assert of.one("resourceGroups")["tags"] == {"azd-env-name": "ops"}


def _account(of: Deployment) -> str:
    return f"reference('{of.id('storageAccounts')}', '2024-01-01').primaryEndpoints"


def settings_arrive(of: Deployment) -> None:
    settings, identity = of.one("config")["properties"], of.id("userAssignedIdentities")
    client = f"reference('{identity}', '2024-11-30').clientId"
    component = f"reference('{of.id('components')}', '2020-02-02')"
    vault = of.one("vaults")["name"]
    reference = "@Microsoft.KeyVault(SecretUri=https://{0}{1}/secrets/callback-secrets)"
    clouds = "'AzureCloud', 'public', 'AzureUSGovernment', 'usgov', 'AzureChinaCloud', 'china'"
    assert settings == {
        **{name: value for name, value in SETS[of.name].items() if name in PASSED_ON},
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": (
            f"[format('ClientId={{0}};Authorization=AAD', {client})]"
        ),
        "APPLICATIONINSIGHTS_CONNECTION_STRING": f"[{component}.ConnectionString]",
        "AZURE_AUTHORITY_HOST": "[environment().authentication.loginEndpoint]",
        "AZURE_CLIENT_ID": f"[{client}]",
        "AzureWebJobsStorage__blobServiceUri": f"[{_account(of)}.blob]",
        "AzureWebJobsStorage__clientId": f"[{client}]",
        "AzureWebJobsStorage__credential": "managedidentity",
        "AzureWebJobsStorage__queueServiceUri": f"[{_account(of)}.queue]",
        "AzureWebJobsStorage__tableServiceUri": f"[{_account(of)}.table]",
        "OPSWATCH_CALLBACK_SECRETS": (
            f"[format('{reference}', '{vault}', environment().suffixes.keyvaultDns)]"
        ),
        "OPSWATCH_CLOUD": f"[createObject({clouds})[environment().name]]",
        "OTEL_TRACES_SAMPLER": "microsoft.fixed_percentage"
        if of.has_everything
        else "microsoft.rate_limited",
        "OTEL_TRACES_SAMPLER_ARG": "0.05" if of.has_everything else "0.2",
        "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
        "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME": "opswatch",
        "PYTHON_ENABLE_OPENTELEMETRY": "true",
    }


def queues_and_tables_match_the_code(of: Deployment) -> None:
    queues = {name + suffix for name in QUEUES for suffix in ("", "-poison")}
    for kind, names in (("queues", queues), ("tables", set(TABLES))):
        found = [each["id"].split("/") for each in of.all(kind)]
        assert {parts[-1] for parts in found} == names
        assert {parts[-4] for parts in found} == {f"{kind[:-1]}Services"}


def names_and_places_are_valid(of: Deployment) -> None:
    # https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
    assert re.fullmatch(r"[a-z0-9]{3,24}", of.one("storageAccounts")["name"])
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,22}[a-z0-9]", of.one("vaults")["name"])
    for each in of.resources:
        is_global = each["type"].startswith(
            ("Microsoft.Insights/actionGroups", "Microsoft.Network/privateDnsZones")
        )
        assert each.get("location") in (None, "global" if is_global else "westeurope")
    sku = of.one("storageAccounts")["sku"]["name"]
    assert sku == ("Standard_ZRS" if of.has_everything else "Standard_LRS")


def alerts_fire(of: Deployment) -> None:
    group = of.one("actionGroups")
    assert len(group["properties"]["emailReceivers"]) == of.has_everything
    rules = {each["name"].removeprefix("opswatch-"): each for each in of.all("scheduledQueryRules")}
    assert rules.keys() == ALERTS.keys()
    for name, rule in rules.items():
        properties = rule["properties"]
        (criterion,) = properties["criteria"]["allOf"]
        assert ALERTS[name] == (
            properties["severity"],
            criterion["timeAggregation"],
            criterion["operator"],
            criterion["threshold"],
            criterion["metricMeasureColumn"],
        )
        assert properties["enabled"] is True
        assert properties["scopes"] == [of.id("workspaces")]
        assert properties["actions"] == {"actionGroups": [group["id"]]}
        assert properties["description"].endswith(f"section {name}.")
        every, window = properties["evaluationFrequency"], properties["windowSize"]
        assert _MINUTES[every] <= _MINUTES[window]  # or some minutes are never queried


def telemetry_is_bounded(of: Deployment) -> None:
    workspace = of.one("workspaces")
    assert workspace["properties"]["retentionInDays"] == 30
    assert workspace["properties"]["workspaceCapping"] == {"dailyQuotaGb": 5}
    assert of.one("components")["properties"]["WorkspaceResourceId"] == workspace["id"]
    page = json.loads(of.one("workbooks")["properties"]["serializedData"])
    assert page["fallbackResourceIds"] == [workspace["id"]]


def role_alone_is_exact(role: dict[str, Any]) -> None:
    assert role["permissions"] == [_permission(["Some.Provider/operations/READ"])]
    assert role["assignableScopes"] == [f"/subscriptions/{SUBSCRIPTION}", f"/subscriptions/{OTHER}"]


RULES: list[Callable[[Deployment], None]] = [
    ids_are_unique,
    roles_are_exact,
    actions_are_exact,
    only_the_app_is_public,
    endpoints_are_private,
    app_can_run,
    settings_arrive,
    queues_and_tables_match_the_code,
    names_and_places_are_valid,
    alerts_fire,
    telemetry_is_bounded,
]
