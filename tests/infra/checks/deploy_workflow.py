"""The workflow that deploys: what it waits for, as whom it signs in, and what it hands to azd."""

import re
from collections.abc import Iterator
from typing import Any

from tests.infra.checks.finding import Finding
from tests.infra.checks.project import Project
from tests.infra.checks.workflows import FOLDER

PLACE = f"{FOLDER}/deploy.yml"
# The variables of azd's sign-in; the rest of its own are parameters of the template.
SIGN_IN = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID")


def check(project: Project) -> list[Finding]:
    workflow = project.yaml(PLACE)
    deploy = workflow["jobs"].get("deploy", {})
    return [
        *_gates(workflow["jobs"]),
        *_starts(workflow),
        *_variables(project, deploy.get("env", {})),
        *_steps(deploy.get("steps", ())),
    ]


def _gates(jobs: dict[str, Any]) -> Iterator[Finding]:
    """A job that may sign in to Azure waits for the checks, and has an environment to guard it."""
    checks = {job for job, spec in jobs.items() if spec.get("uses") == f"./{FOLDER}/ci.yml"}
    for job, spec in jobs.items():
        if "id-token" not in (spec.get("permissions") or {}):
            continue
        needs = spec.get("needs", [])
        if not checks & {*([needs] if isinstance(needs, str) else needs)}:
            yield Finding(PLACE, f"{job} does not wait for the checks")
        if spec.get("environment") != "${{ inputs.environment }}" or "if" in spec:
            yield Finding(PLACE, f"{job} goes round its environment or its needs")


def _starts(workflow: dict[Any, Any]) -> Iterator[Finding]:
    events = workflow.get("on", workflow.get(True))  # YAML 1.1 reads `on` as a truth value
    start = events.get("workflow_dispatch") if isinstance(events, dict) else None
    asked = (start or {}).get("inputs", {})
    kept = {name: {**spec, "description": ""} for name, spec in asked.items()}
    if kept != {"environment": {"description": "", "type": "environment", "required": True}}:
        yield Finding(PLACE, f"asks for {asked}")
    concurrency = workflow.get("concurrency", {})
    if concurrency.get("cancel-in-progress") is not False:
        yield Finding(PLACE, "a deployment may be cut off by the next")
    if concurrency.get("group") != "deploy-${{ inputs.environment }}":
        yield Finding(PLACE, "two deployments to one environment may meet")


def _variables(project: Project, given: dict[str, str]) -> Iterator[Finding]:
    """A variable that is left out, or has another default, would change its setting in silence."""
    wanted = {name: f"${{{{ vars.{name} }}}}" for name in SIGN_IN}
    parameters = project.read("infra/main.parameters.json")
    for name, default in re.findall(r'"\$\{(\w+)(?:=([^}]*))?\}"', parameters):
        otherwise = f" || '{default}'" if default else ""
        wanted[name] = f"${{{{ vars.{name}{otherwise} }}}}"
    wanted["AZURE_ENV_NAME"] = "${{ inputs.environment }}"
    for name in sorted(given.keys() | wanted.keys()):
        if given.get(name) != wanted.get(name):
            yield Finding(PLACE, f"hands on {name} as {given.get(name)}, not {wanted.get(name)}")


def _steps(steps: list[dict[str, Any]]) -> Iterator[Finding]:
    commands = [" ".join(step["run"].split()) for step in steps if "run" in step]
    wanted = [
        (
            'azd auth login --client-id "$AZURE_CLIENT_ID" --tenant-id "$AZURE_TENANT_ID" '
            "--federated-credential-provider github"
        ),
        "azd provision --no-prompt",
        "azd deploy --no-prompt",
    ]
    if commands != wanted:
        yield Finding(PLACE, f"runs {commands}, not {wanted}")
