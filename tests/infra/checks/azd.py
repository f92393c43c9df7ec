"""What azd reads: `azure.yaml`, and what of the project it sends."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pathspec
import yaml

from tests.infra.checks.bicep import flat, lookup
from tests.infra.checks.finding import Finding
from tests.infra.checks.project import ROOT, Project

# The part that is used of azd's own schema (Azure/azure-dev, schemas/v1.0/azure.yaml.json), and
# stricter: the schema takes any further property and any host. No package brings that schema, so
# the whole of it is for ci.yml, where the network is.
_FIXED = {
    "name": "opswatch",
    "metadata": {},
    "infra": {"provider": "bicep", "path": "infra", "module": "main"},
}
_SERVICE = {"project": ".", "language": "python", "host": "function", "remoteBuild": True}
# What the app needs where it runs besides its modules, and a sample of what it does not.
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
        yield Finding(place, f"does not hold {sorted(_FIXED)} and services, and nothing else")
        return
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for key, want in (_FIXED | {"metadata": {"template": f"opswatch@{version}"}}).items():
        if document[key] != want:
            yield Finding(place, f"{key} is {document[key]}, not {want}")
    services = document["services"]
    site = project.module("function-app").get("resource", "site")
    tag = re.search(
        r"'azd-service-name': '([^']*)'",
        flat(lookup(site.body, "tags") if site else None),
    )
    if list(services) != [tag[1] if tag else None]:
        yield Finding(place, f"services {list(services)} are not the app's tag")
    for service in services.values():
        if service != _SERVICE:
            yield Finding(place, f"the service is {service}, not {_SERVICE}")


def _ignored(project: Project) -> Iterator[Finding]:
    spec = pathspec.GitIgnoreSpec.from_lines(project.read(".funcignore").splitlines())
    for path in (*DEPLOYED, *_modules()):
        if spec.match_file(path):
            yield Finding(".funcignore", f"{path} is needed where the app runs")
    for path in KEPT:
        if not spec.match_file(path):
            yield Finding(".funcignore", f"{path} would be deployed")


@cache
def _modules() -> frozenset[str]:
    """Return the files of every module that the function app imports, itself or through others."""
    todo, found = [ROOT / "function_app.py"], set()
    while todo:
        path = todo.pop()
        if path.is_file() and path not in found:
            found.add(path)
            todo += [ROOT / name for name in _imports(path)]
    return frozenset(path.relative_to(ROOT).as_posix() for path in found)


def _imports(path: Path) -> Iterator[str]:
    """Yield where the modules of opswatch may be that a file imports, and their packages."""
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
