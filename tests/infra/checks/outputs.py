"""The outputs of main.bicep, and what the hooks and the smoke test read of them.

A snapshot contains no outputs, so their texts are compared.
"""

import re

from opswatch.api import API_PATH
from tests.infra.checks.project import Project

PLACE = "infra/main.bicep"
OUTPUTS = {
    "AZURE_LOCATION": "location",
    "AZURE_TENANT_ID": "tenant().tenantId",
    "AZURE_RESOURCE_GROUP": "rg.name",
    "AZURE_FUNCTION_NAME": "applicationName",
    "AZURE_KEY_VAULT_NAME": "keyVaultName",
    "OPSWATCH_STORAGE_ACCOUNT": "storageAccountName",
    "OPSWATCH_URL": "app.outputs.uri",
    "OPSWATCH_PAGE": f"'${{app.outputs.uri}}{API_PATH}/dashboard'",
}
# azd's own variables: https://learn.microsoft.com/azure/developer/azure-developer-cli/environment-variables-faq
_OF_AZD = {"AZURE_SUBSCRIPTION_ID", "AZURE_PRINCIPAL_ID"}
# File: how it reads a variable.
_READERS = {
    "infra/hooks/postprovision.sh": r"\$\{?((?:AZURE|OPSWATCH)_\w+)",
    "infra/hooks/postprovision.ps1": r"\$env:((?:AZURE|OPSWATCH)_\w+)",
    "infra/smoke/__main__.py": r'values\["(\w+)"\]',
}
_PRINTED = {
    "infra/hooks/postprovision.sh": "$OPSWATCH_PAGE",
    "infra/hooks/postprovision.ps1": "$env:OPSWATCH_PAGE",
}


def check(project: Project) -> list[str]:
    given = dict(re.findall(r"^output (\w+) string = (.*)$", project.read(PLACE), re.MULTILINE))
    found = [
        f"{PLACE}: the output {name} is {given.get(name)}, not {OUTPUTS.get(name)}"
        for name in sorted(given.keys() | OUTPUTS.keys())
        if given.get(name) != OUTPUTS.get(name)
    ]
    known = OUTPUTS.keys() | _OF_AZD | project.variables()
    for place, pattern in _READERS.items():
        read = set(re.findall(pattern, project.read(place)))
        found += [f"{place}: nothing sets {name}" for name in sorted(read - known)]
    for place, name in _PRINTED.items():
        if f"the page is at {name}" not in project.read(place):
            found.append(f"{place}: does not print where the page is")
    return found
