"""The settings: one list in the code, the templates, azd's parameters and the local sample."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import opswatch.config
from opswatch.config import Settings
from opswatch.core.errors import ConfigError
from tests.infra.checks.bicep import flat, literal, properties
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project

SAMPLE = "local.settings.sample.json"
# The endpoint follows from the cloud; another one is for the simulator on a loopback host.
LOCAL_ONLY = {"OPSWATCH_ARM_ENDPOINT"}
_ENDPOINTS = "account.properties.primaryEndpoints"
PLATFORM = {
    "AzureWebJobsStorage__credential": "'managedidentity'",
    "AzureWebJobsStorage__clientId": "identityClientId",
    "AzureWebJobsStorage__blobServiceUri": f"{_ENDPOINTS}.blob",
    "AzureWebJobsStorage__queueServiceUri": f"{_ENDPOINTS}.queue",
    "AzureWebJobsStorage__tableServiceUri": f"{_ENDPOINTS}.table",
    "AZURE_CLIENT_ID": "identityClientId",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "applicationInsightsConnectionString",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "'ClientId=${identityClientId};Authorization=AAD'",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "'true'",
    "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME": "'opswatch'",
    "OTEL_TRACES_SAMPLER": "'microsoft.fixed_percentage'",
    "OTEL_TRACES_SAMPLER_ARG": "traceSamplingRatio",
}
# Settings that no parameter of the same meaning carries.
DERIVED = {"OPSWATCH_CLOUD": "clouds[environment().name]"}
# Set where the app is declared, as a reference to the vault.
SECRET = {"OPSWATCH_CALLBACK_SECRETS"}
# azd's variable for each parameter that is no setting of the app.
AZD = {
    "environmentName": "${AZURE_ENV_NAME}",
    "location": "${AZURE_LOCATION}",
    "pythonVersion": "${OPSWATCH_PYTHON_VERSION=3.13}",
    "zoneRedundant": "${OPSWATCH_ZONE_REDUNDANT=false}",
    "privateNetworking": "${OPSWATCH_PRIVATE_NETWORKING=false}",
    "networkAddressPrefix": "${OPSWATCH_NETWORK_PREFIX=10.41.0.0/24}",
    "watchedSubscriptionIds": "${OPSWATCH_WATCHED_SUBSCRIPTIONS=}",
    "additionalReadActions": "${OPSWATCH_READ_ACTIONS=}",
    "alertEmail": "${OPSWATCH_ALERT_EMAIL=}",
    "operatorPrincipalId": "${OPSWATCH_OPERATOR_ID=}",
    "operatorPrincipalType": "${OPSWATCH_OPERATOR_TYPE=Group}",
    "traceSamplingRatio": "${OPSWATCH_TRACE_RATIO=1.0}",
    "callbackSecretsStored": "${OPSWATCH_CALLBACK_SECRETS_STORED=false}",
    "recoverKeyVault": "${OPSWATCH_RECOVER_VAULT=false}",
}


def check(project: Project) -> list[Finding]:
    return [*_templates(project), *_parameters(project), *_sample(project)]


def settings_of_code() -> set[str]:
    """Return every OPSWATCH_ setting that the code reads."""
    source = Path(opswatch.config.__file__).read_text("utf-8")
    return set(re.findall(r'"(OPSWATCH_[A-Z_]+)"', source))


def _templates(project: Project) -> Iterator[Finding]:
    app = project.module("function-app")
    variable = app.get("var", "platformSettings")
    given = dict(properties(variable.value)) if variable and variable.value is not None else {}
    told = {name: flat(node) for name, node in given.items()}
    for name in sorted(told.keys() | PLATFORM.keys()):
        if told.get(name) != PLATFORM.get(name):
            yield Finding(app.name, f"{name} is {told.get(name)}, not {PLATFORM.get(name)}")
    chosen = project.main.get("var", "givenSettings")
    want = (
        "toObject( filter(items(settings), setting => !empty(setting.value)), "
        "setting => setting.key, setting => setting.value )"
    )
    if flat(chosen.value if chosen else None) != want:
        yield Finding(project.main.name, "the settings do not reach the app")
    listed = project.main.get("var", "settings")
    node = listed.value if listed else None
    passed = {name: flat(value) for name, value in properties(node)} if node is not None else {}
    for name in sorted(passed.keys() ^ (settings_of_code() - LOCAL_ONLY - SECRET)):
        yield Finding(project.main.name, f"{name} is in the code or in the template only")
    for name, value in passed.items():
        param = project.main.get("param", value)
        meant = " ".join(flat(each) for each in param.decorators) if param else ""
        if name in DERIVED:
            if value != DERIVED[name]:
                yield Finding(project.main.name, f"{name} is {value}, not {DERIVED[name]}")
        elif f"'{name}'" not in meant:
            yield Finding(project.main.name, f"{name} comes from {value}")
        elif param and literal(param.value) != "":
            yield Finding(project.main.name, f"{name} has a default besides the code's")


def _parameters(project: Project) -> Iterator[Finding]:
    place = "infra/main.parameters.json"
    try:
        document = project.json(place)
    except ValueError as error:
        yield Finding(place, str(error))
        return
    schema, version = (str(document.get(key)) for key in ("$schema", "contentVersion"))
    if not schema.endswith("/deploymentParameters.json#") or version != "1.0.0.0":
        yield Finding(place, "is no file of deployment parameters")
    given = {name: entry.get("value") for name, entry in document["parameters"].items()}
    wanted = dict(AZD)
    for param in project.main.all("param"):
        meant = " ".join(map(flat, param.decorators))
        setting = re.search(r"@description\('(OPSWATCH_\w+)'\)", meant)
        if setting:
            wanted[param.name] = f"${{{setting[1]}=}}"
        default = re.fullmatch(r"\$\{\w+=(.*)\}", given.get(param.name) or "")
        own = flat(param.value).strip("'")
        if default and default[1] != own:
            yield Finding(place, f"{param.name} is {default[1]!r} here and {own!r} in the template")
    for name in sorted(given.keys() | wanted.keys()):
        if given.get(name) != wanted.get(name):
            yield Finding(place, f"{name} is {given.get(name)}, not {wanted.get(name)}")
        if project.main.get("param", name) is None:
            yield Finding(place, f"the template has no parameter {name}")


def _sample(project: Project) -> Iterator[Finding]:
    try:
        document = json.loads(project.read(SAMPLE))
    except ValueError as error:
        yield Finding(SAMPLE, str(error))
        return
    values = document.get("Values", {})
    if document.get("IsEncrypted") is not False:
        yield Finding(SAMPLE, "IsEncrypted is not false")
    for name, want in (
        ("AzureWebJobsStorage", "UseDevelopmentStorage=true"),
        ("FUNCTIONS_WORKER_RUNTIME", "python"),
    ):
        if values.get(name) != want:
            yield Finding(SAMPLE, f"{name} is not {want}")
    named = {name for name in values if name.startswith("OPSWATCH_")}
    for name in sorted(named ^ settings_of_code()):
        yield Finding(SAMPLE, f"{name} is in the code or in the sample only")
    try:
        Settings.from_env(values)
    except ConfigError as error:
        yield Finding(SAMPLE, str(error))
