"""What the checks are worth: faults sown one at a time into a copy, each of which must be found."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.checks import CHECKS, Project
from tests.infra.checks.project import ROOT, TYPE_FILES

DEPLOYING = (
    ".devcontainer",
    ".funcignore",
    ".github",
    "azure.yaml",
    "docs/runbook.md",
    "docs/telemetry.md",
    "host.json",
    "infra",
    "local.settings.sample.json",
)
MAIN = "infra/main.bicep"
APP = "infra/modules/function-app.bicep"
STORAGE = "infra/modules/storage.bicep"
ROLES = "infra/modules/roles.bicep"
READER = "infra/modules/operation-reader.bicep"
ALERTS = "infra/modules/alerts.bicep"
VAULT = "infra/modules/vault.bicep"
NETWORK = "infra/modules/network.bicep"
MONITORING = "infra/modules/monitoring.bicep"


class Fault(NamedTuple):
    what: str
    file: str
    old: str
    new: str


FAULTS = [
    # Syntax and names
    Fault("a brace is missing", STORAGE, "resource blobService", "}\nresource blobService"),
    Fault(
        "a parameter is misspelt where used", APP, "serverFarmId: plan.id", "serverFarmId: plna.id"
    ),
    Fault(
        "a parameter is unused",
        VAULT,
        "param recover bool",
        "param recover bool\nparam spare string",
    ),
    Fault("two resources share a name", APP, "resource scm ", "resource ftp "),
    Fault("a function does not exist", MAIN, "toLower(uniqueString(", "lowercase(uniqueString("),
    Fault("a module's parameter is not given", MAIN, "    dailyCapGb: logDailyCapGb\n", ""),
    Fault(
        "a module has no such parameter",
        MAIN,
        "recover: recoverKeyVault",
        "recovered: recoverKeyVault",
    ),
    Fault("a module has no such output", MAIN, "app.outputs.uri", "app.outputs.url"),
    Fault("a module is not there", MAIN, "modules/vault.bicep", "modules/keyvault.bicep"),
    Fault(
        "a module goes to the wrong scope", MAIN, "    scope: subscription(id)\n", "    scope: rg\n"
    ),
    Fault("the role module is for a resource group", READER, "targetScope = 'subscription'\n", ""),
    Fault("a string where a number belongs", MAIN, "int = 40", "int = '40'"),
    Fault("a default is not allowed", MAIN, "int = 512", "int = 1024"),
    Fault(
        "a conditional module is used without a condition",
        MAIN,
        "privateNetworking ? network!.outputs.appSubnetId : ''",
        "network!.outputs.appSubnetId",
    ),
    Fault("a query file is not there", ALERTS, "queries/access.kql", "queries/denied.kql"),
    # Types
    Fault("a property is misspelt", STORAGE, "allowBlobPublicAccess:", "allowBlobPublicAcess:"),
    Fault("a choice is none of Azure's", STORAGE, "'TLS1_2'", "'TLS12'"),
    Fault("an api version does not exist", STORAGE, "queues@2024-01-01", "queues@2024-01-31"),
    Fault("a required property is missing", READER, "    roleDefinitionId: role.id\n", ""),
    Fault(
        "a read-only property is set",
        MONITORING,
        "Application_Type: 'web'",
        "Application_Type: 'web'\n    ConnectionString: 'x'",
    ),
    Fault("a boolean is a string", APP, "httpsOnly: true", "httpsOnly: 'true'"),
    Fault("a reference is to nothing", VAULT, "vault.properties.vaultUri", "vault.properties.uri"),
    Fault(
        "a network property is misspelt", NETWORK, "privateLinkServiceId:", "privateLinkServiceID:"
    ),
    # Security
    Fault(
        "shared keys open the storage",
        STORAGE,
        "allowSharedKeyAccess: false",
        "allowSharedKeyAccess: true",
    ),
    Fault("shared keys are not spoken of", STORAGE, "    allowSharedKeyAccess: false\n", ""),
    Fault(
        "blobs may be public",
        STORAGE,
        "allowBlobPublicAccess: false",
        "allowBlobPublicAccess: true",
    ),
    Fault("the package is public", STORAGE, "publicAccess: 'None'", "publicAccess: 'Blob'"),
    Fault("TLS 1.0 will do", STORAGE, "'TLS1_2'", "'TLS1_0'"),
    Fault("http will do", APP, "httpsOnly: true", "httpsOnly: false"),
    Fault(
        "FTP is spoken of, which Flex Consumption refuses",
        APP,
        "      scmMinTlsVersion: '1.2'\n",
        "      scmMinTlsVersion: '1.2'\n      ftpsState: 'Disabled'\n",
    ),
    Fault("basic publishing is on", APP, "allow: false", "allow: true"),
    Fault("basic publishing is not spoken of", APP, "  name: 'scm'\n", "  name: 'ftp'\n"),
    Fault("telemetry takes keys", MONITORING, "DisableLocalAuth: true", "DisableLocalAuth: false"),
    Fault("a key is asked for", APP, "'managedidentity'", "account.listKeys().keys[0].value"),
    Fault(
        "a connection string is set",
        APP,
        "  AZURE_CLIENT_ID: identityClientId\n",
        "  AzureWebJobsStorage: 'DefaultEndpointsProtocol=https;AccountKey=a'\n",
    ),
    Fault(
        "the package is fetched by connection string",
        APP,
        "type: 'UserAssignedIdentity'",
        "type: 'StorageAccountConnectionString'",
    ),
    Fault(
        "a role is another",
        ROLES,
        "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
        "17d1049b-9a84-46fb-8f53-869881c3d3ab",
    ),
    Fault(
        "a role is Owner",
        ROLES,
        "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    ),
    Fault("a right is for the whole group", ROLES, "  scope: vault\n", ""),
    Fault(
        "an assignment is for the wrong principal",
        MAIN,
        "identityPrincipalId: identity.outputs.principalId",
        "identityPrincipalId: identity.outputs.clientId",
    ),
    Fault(
        "operators may do what the app may",
        ROLES,
        "operatorPrincipalId, roleIds.storageTableDataReader)",
        "operatorPrincipalId, roleIds.storageTableDataContributor)",
    ),
    Fault("an action is a wildcard", READER, "operationsStatus/read", "*"),
    Fault(
        "every action",
        READER,
        "actions: union(cacheReadActions, moreReadActions)",
        "actions: ['*']",
    ),
    Fault(
        "an action too many",
        READER,
        "  'Microsoft.Cache/locations/asyncOperations/read'\n",
        "  'Microsoft.Cache/redisEnterprise/listKeys/action'\n",
    ),
    Fault("an action too few", READER, "  'Microsoft.Cache/locations/asyncOperations/read'\n", ""),
    Fault("the role can be assigned anywhere", READER, "      subscription().id\n", "      '/'\n"),
    Fault("added actions may be wildcards", READER, " && !contains(action, '*')", ""),
    Fault(
        "secrets can be purged",
        VAULT,
        "enablePurgeProtection: true",
        "enablePurgeProtection: false",
    ),
    Fault(
        "the vault has access policies",
        VAULT,
        "enableRbacAuthorization: true",
        "enableRbacAuthorization: false",
    ),
    Fault(
        "the vault stays open in a private network",
        VAULT,
        "privateNetworking ? 'Deny' : 'Allow'",
        "'Allow'",
    ),
    Fault(
        "an output tells a secret",
        VAULT,
        "output name string",
        "output secret string = vault.name\noutput name string",
    ),
    # What a deployment would refuse, or what would not run
    Fault(
        "the runtime is set as elsewhere",
        APP,
        "  AZURE_CLIENT_ID: identityClientId\n",
        "  AZURE_CLIENT_ID: identityClientId\n  FUNCTIONS_WORKER_RUNTIME: 'python'\n",
    ),
    Fault("the instance cap is below Azure's least", MAIN, "int = 40", "int = 10"),
    Fault("the instance cap is a thousand", MAIN, "int = 40", "int = 1000"),
    Fault("the storage name has a hyphen", "infra/abbreviations.json", '"st"', '"st-"'),
    Fault(
        "the vault's name is too long", "infra/abbreviations.json", '"kv-"', '"keyvault-opswatch-"'
    ),
    Fault(
        "azd does not find the app",
        APP,
        "'azd-service-name': 'opswatch'",
        "'azd-service-name': 'api'",
    ),
    Fault(
        "azd does not find the group",
        MAIN,
        "'azd-env-name': environmentName",
        "'azd-env': environmentName",
    ),
    Fault(
        "the queue is reached at the table's address",
        APP,
        "queueServiceUri: account.properties.primaryEndpoints.queue",
        "queueServiceUri: account.properties.primaryEndpoints.table",
    ),
    Fault("a queue has another name", STORAGE, "  'deliveries-poison'\n", "  'delivery-poison'\n"),
    Fault("a table is missing", STORAGE, "  'outbox'\n", ""),
    Fault("queues are made as tables", STORAGE, "parent: queueService", "parent: tableService"),
    Fault("a setting is misspelt", MAIN, "OPSWATCH_POLL_MAX: pollMax", "OPSWATCH_POLLMAX: pollMax"),
    Fault(
        "two settings are swapped", MAIN, "OPSWATCH_POLL_MIN: pollMin", "OPSWATCH_POLL_MIN: pollMax"
    ),
    Fault("the app starts before its rights", MAIN, "  dependsOn: [\n    roles\n  ]\n", ""),
    Fault(
        "the subnet is delegated to App Service",
        NETWORK,
        "Microsoft.App/environments",
        "Microsoft.Web/serverFarms",
    ),
    Fault("an endpoint is for the wrong service", NETWORK, "groupId: 'queue'", "groupId: 'file'"),
    Fault("the action group is in a region", ALERTS, "location: 'global'", "location: location"),
    # Alerts
    Fault("an alert is off", ALERTS, "      enabled: true\n", "      enabled: false\n"),
    Fault("an alert tells nobody", ALERTS, "          operators.id\n", ""),
    Fault("silence does not fire", ALERTS, "operator: 'LessThan'", "operator: 'GreaterThan'"),
    Fault("an alert measures what is not there", ALERTS, "measure: 'Percent'", "measure: 'Share'"),
    Fault("an alert looks at less than it waits", ALERTS, "window: 'PT30M'", "window: 'PT5M'"),
    Fault("a query does not parse", "infra/queries/poison.kql", "| summarize", "| summarise"),
    Fault(
        "a query reads a column that is not there",
        "infra/queries/errors.kql",
        "ResultCode",
        "StatusCode",
    ),
    Fault(
        "a query reads the old table", "infra/queries/overdue.kql", "AppMetrics", "customMetrics"
    ),
    Fault(
        "a query names no metric of ours",
        "infra/queries/heartbeat.kql",
        "opswatch.heartbeat",
        "opswatch.heart_beat",
    ),
    Fault(
        "a query compares with what never comes",
        "infra/queries/abandoned.kql",
        '"abandoned"',
        '"failed"',
    ),
    Fault(
        "a chart names no event of ours",
        "infra/workbook.json",
        "opswatch.finished",
        "opswatch.ended",
    ),
    Fault("an alert is not in the runbook", "docs/runbook.md", "## throttled", "## throttling"),
    # Around the templates
    Fault(
        "azd's parameter is misspelt", "infra/main.parameters.json", '"alertEmail"', '"alertMail"'
    ),
    Fault(
        "azd's default is another",
        "infra/main.parameters.json",
        "NETWORKING=false",
        "NETWORKING=true",
    ),
    Fault("azd's service has another name", "azure.yaml", "  opswatch: #", "  api: #"),
    Fault("the package is built at home", "azure.yaml", "remoteBuild: true", "remoteBuild: false"),
    Fault("local settings are deployed", ".funcignore", "/local.settings*.json\n", ""),
    Fault("the demo is deployed", ".funcignore", "/opswatch/local/\n", ""),
    Fault("the app is not deployed", ".funcignore", "/tests/\n", "/tests/\n/opswatch/\n"),
    Fault(
        "the sample lacks a setting",
        "local.settings.sample.json",
        '    "OPSWATCH_POLL_COST": "2",\n',
        "",
    ),
    Fault("the sample holds a bad value", "local.settings.sample.json", '"PT24H"', '"24h"'),
    Fault(
        "an action is pinned by tag",
        ".github/workflows/ci.yml",
        "actions/setup-node@2028fbc5c25fe9cf00d9f06a71cc4710d4507903 # v6.0.0",
        "actions/setup-node@v6",
    ),
    Fault("a workflow may write", ".github/workflows/ci.yml", "contents: read", "contents: write"),
    Fault(
        "a workflow has a key that GitHub does not know",
        ".github/workflows/deploy.yml",
        "    needs: ci\n",
        "    need: ci\n",
    ),
    Fault(
        "a workflow deploys with a secret",
        ".github/workflows/deploy.yml",
        "vars.AZURE_CLIENT_ID",
        "secrets.AZURE_CLIENT_ID",
    ),
    Fault(
        "a setting is lost on the way",
        ".github/workflows/deploy.yml",
        "      OPSWATCH_RETENTION: ${{ vars.OPSWATCH_RETENTION }}\n",
        "",
    ),
    Fault(
        "nothing compiles the templates",
        ".github/workflows/ci.yml",
        "az bicep build",
        "echo az bicep",
    ),
    # host.json
    Fault(
        "the host has no queue trigger",
        "host.json",
        """  "extensionBundle": {
    "id": "Microsoft.Azure.Functions.ExtensionBundle",
    "version": "[4.*, 5.0.0)"
  },
""",
        "",
    ),
    Fault("the extensions are those of years ago", "host.json", "[4.*, 5.0.0)", "[2.*, 3.0.0)"),
    Fault("plain text goes to poison", "host.json", 'Encoding": "none"', 'Encoding": "base64"'),
    Fault("the host misses a setting", "host.json", "messageEncoding", "messageEncodng"),
    Fault("the host takes no such batch", "host.json", '"batchSize": 32', '"batchSize": 64'),
    Fault("an instance takes more than is told", "host.json", "224", "480"),
    Fault(
        "the paths have another prefix", "host.json", '"routePrefix": "api"', '"routePrefix": ""'
    ),
    Fault("telemetry goes the old way", "host.json", '  "telemetryMode": "OpenTelemetry",\n', ""),
    Fault("a log level is none", "host.json", '"Azure.Core": "Warning"', '"Azure.Core": "Warn"'),
    # Set, and looked at by nobody
    Fault(
        "an alert is muted and resolved at once, which Azure refuses",
        ALERTS,
        "      autoMitigate: true\n",
        "      autoMitigate: true\n      muteActionsDuration: 'PT1H'\n",
    ),
    Fault(
        "an address is let in past the network",
        STORAGE,
        "      bypass: 'None'\n",
        "      bypass: 'None'\n      ipRules: [{ value: '203.0.113.7' }]\n",
    ),
    Fault(
        "the app sets how it scales twice",
        APP,
        "    httpsOnly: true\n",
        "    httpsOnly: true\n    containerSize: 2048\n",
    ),
    Fault(
        "a new workspace is asked for tables that it may not have yet",
        ALERTS,
        "      skipQueryValidation: true\n",
        "",
    ),
    # Queries
    Fault(
        "silence yields no row",
        "infra/queries/heartbeat.kql",
        "Beats = count()",
        "Beats = count() by Name",
    ),
    Fault(
        "a text is compared with numbers",
        "infra/queries/access.kql",
        '("401", "403")',
        "(401, 403)",
    ),
    Fault(
        "an alert tells of every delivery",
        "infra/queries/abandoned.kql",
        '| where tostring(Properties.state) == "abandoned"\n',
        "",
    ),
    Fault("an alert tells of another code", "infra/queries/access.kql", '"401", "403"', '"404"'),
    Fault(
        "an alert tells of another metric",
        "infra/queries/rejections.kql",
        "opswatch.rejections",
        "opswatch.misses",
    ),
    Fault("depths are added up", "infra/queries/poison.kql", "max(Sum)", "sum(Sum)"),
    Fault("the worst poll is counted alone", "infra/workbook.json", "Polls = sum(", "Polls = max("),
    Fault("the address is no address", APP, "'https://${site", "'${site"),
    # azure.yaml
    Fault("azd's host is none", "azure.yaml", "host: function\n", "host: functionapp\n"),
    Fault(
        "azd runs a hook",
        "azure.yaml",
        "services:\n",
        "hooks:\n  postprovision: ./go.sh\nservices:\n",
    ),
    Fault("the template's version is another", "azure.yaml", "opswatch@0.1.0", "opswatch@0.0.9"),
    # Workflows
    Fault(
        "a stranger's change runs with our rights",
        ".github/workflows/ci.yml",
        "  pull_request:\n",
        "  pull_request_target:\n",
    ),
    Fault(
        "every push deploys",
        ".github/workflows/deploy.yml",
        "on:\n",
        "on:\n  push:\n    branches: [main]\n",
    ),
    Fault("nothing is checked first", ".github/workflows/deploy.yml", "    needs: ci\n", ""),
    Fault(
        "nobody guards the deployment",
        ".github/workflows/deploy.yml",
        "    environment: ${{ inputs.environment }}\n",
        "",
    ),
    Fault(
        "nobody signs in",
        ".github/workflows/deploy.yml",
        "      AZURE_TENANT_ID: ${{ vars.AZURE_TENANT_ID }}\n",
        "",
    ),
    Fault(
        "a default is another on GitHub",
        ".github/workflows/deploy.yml",
        "NETWORKING || 'false'",
        "NETWORKING || 'true'",
    ),
    Fault(
        "the next deployment cuts one off",
        ".github/workflows/deploy.yml",
        "cancel-in-progress: false",
        "cancel-in-progress: true",
    ),
    Fault(
        "nobody looks for known vulnerabilities",
        ".github/workflows/ci.yml",
        "      - run: pip-audit --requirement requirements.txt\n",
        "",
    ),
    Fault("a Python is not tested", ".github/workflows/ci.yml", '"3.11", "3.12", ', '"3.11", '),
    # Pages, and what people look at
    Fault(
        "the operators get the app's right to read operations",
        MAIN,
        "      principalId: identity.outputs.principalId\n      additional",
        "      principalId: operatorPrincipalId\n      additional",
    ),
    Fault(
        "the runbook names no setting",
        "docs/runbook.md",
        "raise `OPSWATCH_POLL_MIN`",
        "raise `OPSWATCH_POLL_LEAST`",
    ),
    Fault(
        "the runbook names no parameter",
        "docs/runbook.md",
        "raise `maximumInstanceCount`",
        "raise `maxInstanceCount`",
    ),
    Fault("a page names no file", "infra/README.md", "checks/symbols.py", "checks/names.py"),
    Fault(
        "a chart follows no time range",
        "infra/workbook.json",
        'FromParameter": "TimeRange"',
        'FromParameter": "Range"',
    ),
    Fault(
        "people develop on a Python that is not supported",
        ".devcontainer/devcontainer.json",
        "python:3.13-",
        "python:3.9-",
    ),
]
# Faults that these checks cannot find, and why.
BLIND = [
    (
        Fault(
            "a region that lacks Flex Consumption",
            "infra/main.parameters.json",
            "${AZURE_LOCATION}",
            "${AZURE_LOCATION}",
        ),
        "the value is the user's, and only Azure knows its regions",
    ),
    (
        Fault("a module's deployment has another name", MAIN, "name: 'workbook'", "name: 'page'"),
        "any name that is not used twice will do",
    ),
    (
        Fault("a description says something untrue", READER, "; nothing else.'", "; and more.'"),
        "prose is read by people",
    ),
]


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("project")
    for name in DEPLOYING:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name)
        else:
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture
def sow(copy: Path) -> Iterator["Sower"]:
    sower = Sower(copy)
    yield sower
    sower.restore()


class Sower:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._before: dict[Path, str] = {}

    def __call__(self, fault: Fault) -> list[str]:
        """Sow the fault and return what the checks say."""
        path = self._root / fault.file
        text = path.read_text("utf-8")
        assert fault.old in text, f"{fault.file} no longer holds {fault.old!r}"
        self._before[path] = text
        path.write_text(text.replace(fault.old, fault.new, 1), "utf-8")
        return [str(found) for check in CHECKS for found in check.check(Project(self._root))]

    def restore(self) -> None:
        for path, text in self._before.items():
            path.write_text(text, "utf-8")


NEEDS_TYPES = {
    "a property is misspelt",
    "an api version does not exist",
    "a read-only property is set",
    "a reference is to nothing",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_sown_fault_is_found(fault: Fault, sow: Sower) -> None:
    if fault.what in NEEDS_TYPES and not TYPE_FILES.is_dir():
        pytest.skip("Bicep's type files are not beside the checkout")
    assert sow(fault)


@pytest.mark.parametrize("fault", [fault for fault, _ in BLIND], ids=lambda fault: fault.what)
def test_a_fault_that_cannot_be_found_is_listed(fault: Fault, sow: Sower) -> None:
    assert sow(fault) == []
