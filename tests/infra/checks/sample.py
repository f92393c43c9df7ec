"""The sample of local settings: every setting of the code, each with a valid value."""

from opswatch.config import Settings
from opswatch.core.errors import ConfigError
from tests.infra.checks.project import Project
from tests.infra.deployment import SETTINGS

PLACE = "local.settings.sample.json"
_FIXED = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "FUNCTIONS_WORKER_RUNTIME": "python"}


def check(project: Project) -> list[str]:
    try:
        document = project.json(PLACE)
        values = document["Values"]
        Settings.from_env(values)
    except (ValueError, KeyError, ConfigError) as error:
        return [f"{PLACE}: {error}"]
    found = [
        f"{PLACE}: {name} is in the code or in the sample only"
        for name in sorted({each for each in values if each.startswith("OPSWATCH_")} ^ SETTINGS)
    ]
    if document.get("IsEncrypted") is not False:
        found.append(f"{PLACE}: IsEncrypted is not false")
    for name, expected in _FIXED.items():
        if values.get(name) != expected:
            found.append(f"{PLACE}: {name} is not {expected}")
    return found
