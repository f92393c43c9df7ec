"""Rules for what the templates deploy: each check looks at the snapshot of one set of variables."""

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import opswatch.config
from opswatch.core.wire import QUEUES, TABLES
from tests.infra.bicep import SUBSCRIPTION, TENANT, Bicep

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("kept")
OTHER = "33333333-3333-3333-3333-33333333abcd"
ROLE_NAME = "44444444-4444-4444-4444-444444444444"
_CODE = Path(opswatch.config.__file__).read_text("utf-8")
SETTINGS = set(re.findall(r'"(OPSWATCH_[A-Z_]+)"', _CODE))
# The endpoint follows from the cloud; a different one is for the local simulator only.
PASSED_ON = SETTINGS - {"OPSWATCH_CLOUD", "OPSWATCH_CALLBACK_SECRETS", "OPSWATCH_ARM_ENDPOINT"}

BASE = {"AZURE_ENV_NAME": "ops", "AZURE_LOCATION": "westeurope"}
_ROLE_ID = f"/subscriptions/{OTHER}/providers/Microsoft.Authorization/roleDefinitions/{ROLE_NAME}"
SETS: Mapping[str, Mapping[str, str]] = {
    "defaults": {},
    "everything": {
        **{name: f'it\'s the "{name}"' for name in PASSED_ON},  # to see each under its own name
        "OPSWATCH_ALERT_EMAIL": "ops@example.com",
        "OPSWATCH_ALWAYS_READY": "1",
        "OPSWATCH_MAX_INSTANCES": " 4 ",
        "OPSWATCH_NETWORK_PREFIX": "10.7.8.0/24",
        "OPSWATCH_OPERATOR_ID": "the-operators",
        "OPSWATCH_PRIVATE_NETWORKING": "true",
        "OPSWATCH_PYTHON_VERSION": "3.11",
        "OPSWATCH_READERS_ID": "the-reader",
        "OPSWATCH_READERS_TYPE": "User",
        "OPSWATCH_READ_ACTIONS": "Microsoft.Compute/locations/operations/read,",
        "OPSWATCH_RECOVER_VAULT": "true",
        "OPSWATCH_TRACE_RATIO": "0.05",
        "OPSWATCH_ZONE_REDUNDANT": "True",
    },
    "subscriptions": {
        "OPSWATCH_WATCHED_SUBSCRIPTIONS": f" {SUBSCRIPTION} ,{OTHER.upper()},{OTHER},"
    },
    "role": {"OPSWATCH_READER_ROLE_ID": _ROLE_ID},
}
# The role as an administrator deploys it: infra/README.md.
_ROLE_ALONE = f"""using './modules/operation-reader-role.bicep'
param instanceName = 'ops'
param assignableScopes = ['/subscriptions/{SUBSCRIPTION}', '/subscriptions/{OTHER}']
param additionalReadActions = ['Some.Provider/operations/READ', 'a/*/read', 'b/write'
  'MICROSOFT.CACHE/locations/asyncOperations/read']
"""

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
    "overdue": (1, "Maximum", "GreaterThan", 300, "Seconds"),
    "heartbeat": (1, "Total", "LessThan", 1, "Runs"),
    "abandoned": (2, "Total", "GreaterThan", 0, "Deliveries"),
    "access": (1, "Total", "GreaterThan", 0, "Misses"),
    "throttled": (2, "Maximum", "GreaterThan", 5, "Percent"),
    "rejections": (3, "Total", "GreaterThan", 0, "Messages"),
    "errors": (2, "Total", "GreaterThan", 0, "Requests"),
}
_MINUTES = {"PT5M": 5, "PT15M": 15, "PT30M": 30}
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
_NAMES = {
    "Microsoft.Insights/components": r"appi-[a-z0-9]{13}",
    "Microsoft.KeyVault/vaults": r"[a-z][a-z0-9-]{1,22}[a-z0-9]",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[a-z0-9][\w-]{2,127}",
    "Microsoft.OperationalInsights/workspaces": r"[a-z0-9][a-z0-9-]{2,61}[a-z0-9]",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.Web/serverfarms": r"[a-z0-9-]{1,60}",
    "Microsoft.Web/sites": r"[a-z0-9][a-z0-9-]{0,58}[a-z0-9]",
}
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
    },
}
# Symbols that must wait for each other although no reference orders them.
ORDER = {
    "main.bicep": {
        *(("app", each) for each in ("identity", "monitoring", "roles", "storage")),
        *(("roles", each) for each in ("identity", "monitoring", "storage", "vault")),
        ("app", "network"),
        ("network", "storage"),
        ("network", "vault"),
        ("operationReader", "identity"),
    },
    "modules/function-app.bicep": {("ftp", "appSettings"), ("scm", "ftp")},
    "modules/network.bicep": {("zoneGroups", "links")},
    "modules/operation-reader.bicep": {("assignment", "definition")},
}


@dataclass(frozen=True)
class Deployment:
    """The snapshot of one set of variables."""

    name: str
    snapshot: Mapping[str, Any]

    @property
    def resources(self) -> list[dict[str, Any]]:
        return list(self.snapshot["predictedResources"])

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the resources whose type ends with `kind`."""
        return [each for each in self.resources if each["type"].endswith(f"/{kind}")]

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = self.all(kind)
        return found

    def id(self, kind: str) -> str:
        return str(self.one(kind)["id"])

    @property
    def has_everything(self) -> bool:
        return self.name == "everything"

    @property
    def watched(self) -> list[str]:
        return [SUBSCRIPTION, OTHER] if self.name == "subscriptions" else [SUBSCRIPTION]


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
    if not of.has_everything:
        assert [each for each in of.resources if "Microsoft.Network" in each["type"]] == []
        assert of.one("sites")["properties"]["virtualNetworkSubnetId"] is None
        return
    network = of.one("virtualNetworks")
    space = ipaddress.ip_network(network["properties"]["addressSpace"]["addressPrefixes"][0])
    subnets = {each["name"]: each["properties"] for each in network["properties"]["subnets"]}
    assert str(space) == "10.7.8.0/24"
    halves = [ipaddress.ip_network(subnets[each]["addressPrefix"]) for each in ("app", "endpoints")]
    assert halves == list(space.subnets())
    (delegation,) = subnets["app"]["delegations"]
    assert delegation["properties"]["serviceName"] == "Microsoft.App/environments"
    site = of.one("sites")["properties"]
    assert site["virtualNetworkSubnetId"] == f"{network['id']}/subnets/app"
    account, vault = of.id("storageAccounts"), of.id("vaults")
    linked = {}
    for each in of.all("privateEndpoints"):
        assert each["properties"]["subnet"] == {"id": f"{network['id']}/subnets/endpoints"}
        (link,) = each["properties"]["privateLinkServiceConnections"]
        (group,) = link["properties"]["groupIds"]
        linked[group] = link["properties"]["privateLinkServiceId"]
    assert linked == {"blob": account, "queue": account, "table": account, "vault": vault}
    zones = [_zone(group) for group in linked]
    assert [each["name"] for each in of.all("privateDnsZones")] == zones
    links = {each["id"]: each["properties"] for each in of.all("virtualNetworkLinks")}
    assert [zone for zone in zones if not any(zone.strip("[]") in each for each in links)] == []
    for properties in links.values():
        assert properties["virtualNetwork"] == {"id": network["id"]}
    for each, group in zip(of.all("privateDnsZoneGroups"), linked, strict=True):
        assert f"-{group}/" in each["id"]
        (config,) = each["properties"]["privateDnsZoneConfigs"]
        assert _zone(group).strip("[]") in config["properties"]["privateDnsZoneId"]


def _zone(group: str) -> str:
    if group == "vault":
        suffix = "environment().suffixes.keyvaultDns"
        return f"[replace({suffix}, '.vault.', 'privatelink.vaultcore.')]"
    return f"[format('privatelink.{group}.{{0}}', environment().suffixes.storage)]"


def app_can_run(of: Deployment) -> None:
    site, plan = of.one("sites"), of.one("serverfarms")
    properties, identity = site["properties"], of.id("userAssignedIdentities")
    config = properties["functionAppConfig"]
    assert properties.keys() - {"virtualNetworkSubnetId"} == {
        *_SITE, "functionAppConfig", "keyVaultReferenceIdentity", "serverFarmId",
    }  # fmt: skip
    assert {name: properties[name] for name in _SITE} == _SITE
    assert properties["serverFarmId"] == plan["id"]
    assert properties["keyVaultReferenceIdentity"] == identity
    assert site["identity"]["userAssignedIdentities"] == {identity: {}}
    assert (site["kind"], plan["sku"]["name"]) == ("functionapp,linux", "FC1")
    assert plan["properties"] == {"reserved": True, "zoneRedundant": of.has_everything}
    assert config["runtime"] == {
        "name": "python",
        "version": "3.11" if of.has_everything else "3.13",
    }
    assert config["scaleAndConcurrency"] == {
        "instanceMemoryMB": 512,
        "maximumInstanceCount": 4 if of.has_everything else 40,
        "alwaysReady": [{"name": "function:operations", "instanceCount": 1}]
        if of.has_everything
        else [],
    }
    package = config["deployment"]["storage"]
    assert package["authentication"] == {
        "type": "UserAssignedIdentity",
        "userAssignedIdentityResourceId": identity,
    }
    container = of.one("containers")["name"].rpartition("/")[2]
    assert package["value"] == f"[format('{{0}}{{1}}', {_account(of)}.blob, '{container}')]"
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
        "OTEL_TRACES_SAMPLER": "microsoft.fixed_percentage",
        "OTEL_TRACES_SAMPLER_ARG": "0.05" if of.has_everything else "1.0",
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
    for each in of.resources:
        assert re.fullmatch(_NAMES.get(each["type"], ".*"), each["name"], re.DOTALL), each["name"]
        is_global = each["type"].startswith(
            ("Microsoft.Insights/actionGroups", "Microsoft.Network/privateDnsZones")
        )
        assert each.get("location") in (None, "global" if is_global else "westeurope")
    sku = of.one("storageAccounts")["sku"]["name"]
    assert sku == ("Standard_ZRS" if of.has_everything else "Standard_LRS")


def alerts_fire(of: Deployment) -> None:
    group = of.one("actionGroups")
    email = {
        "name": "operators",
        "emailAddress": "ops@example.com",
        "useCommonAlertSchema": True,
    }
    assert group["properties"]["emailReceivers"] == ([email] if of.has_everything else [])
    rules = {each["name"].removeprefix("opswatch-"): each for each in of.all("scheduledQueryRules")}
    assert rules.keys() == ALERTS.keys()
    for name, rule in rules.items():
        properties = rule["properties"]
        (criterion,) = properties["criteria"]["allOf"]
        query = (ROOT / f"infra/queries/{name}.kql").read_text("utf-8")
        # The first line names the query; checks/kusto.py checks the others.
        assert criterion["query"].partition("\n")[0] == query.partition("\n")[0]
        severity, aggregation, operator, threshold, measure = ALERTS[name]
        assert properties == {
            "displayName": properties["displayName"],
            "description": f"What to do: docs/runbook.md, section {name}.",
            "severity": severity,
            "enabled": True,
            "scopes": [of.id("workspaces")],
            "evaluationFrequency": properties["evaluationFrequency"],
            "windowSize": properties["windowSize"],
            "autoMitigate": True,
            "skipQueryValidation": True,
            "criteria": {
                "allOf": [
                    {
                        "query": criterion["query"],
                        "metricMeasureColumn": measure,
                        "timeAggregation": aggregation,
                        "operator": operator,
                        "threshold": threshold,
                        "failingPeriods": {
                            "numberOfEvaluationPeriods": 1,
                            "minFailingPeriodsToAlert": 1,
                        },
                    }
                ]
            },
            "actions": {"actionGroups": [group["id"]]},
        }
        assert (
            _MINUTES[properties["evaluationFrequency"]] <= _MINUTES[properties["windowSize"]]
        )  # or some minutes are never queried


def telemetry_is_bounded(of: Deployment) -> None:
    workspace = of.one("workspaces")["properties"]
    assert workspace["retentionInDays"] == 30
    assert workspace["workspaceCapping"] == {"dailyQuotaGb": 5}
    assert of.one("components")["properties"]["WorkspaceResourceId"] == of.id("workspaces")
    audit = of.one("diagnosticSettings")
    assert audit["id"].startswith(of.id("vaults"))
    assert audit["properties"] == {
        "workspaceId": of.id("workspaces"),
        "logs": [{"category": "AuditEvent", "enabled": True}],
    }
    page = of.one("workbooks")["properties"]
    assert page["sourceId"] == of.id("workspaces")
    data = json.loads(page["serializedData"])
    assert data["fallbackResourceIds"] == [of.id("workspaces")]


def outputs_are_names(of: Deployment) -> None:
    site = f"reference('{of.id('sites')}', '2024-04-01').defaultHostName"
    assert of.snapshot["outputs"] == {
        "AZURE_FUNCTION_NAME": of.one("sites")["name"],
        "AZURE_KEY_VAULT_NAME": of.one("vaults")["name"],
        "AZURE_LOCATION": "westeurope",
        "AZURE_RESOURCE_GROUP": of.one("resourceGroups")["name"],
        "AZURE_TENANT_ID": TENANT,
        "OPSWATCH_STORAGE_ACCOUNT": of.one("storageAccounts")["name"],
        "OPSWATCH_URL": f"[format('https://{{0}}', {site})]",
    }


CHECKS: list[Callable[[Deployment], None]] = [
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
    outputs_are_names,
]


def evaluate(bicep: Bicep, infra: Path, name: str) -> Deployment:
    """Return what the templates in `infra` deploy for the set of variables `name`."""
    return Deployment(name, bicep.snapshot(infra / "main.bicepparam", {**BASE, **SETS[name]}))


def evaluate_role(bicep: Bicep, infra: Path) -> dict[str, Any]:
    """Return the properties of the role that an administrator deploys alone."""
    file = infra / "role-alone.bicepparam"
    file.write_text(_ROLE_ALONE, "utf-8")
    (role,) = bicep.snapshot(file, {})["predictedResources"]
    return dict(role["properties"])


def role_alone_is_exact(role: dict[str, Any]) -> None:
    assert role["permissions"] == [_permission(["Some.Provider/operations/READ"])]
    assert role["assignableScopes"] == [f"/subscriptions/{SUBSCRIPTION}", f"/subscriptions/{OTHER}"]


def as_kept(deployment: Deployment) -> str:
    """Return the text of a snapshot that is kept, without the texts of queries and the workbook:
    they have files and checks themselves.
    """
    text = json.dumps(deployment.snapshot, indent=2, sort_keys=True, ensure_ascii=False)
    text = re.sub(r'"serializedData": ".*"', '"serializedData": "infra/workbook.json"', text)
    return re.sub(r'"query": "// (.*?)\\n.*"', r'"query": "\1"', text) + "\n"


def kept(name: str) -> str:
    return (KEPT / f"{name}.json").read_text("utf-8")


def findings(bicep: Bicep, infra: Path) -> Iterator[str]:
    """Yield what is wrong with the templates in `infra`, the cheapest checks first."""
    yield from bicep.diagnostics(infra / "main.bicep")
    for file, edges in ORDER.items():
        for source, target in edges - bicep.order(infra / file):
            yield f"{file}: {source} does not wait for {target}"
    for name in SETS:
        try:
            deployment = evaluate(bicep, infra, name)
        except RuntimeError as error:
            yield f"{name}: {error}"
            continue
        for check in CHECKS:
            try:
                check(deployment)
            except (AssertionError, LookupError, ValueError):
                yield f"{name}: {check.__name__}"
        if as_kept(deployment) != kept(name):
            yield f"{name}: differs from the kept snapshot"
    try:
        role_alone_is_exact(evaluate_role(bicep, infra))
    except (AssertionError, RuntimeError):
        yield "role alone"
