"""What azd reads: `azure.yaml`, and which files it deploys."""

from collections.abc import Iterator

import pathspec
import yaml

from opswatch import __version__
from tests.infra.checks.project import Project
from tests.infra.deployment import ROOT

# Stricter than azd's own schema, which accepts any additional property and any host. ci.yml checks
# the schema, because it needs the network.
_FIXED = {
    "name": "opswatch",
    "metadata": {},
    "infra": {"provider": "bicep", "path": "infra", "module": "main"},
    "hooks": {
        "postprovision": {
            "posix": {"shell": "sh", "run": "infra/hooks/postprovision.sh"},
            "windows": {"shell": "pwsh", "run": "infra/hooks/postprovision.ps1"},
        }
    },
}
# The key is the azd-service-name tag of the app, which tests/infra/deployment.py checks.
_SERVICES = {
    "opswatch": {"project": ".", "language": "python", "host": "function", "remoteBuild": True}
}
# Code for the terminal and for development; test_functions_doctor.py imports the rest.
LOCAL_ONLY = (
    "opswatch/__main__.py",
    "opswatch/cli/",
    "opswatch/client/",
    "opswatch/local/",
    "opswatch/testing/",
)
# Files that the app needs besides its code, and a sample of files that it does not need.
DEPLOYED = ("host.json", "requirements.txt", "opswatch/dashboard/files/index.html")
KEPT = [
    ".ci/run", ".devcontainer/devcontainer.json", ".env", ".git/HEAD",
    ".github/workflows/ci.yml", ".venv/bin/python", ".venv-3.13/bin/python", ".azure/dev/.env",
    "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "__azurite_db_queue__.json",
    "azure.yaml", "benchmarks/cold_start.py", "docs/runbook.md", "examples/receiver.py",
    "infra/main.bicep", "local.settings.json", "local.settings.sample.json",
    "node_modules/azurite/package.json", "opswatch/__main__.py",
    "opswatch/cli/__init__.py",     "opswatch/cli/commands/post.py",
    "opswatch/local/demo.py", "opswatch/core/__pycache__/arm.cpython-313.pyc", "package.json",
    "pyproject.toml", "scripts/anything.sh", "tests/infra/test_checks.py",
]  # fmt: skip


def check(project: Project) -> list[str]:
    return [*_azure_yaml(project), *_ignored(project)]


def _azure_yaml(project: Project) -> Iterator[str]:
    place = "azure.yaml"
    try:
        document = project.yaml(place)
    except yaml.YAMLError as error:
        yield f"{place}: {error}"
        return
    if not isinstance(document, dict) or document.keys() != {*_FIXED, "services"}:
        yield f"{place}: must have exactly {sorted(_FIXED)} and services"
        return
    for key, want in (_FIXED | {"metadata": {"template": f"opswatch@{__version__}"}}).items():
        if document[key] != want:
            yield f"{place}: {key} is {document[key]}, not {want}"
    if document["services"] != _SERVICES:
        yield f"{place}: services are {document['services']}, not {_SERVICES}"


def _ignored(project: Project) -> Iterator[str]:
    spec = pathspec.GitIgnoreSpec.from_lines(project.read(".funcignore").splitlines())
    paths = [*(ROOT / "opswatch").rglob("*.py"), *(ROOT / "opswatch/dashboard/files").rglob("*.*")]
    needed = [path.relative_to(ROOT).as_posix() for path in paths]
    for path in (*DEPLOYED, *needed):
        if spec.match_file(path) and not path.startswith(LOCAL_ONLY):
            yield f".funcignore: {path} is needed by the app"
    for path in KEPT:
        if not spec.match_file(path):
            yield f".funcignore: {path} would be deployed"
