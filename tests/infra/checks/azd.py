"""What azd reads: `azure.yaml`, and which files it deploys."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pathspec
import yaml

from tests.infra.checks.finding import Finding
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
# Files that the app needs besides its modules, and a sample of files that it does not need.
DEPLOYED = ("host.json", "requirements.txt", "opswatch/dashboard/index.html")
KEPT = (
    ".ci/run",
    ".devcontainer/devcontainer.json",
    ".env",
    ".git/HEAD",
    ".github/workflows/ci.yml",
    ".venv/bin/python",
    ".venv-3.13/bin/python",
    ".azure/dev/.env",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "__azurite_db_queue__.json",
    "azure.yaml",
    "benchmarks/cold_start.py",
    "docs/runbook.md",
    "examples/receiver.py",
    "infra/main.bicep",
    "local.settings.json",
    "local.settings.sample.json",
    "node_modules/azurite/package.json",
    "opswatch/cli.py",
    "opswatch/commands/post.py",
    "opswatch/local/demo.py",
    "opswatch/core/__pycache__/arm.cpython-313.pyc",
    "package.json",
    "pyproject.toml",
    "scripts/anything.sh",
    "tests/infra/test_checks.py",
)


def check(project: Project) -> list[Finding]:
    return [*_azure_yaml(project), *_ignored(project)]


def _azure_yaml(project: Project) -> Iterator[Finding]:
    place = "azure.yaml"
    try:
        document = project.yaml(place)
    except yaml.YAMLError as error:
        yield Finding(place, str(error))
        return
    if not isinstance(document, dict) or document.keys() != {*_FIXED, "services"}:
        yield Finding(place, f"must have exactly {sorted(_FIXED)} and services")
        return
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for key, want in (_FIXED | {"metadata": {"template": f"opswatch@{version}"}}).items():
        if document[key] != want:
            yield Finding(place, f"{key} is {document[key]}, not {want}")
    if document["services"] != _SERVICES:
        yield Finding(place, f"services are {document['services']}, not {_SERVICES}")


def _ignored(project: Project) -> Iterator[Finding]:
    spec = pathspec.GitIgnoreSpec.from_lines(project.read(".funcignore").splitlines())
    for path in (*DEPLOYED, *_modules()):
        if spec.match_file(path):
            yield Finding(".funcignore", f"{path} is needed by the app")
    for path in KEPT:
        if not spec.match_file(path):
            yield Finding(".funcignore", f"{path} would be deployed")


@cache
def _modules() -> frozenset[str]:
    """Return the files of every module that the function app imports, directly or indirectly."""
    todo, found = [ROOT / "function_app.py"], set()
    while todo:
        path = todo.pop()
        if path.is_file() and path not in found:
            found.add(path)
            todo += [ROOT / name for name in _imports(path)]
    return frozenset(path.relative_to(ROOT).as_posix() for path in found)


def _imports(path: Path) -> Iterator[str]:
    """Yield the possible files of the modules that a file imports, and of their packages."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "opswatch":
                yield "/".join(parts) + ".py"
                yield from (
                    "/".join([*parts[:end], "__init__.py"]) for end in range(1, len(parts) + 1)
                )
