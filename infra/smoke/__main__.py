"""Tests a deployment from outside: `python3 -m infra.smoke`, after `azd deploy`.

It needs Python, an Azure CLI that is signed in, and the rights of an operator, but no function key.
It starts one operation that costs nothing: a what-if of an empty template.
"""

import ast
import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LISTED_WITHIN = 120  # seconds, for each check: a new package is indexed,
ANSWERED_WITHIN = 120  # an instance starts, and the app reads its secret,
REJECTED_WITHIN = 60  # a message is read after a cold start,
ENDED_WITHIN = 240  # and ARM ends a what-if after some polls
PAUSE = 5
WHAT_IF_VERSION = "2022-09-01"
RUNBOOK = "docs/runbook.md"
# Method, path and status, without a key.
REQUESTS = (
    ("GET", "health", HTTPStatus.OK),
    ("HEAD", "health", HTTPStatus.OK),
    ("GET", "dashboard", HTTPStatus.OK),
    ("GET", "operations", HTTPStatus.UNAUTHORIZED),
    ("POST", "operations", HTTPStatus.UNAUTHORIZED),
)


class AzError(Exception):
    """az failed; the message is its own."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The deployment: outputs of infra/main.bicep, and where it was deployed."""

    subscription: str
    location: str
    resource_group: str
    app: str
    account: str
    url: str

    @classmethod
    def from_values(cls, values: Mapping[str, str]) -> "Target":
        """Read azd's variables; raise KeyError with the name of a missing one."""
        return cls(
            subscription=values["AZURE_SUBSCRIPTION_ID"],
            location=values["AZURE_LOCATION"],
            resource_group=values["AZURE_RESOURCE_GROUP"],
            app=values["AZURE_FUNCTION_NAME"],
            account=values["OPSWATCH_STORAGE_ACCOUNT"],
            url=values["OPSWATCH_URL"],
        )


@dataclass(frozen=True)
class Clock:
    """The time, and how to wait; tests replace both."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def attempts(self, seconds: float) -> Iterator[float]:
        """Yield the time that has passed, every few seconds, until `seconds` have."""
        start = self.now()
        while (passed := self.now() - start) <= seconds:
            yield passed
            self.sleep(PAUSE)


@dataclass(frozen=True)
class Outcome:
    """What a check found, and what to do if it failed."""

    check: str
    passed: bool
    detail: str
    advice: str = ""


def az(
    *arguments: str, text: str | None = None, option: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run az; raise AzError. `text` is passed in a file as `option`, for shells change quotes."""
    executable = shutil.which("az")
    if not executable:
        raise AzError("the Azure CLI (az) is not installed")
    with tempfile.TemporaryDirectory() as folder:
        if text is not None:
            file = Path(folder) / "text"
            file.write_text(text, "utf-8")
            arguments = (*arguments, option, f"@{file}")
        done = subprocess.run(
            [executable, *arguments, "--output", "json"],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise AzError(" ".join(done.stderr.split())[:500])
    return done


def functions_are_listed(target: Target, clock: Clock) -> Outcome:
    """Compare the functions of the app with those of function_app.py."""
    expected, listed = declared_functions(), set[str]()
    for _ in clock.attempts(LISTED_WITHIN):
        done = az(
            "functionapp", "function", "list",
            "--subscription", target.subscription,
            "--resource-group", target.resource_group,
            "--name", target.app,
        )  # fmt: skip
        listed = {each["name"].rpartition("/")[2] for each in json.loads(done.stdout or "[]")}
        if expected <= listed:
            return Outcome("functions", True, f"{len(listed)} listed")
    if listed:
        missing = ", ".join(sorted(expected - listed))
        return Outcome("functions", False, f"not listed: {missing}", "Deploy again: azd deploy")
    return Outcome(
        "functions",
        False,
        "the app lists no function",
        "The remote build used a different Python, or the package does not start. Set "
        "OPSWATCH_PYTHON_VERSION to 3.11, then: azd provision, azd deploy. If it stays empty, read "
        "'Diagnose and solve problems' of the app in the portal.",
    )


def declared_functions(source: Path = ROOT / "function_app.py") -> set[str]:
    """Return the names of the functions that `source` declares on `app`."""
    tree = ast.parse(source.read_text("utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(ast.unparse(each).startswith("app.") for each in node.decorator_list)
    }


def api_answers(target: Target, clock: Clock) -> Outcome:
    """Ask for the health and the page, which need no key, and for what must need one."""
    wrong: list[tuple[str, int | str, str]] = []
    for passed in clock.attempts(ANSWERED_WITHIN):
        wrong = []
        for method, path, expected in REQUESTS:
            status, robots = _ask(method, f"{target.url}/api/{path}")
            if status != expected:
                text = f"{method} /api/{path}: {status}, not {expected:d}"
                wrong.append((path, status, text))
            elif expected == HTTPStatus.OK and robots != "noindex":
                wrong.append((path, status, f"{method} /api/{path}: search engines may list it"))
        if not wrong:
            return Outcome("api", True, f"healthy, and closed without a key, after {passed:.0f} s")
    advice = f"Read the app's exceptions as in {RUNBOOK}, section errors."
    if any(status == HTTPStatus.SERVICE_UNAVAILABLE for _, status, _ in wrong):
        advice = (
            "With the key of the function 'read', GET /api/health/details names what fails and "
            "what to do: infra/README.md, 'The page and its keys'."
        )
    for path, status, _ in wrong:
        if path == "operations" and isinstance(status, int) and status <= HTTPStatus.BAD_REQUEST:
            advice = "Everybody can read or post without a key: stop the app until this is mended."
    return Outcome("api", False, "; ".join(text for _, _, text in wrong), advice)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _ask(method: str, url: str) -> tuple[int | str, str | None]:
    """Return the status of an answer, or what went wrong instead, and its `X-Robots-Tag`."""
    headers = {"content-type": "application/json"} if method == "POST" else {}
    body = b"{}" if method == "POST" else None  # invalid: it registers nothing in any case
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - https
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=30) as answer:
            return answer.status, answer.headers["x-robots-tag"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["x-robots-tag"]
    except (OSError, HTTPException) as error:
        return str(error), None


def message_is_rejected(target: Target, clock: Clock) -> Outcome:
    """Post a message that is not an operation, and wait for its row in `rejections`."""
    body = json.dumps({"smoke": secrets.token_hex(8)})
    days = [_day(0), _day(1)]  # midnight may pass
    _post(target, body)
    # az may have encoded the text; the row's key is the digest of what arrived.
    arrived = (body.encode(), base64.b64encode(body.encode()))
    digests = [sha256(each).hexdigest() for each in arrived]
    condition = f"({_any('PartitionKey', days)}) and ({_any('RowKey', digests)})"
    rows, passed = _wait_for_rows(target, "rejections", condition, clock, REJECTED_WITHIN)
    if rows:
        return Outcome("rejection", True, f"{rows[0]['reason']} after {passed:.0f} s")
    return Outcome(
        "rejection",
        False,
        f"no row in the table rejections after {REJECTED_WITHIN} s",
        f"The function 'operations' does not run: read its exceptions as in {RUNBOOK}, section "
        "poison, and check the roles of the app's identity on the storage account.",
    )


def operation_is_watched(target: Target, clock: Clock) -> Outcome:
    """Start a what-if of an empty template, post its URL, and wait for the result."""
    state = f"smoke-{secrets.token_hex(8)}"
    url = start_what_if(target, state)
    if url is None:
        return Outcome(
            "operation", False, "ARM sent no Location for a what-if", "Run the smoke test again."
        )
    _post(target, json.dumps({"operation": url, "clientState": state, "timeout": "PT10M"}))
    condition = watch_filter(target.subscription, state)
    rows, passed = _wait_for_rows(target, "results", condition, clock, ENDED_WITHIN)
    if not rows:
        rows = _rows(target, "watches", condition)
        miss = rows[0].get("lastMiss") if rows else None
        seen = f"last miss: {miss}" if miss else "watched" if rows else "no watch either"
        detail = f"no result after {ENDED_WITHIN} s; {seen}"
        return Outcome("operation", False, detail, _advice(miss, bool(rows)))
    status, miss = rows[0]["status"], rows[0].get("lostReason") or rows[0].get("lastMiss")
    if status == "Succeeded":
        return Outcome("operation", True, f"Succeeded after {passed:.0f} s")
    return Outcome("operation", False, f"{status}: {miss}", _advice(miss, True))


def _advice(miss: str | None, is_watched: bool) -> str:
    if miss and ("OnlyOriginalCaller" in miss or miss.startswith(("401", "403"))):
        return (
            "ARM does not let the app read this operation, which a different identity started, or "
            f"the role is missing: {RUNBOOK}, sections access and 'Whose operation?'."
        )
    if is_watched:
        return f"Read {RUNBOOK}, section overdue, and the events opswatch.poll of this operation."
    return "The post was not registered: look into the tables rejections and watches."


def start_what_if(target: Target, name: str) -> str | None:
    """Start the operation and return the URL of its status, which az shows only in its log."""
    schema = "2018-05-01/subscriptionDeploymentTemplate.json#"
    template = {
        "$schema": f"https://schema.management.azure.com/schemas/{schema}",
        "contentVersion": "1.0.0.0",
        "resources": [],
    }
    body = {
        "location": target.location,
        "properties": {"mode": "Incremental", "template": template},
    }
    deployment = f"providers/Microsoft.Resources/deployments/{name}"
    done = az(
        "rest", "--method", "post", "--verbose", "--url",
        f"/subscriptions/{target.subscription}/{deployment}/whatIf?api-version={WHAT_IF_VERSION}",
        text=json.dumps(body), option="--body",
    )  # fmt: skip
    location = re.search(r"'Location':\s*'([^']+)'", done.stderr, re.IGNORECASE)
    return location[1] if location else None


def watch_filter(subscription: str, client_state: str) -> str:
    """Return a filter for one operation at a URL like /subscriptions/S/operationresults/ID."""
    quoted = json.dumps(client_state)  # the column holds JSON
    return (
        f"PartitionKey eq '{subscription.lower()}' and RowKey ge '-~-~operationresults~' "
        f"and RowKey lt '-~-~operationresults~~' and clientState eq '{quoted}'"
    )


def _post(target: Target, body: str) -> None:
    az(
        "storage", "message", "put", "--queue-name", "operations",
        "--subscription", target.subscription,
        "--account-name", target.account, "--auth-mode", "login",
        text=body, option="--content",
    )  # fmt: skip


def _rows(target: Target, table: str, condition: str) -> list[dict[str, Any]]:
    done = az(
        "storage", "entity", "query", "--table-name", table, "--filter", condition,
        "--subscription", target.subscription,
        "--account-name", target.account, "--auth-mode", "login",
    )  # fmt: skip
    rows: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return rows


def _wait_for_rows(
    target: Target, table: str, condition: str, clock: Clock, seconds: int
) -> tuple[list[dict[str, Any]], float]:
    """Return the rows, once there are any, and the seconds that it took."""
    for passed in clock.attempts(seconds):
        rows = _rows(target, table, condition)
        if rows:
            return rows, passed
    return [], seconds


def _any(column: str, values: list[str]) -> str:
    return " or ".join(f"{column} eq '{value}'" for value in values)


def _day(later: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=later)).isoformat()


CHECKS = {
    "functions": functions_are_listed,
    "api": api_answers,
    "rejection": message_is_rejected,
    "operation": operation_is_watched,
}


def run(target: Target, clock: Clock) -> list[Outcome]:
    """Run the checks one after the other; without a function the others cannot pass."""
    outcomes: list[Outcome] = []
    for name, check in CHECKS.items():
        if outcomes and not outcomes[0].passed:
            outcomes.append(Outcome(name, False, "not run, because of the functions"))
            continue
        try:
            outcomes.append(check(target, clock))
        except AzError as error:
            advice = (
                "Sign in with `az login` as an operator. A role that was just assigned takes "
                "minutes to take effect. With private networking, run this inside the network."
            )
            outcomes.append(Outcome(name, False, str(error), advice))
    return outcomes


def values_of_azd(env: Mapping[str, str]) -> dict[str, str]:
    """Return azd's variables: from `env`, and otherwise from azd's selected environment."""
    azd = shutil.which("azd")
    if "AZURE_FUNCTION_NAME" in env or not azd:
        return dict(env)
    done = subprocess.run([azd, "env", "get-values"], capture_output=True, text=True, check=False)
    pairs = re.findall(r'^(\w+)="(.*)"$', done.stdout, re.MULTILINE)
    return {**dict(pairs), **env}


def main(env: Mapping[str, str] = os.environ, clock: Clock | None = None) -> int:
    """Print a table; return 0 if every check passed, 1 if not, 2 if the deployment is unknown."""
    try:
        target = Target.from_values(values_of_azd(env))
    except KeyError as error:
        print(f"{error.args[0]} is not set: run this where `azd env get-values` knows it")
        return 2
    outcomes = run(target, clock or Clock())
    for outcome in outcomes:
        print(f"{'passed' if outcome.passed else 'FAILED'}  {outcome.check:<10}  {outcome.detail}")
        if outcome.advice:
            print(f"        {'':<10}  -> {outcome.advice}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
