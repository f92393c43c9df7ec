"""The GitHub workflows: actionlint, pinned actions, minimal permissions, and what ci.yml runs."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.infra.bicep import VERSION
from tests.infra.checks.node import ask
from tests.infra.checks.project import Project

FOLDER = ".github/workflows"
# Jobs that may have more than `contents: read`.
_PERMISSIONS = {
    ("deploy.yml", "deploy"): {"contents": "read", "id-token": "write"},
    ("release.yml", "publish"): {"id-token": "write"},
    ("requirements.yml", "renew"): {
        "actions": "write",
        "contents": "write",
        "pull-requests": "write",
    },
}
_READ = {"contents": "read"}
# What starts each. Never `pull_request_target`: it runs a foreign change with our permissions.
_TRIGGERS = {
    "ci.yml": {"pull_request", "push", "workflow_call", "workflow_dispatch"},
    "deploy.yml": {"workflow_dispatch"},
    "release.yml": {"push"},
    "requirements.yml": {"schedule", "workflow_dispatch"},
}
# Two deployments from one ref must not cancel each other's checks, so these have a group each.
_CI_GROUP = (
    "ci-${{ github.workflow }}-"
    "${{ github.event_name == 'workflow_dispatch' && github.run_id || github.ref }}"
)
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
PYTHONS = ["3.11", "3.12", "3.13"]  # as in main.bicep


def check(project: Project) -> list[str]:
    found: list[str] = []
    paths = sorted((project.root / FOLDER).glob("*.yml"))
    if {path.name for path in paths} != _TRIGGERS.keys():
        found.append(f"{FOLDER}: holds {[path.name for path in paths]}")
    texts = [(f"{FOLDER}/{path.name}", path.read_text("utf-8")) for path in paths]
    for name, text in texts:
        found += [f"{name}:{each['line']}: {each['message']}" for each in lint(name, text)]
        found += check_pins(name, text)
        found += _rights(name, project.yaml(name))
        found += _triggers(name, project.yaml(name))
        if re.search(r"\$\{\{\s*secrets\.", text):
            found.append(f"{name}: uses a secret; OIDC needs none")
        # In a script an expression would be code: it belongs in the environment.
        for script in re.findall(r"run: (?:\|[-+]?\n((?:\s{8,}.*\n)+)|(.*))", text):
            if "${{" in "".join(script):
                found.append(f"{name}: an expression within a script")
    found += _builds(project)
    return found


def check_pins(name: str, text: str) -> Iterator[str]:
    """Yield the actions of a workflow that are not pinned."""
    for line in text.splitlines():
        match = re.search(r"uses:\s*(\S.*)$", line)
        if match and not match[1].startswith("./") and not _PINNED.fullmatch(match[1].strip()):
            yield f"{name}: {match[1]} is not pinned by digest with its version"


def _rights(name: str, workflow: dict[str, Any]) -> Iterator[str]:
    if workflow.get("permissions") not in (_READ, {}):
        yield f"{name}: grants {workflow.get('permissions')} to every job"
    for job, spec in workflow["jobs"].items():
        allowed = _PERMISSIONS.get((name.rsplit("/", 1)[1], job), _READ)
        if spec.get("permissions", _READ) != allowed:
            yield f"{name}: {job} may {spec.get('permissions')}, not {allowed}"
        if "uses" not in spec and not spec.get("timeout-minutes"):
            yield f"{name}: {job} has no time limit"
        for step in spec.get("steps", ()):
            keeps = step.get("with", {}).get("persist-credentials") is not False
            if "actions/checkout@" in step.get("uses", "") and keeps:
                yield f"{name}: {job} leaves its token in the checkout"


def _triggers(name: str, workflow: dict[Any, Any]) -> Iterator[str]:
    given = workflow.get("on", workflow.get(True))  # YAML 1.1 reads `on` as a truth value
    events = {given} if isinstance(given, str) else set(given or ())
    if events != _TRIGGERS.get(name.rsplit("/", 1)[1]):
        yield f"{name}: is started by {sorted(map(str, events))}"


def _builds(project: Project) -> Iterator[str]:
    ci = project.read(f"{FOLDER}/ci.yml")
    matrix = project.yaml(f"{FOLDER}/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    if matrix != PYTHONS:
        yield f"{FOLDER}/ci.yml: tests on {matrix}, not on {PYTHONS}"
    image = re.search(r"python:([\d.]+)-", project.read(".devcontainer/devcontainer.json"))
    if not image or image[1] not in PYTHONS:
        yield ".devcontainer: runs another Python"
    if project.yaml(f"{FOLDER}/ci.yml")["concurrency"]["group"] != _CI_GROUP:
        yield f"{FOLDER}/ci.yml: two deployments can cancel each other's checks"
    release = project.yaml(f"{FOLDER}/release.yml")
    if release[True] != {"push": {"tags": ["v*"]}} or (
        [release["jobs"][job].get("needs") for job in ("build", "publish")] != ["ci", "build"]
    ):
        yield f"{FOLDER}/release.yml: publishes what was not checked"
    if release["jobs"]["publish"].get("environment") != "pypi":
        yield f"{FOLDER}/release.yml: publishes without a review"
    for command in ('test "$GITHUB_REF_NAME" = "v$version"', "make release PYTHON=python"):
        if command not in project.read(f"{FOLDER}/release.yml"):
            yield f"{FOLDER}/release.yml: does not run {command}"
    for command in (
        f"az bicep install --version v{VERSION}",
        '~/.azure/bin/bicep lint "$file" 2>&1 | tee -a diagnostics.txt',
        "test ! -s diagnostics.txt",  # a warning does not change the exit code
        "make test",
        "make check",
        "make infra-check",
        "make setup",
        "pip-audit --requirement requirements.txt",
        'check-jsonschema --schemafile "$SCHEMA" azure.yaml',
    ):
        if command not in ci:
            yield f"{FOLDER}/ci.yml: does not run {command}"


@cache
def lint(name: str, text: str) -> list[dict[str, Any]]:
    """Return actionlint's findings in one workflow."""
    findings: list[dict[str, Any]] = ask("actionlint.cjs", {"name": name, "text": text})
    return findings
