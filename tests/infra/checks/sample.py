"""The sample of local settings: every setting of the code, each with a valid value."""

from opswatch.config import Settings
from opswatch.core.errors import ConfigError
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project
from tests.infra.deployment import SETTINGS

PLACE = "local.settings.sample.json"
_FIXED = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "FUNCTIONS_WORKER_RUNTIME": "python"}


def check(project: Project) -> list[Finding]:
    try:
        document = project.json(PLACE)
        values = document["Values"]
        Settings.from_env(values)
    except (ValueError, KeyError, ConfigError) as error:
        return [Finding(PLACE, str(error))]
    found = [
        Finding(PLACE, f"{name} is in the code or in the sample only")
        for name in sorted({each for each in values if each.startswith("OPSWATCH_")} ^ SETTINGS)
    ]
    if document.get("IsEncrypted") is not False:
        found.append(Finding(PLACE, "IsEncrypted is not false"))
    for name, expected in _FIXED.items():
        if values.get(name) != expected:
            found.append(Finding(PLACE, f"{name} is not {expected}"))
    return found
