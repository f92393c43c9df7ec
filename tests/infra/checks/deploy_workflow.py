"""The workflow that deploys: its gates, its sign-in, and the variables that it passes to azd."""

from collections.abc import Iterator
from typing import Any

from tests.infra.checks.project import Project
from tests.infra.checks.workflows import FOLDER

PLACE = f"{FOLDER}/deploy.yml"
# Variables of the sign-in; main.bicepparam reads the others.
SIGN_IN = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID")


def check(project: Project) -> list[str]:
    workflow = project.yaml(PLACE)
    deploy = workflow["jobs"].get("deploy", {})
    return [
        *_gates(workflow["jobs"]),
        *_starts(workflow),
        *_variables(project, deploy.get("env", {})),
        *_steps(deploy.get("steps", ())),
    ]


def _gates(jobs: dict[str, Any]) -> Iterator[str]:
    """Check that a job which may sign in to Azure waits for the checks and for its environment."""
    checks = {job for job, spec in jobs.items() if spec.get("uses") == f"./{FOLDER}/ci.yml"}
    for job, spec in jobs.items():
        if "id-token" not in (spec.get("permissions") or {}):
            continue
        needs = spec.get("needs", [])
        if not checks & {*([needs] if isinstance(needs, str) else needs)}:
            yield f"{PLACE}: {job} does not wait for the checks"
        if spec.get("environment") != "${{ inputs.environment }}" or "if" in spec:
            yield f"{PLACE}: {job} bypasses its environment or its needs"


def _starts(workflow: dict[Any, Any]) -> Iterator[str]:
    events = workflow.get("on", workflow.get(True))  # YAML 1.1 reads `on` as a truth value
    start = events.get("workflow_dispatch") if isinstance(events, dict) else None
    asked = (start or {}).get("inputs", {})
    kept = {name: {**spec, "description": ""} for name, spec in asked.items()}
    if kept != {"environment": {"description": "", "type": "environment", "required": True}}:
        yield f"{PLACE}: asks for {asked}"
    concurrency = workflow.get("concurrency", {})
    if concurrency.get("cancel-in-progress") is not False:
        yield f"{PLACE}: a deployment can be cancelled by the next"
    if concurrency.get("group") != "deploy-${{ inputs.environment }}":
        yield f"{PLACE}: two deployments to one environment can overlap"


def _variables(project: Project, given: dict[str, str]) -> Iterator[str]:
    """Check that every variable is passed on; an unset one is empty, which counts as not set."""
    wanted = {name: f"${{{{ vars.{name} }}}}" for name in {*SIGN_IN, *project.variables()}}
    wanted["AZURE_ENV_NAME"] = "${{ inputs.environment }}"
    for name in sorted(given.keys() | wanted.keys()):
        if given.get(name) != wanted.get(name):
            yield f"{PLACE}: passes {name} as {given.get(name)}, not {wanted.get(name)}"


def _steps(steps: list[dict[str, Any]]) -> Iterator[str]:
    commands = [" ".join(step["run"].split()) for step in steps if "run" in step]
    wanted = [
        (
            'azd auth login --client-id "$AZURE_CLIENT_ID" --tenant-id "$AZURE_TENANT_ID" '
            "--federated-credential-provider github"
        ),
        "azd provision --no-prompt",
        "azd deploy --no-prompt",
        "python3 -m infra.smoke",
    ]
    if commands != wanted:
        yield f"{PLACE}: runs {commands}, not {wanted}"
    # The hook and the smoke test use az.
    sign_in = [step["with"] for step in steps if "azure/login@" in step.get("uses", "").lower()]
    ids = {name.removeprefix("AZURE_").lower().replace("_", "-"): name for name in SIGN_IN}
    if sign_in != [{key: f"${{{{ vars.{name} }}}}" for key, name in ids.items()}]:
        yield f"{PLACE}: signs in to az with {sign_in}"
