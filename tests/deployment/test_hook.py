"""The hook that runs after `azd provision`: what it stores, waits for and says."""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployment.fake_az import FIREWALL, FORBIDDEN, PAGE, SECRET_NOT_FOUND, FakeAz
from tests.infra.deployment import ROOT

ID = "https://kv-ops.vault.azure.net/secrets/callback-secrets/0123456789abcdef"
STATUS = "rest --method get"
REFRESH = "/config/configreferences/appsettings/refresh?api-version=2022-03-01"
SET = "keyvault secret set"
SHOW = "keyvault secret show"
RESTART = "functionapp restart --resource-group rg-ops --name func-ops"
# PowerShell's own sleep needs replacing too; the stand-in on PATH is an external command.
POWERSHELL = "function Start-Sleep([int] $Seconds) {{ sleep $Seconds }}; & '{script}'"


@dataclass
class Hook:
    az: FakeAz
    shell: str

    def run(self, **env: str) -> str:
        """Run the hook; return what it prints."""
        script = ROOT / "infra/hooks/postprovision"
        command = {
            "sh": ["sh", f"{script}.sh"],
            "pwsh": ["pwsh", "-NoProfile", "-Command", POWERSHELL.format(script=f"{script}.ps1")],
        }[self.shell]
        done = subprocess.run(
            command,
            env=self.az.environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert "whsec_" not in done.stdout
        commands = [call["command"] for call in self.az.calls]
        assert not any(
            "whsec_" in each or "--query value" in each for each in commands if "vault" in each
        )
        return done.stdout


@pytest.fixture(params=["sh", "pwsh"])
def hook(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hook]:
    if not shutil.which(request.param):
        message = f"no {request.param}: install PowerShell 7 to test postprovision.ps1"
        # The workflow's machines have it, so there a missing shell is a failure.
        (pytest.fail if os.environ.get("GITHUB_ACTIONS") else pytest.skip)(message)
    az = FakeAz(tmp_path)
    az.answer("account show", "11111111-1111-1111-1111-11111111AAAA")
    az.answer("keyvault show", "Enabled")
    az.answer(SHOW, error=SECRET_NOT_FOUND)
    az.answer(SHOW, ID, after=SET)
    az.answer(SET, ID)
    az.answer(STATUS, "SecretNotFound")
    az.answer(STATUS, "Resolved", after=REFRESH)
    az.answer(REFRESH, "Resolved")
    az.answer(RESTART, " ")
    yield Hook(az, request.param)
    assert [call["command"] for call in az.calls if not call["expected"]] == []


def test_missing_secret_is_stored_and_read(hook: Hook) -> None:
    printed = hook.run()
    assert ID in printed
    assert "The app reads it from now on." in printed
    assert [hook.az.called(each) for each in (SET, REFRESH, RESTART)] == [1, 1, 1]
    (stored,) = next(call["files"] for call in hook.az.calls if SET in call["command"])
    prefix, _, key = stored.partition("_")
    assert prefix == "whsec"
    assert len(base64.b64decode(key, validate=True)) == 32


def test_address_of_the_page_is_printed(hook: Hook) -> None:
    hook.az.answer("account show", error="ERROR: Please run 'az login' to setup account.")
    printed = hook.run()
    assert f"the page is at {PAGE}\n" in printed
    assert "'The page and its keys' in infra/README.md" in printed
    assert PAGE not in hook.run(OPSWATCH_PAGE="")


def test_second_run_changes_nothing(hook: Hook) -> None:
    hook.run()
    before = len(hook.az.calls)
    printed = hook.run()
    assert "The app reads it." in printed
    commands = [call["command"] for call in hook.az.calls[before:]]
    assert [each for each in commands if SET in each or "post" in each or "restart" in each] == []
    assert hook.az.now() == 0


def test_every_secret_is_different(hook: Hook) -> None:
    hook.run()
    hook.az.answer(SHOW, error=SECRET_NOT_FOUND)
    hook.run()
    stored = [call["files"] for call in hook.az.calls if SET in call["command"]]
    assert len(stored) == 2
    assert stored[0] != stored[1]


def test_stored_secret_is_kept(hook: Hook) -> None:
    hook.az.answer(SHOW, ID)
    hook.run()
    assert [hook.az.called(each) for each in (SET, REFRESH, RESTART)] == [0, 1, 1]


def test_role_takes_two_minutes(hook: Hook) -> None:
    hook.az.answer(SHOW, error=FORBIDDEN)
    hook.az.answer(SHOW, error=SECRET_NOT_FOUND, since=120)
    printed = hook.run()
    assert printed.count("Waiting") == 1
    assert "The app reads it from now on." in printed
    assert hook.az.now() == 120


def test_role_of_the_app_takes_time(hook: Hook) -> None:
    hook.az.answer(STATUS, "AccessToKeyVaultDenied")
    hook.az.answer(STATUS, "Resolved", since=60)
    printed = hook.run()
    assert "The app reads it from now on." in printed
    assert hook.az.called(REFRESH) == 7
    assert hook.az.called(RESTART) == 1


def test_each_role_has_its_own_wait(hook: Hook) -> None:
    hook.az.answer(SHOW, error=FORBIDDEN)
    hook.az.answer(SHOW, error=SECRET_NOT_FOUND, since=290)
    hook.az.answer(STATUS, "AccessToKeyVaultDenied")
    hook.az.answer(STATUS, "Resolved", since=400)
    assert "The app reads it from now on." in hook.run()


def test_waiting_has_an_end(hook: Hook) -> None:
    hook.az.answer(SHOW, error=FORBIDDEN)
    printed = hook.run()
    assert "has not taken effect after 300 s" in printed
    assert "azd hooks run postprovision" in printed
    assert hook.az.now() == 300


def test_unresolved_reference_has_an_end(hook: Hook) -> None:
    hook.az.answer(STATUS, "AccessToKeyVaultDenied")
    printed = hook.run()
    assert "cannot read it yet: AccessToKeyVaultDenied" in printed
    assert hook.az.called(RESTART) == 0


def test_failed_restart_is_reported(hook: Hook) -> None:
    hook.az.answer(RESTART, error="ERROR: Operation returned an invalid status 'Conflict'")
    assert "was not restarted" in hook.run()


def test_missing_az_is_reported(hook: Hook, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("sh", "mktemp", "rm", "pwsh"):
        if shutil.which(name):
            (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    printed = hook.run(PATH=str(tmp_path / "bin"))
    assert "az) is not installed" in printed
    assert "callbacks wait" in printed


def test_signed_out_az_is_reported(hook: Hook) -> None:
    hook.az.answer("account show", error="ERROR: Please run 'az login' to setup account.")
    assert "az is not signed in" in hook.run()
    assert hook.az.called("keyvault") == 0


def test_private_vault_is_left_alone(hook: Hook) -> None:
    hook.az.answer("keyvault show", "Disabled")
    printed = hook.run()
    assert "private endpoint only" in printed
    assert "'The callback secret' in infra/README.md" in printed
    assert hook.az.called("keyvault secret") == 0


def test_firewall_is_not_waited_for(hook: Hook) -> None:
    hook.az.answer(SHOW, error=FIREWALL)
    assert "refuses this network" in hook.run()
    assert hook.az.now() == 0


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (SET, "(Conflict) Secret is in a deleted but recoverable state."),
        (SHOW, "(Forbidden) Operation get is not allowed on a disabled secret."),
        ("keyvault show", "(ResourceNotFound) The vault was not found."),
    ],
)
def test_other_error_is_passed_on(hook: Hook, command: str, error: str) -> None:
    hook.az.answer(command, error=f"ERROR: {error}")
    assert error in hook.run()
    assert hook.az.now() == 0


@pytest.mark.parametrize(
    ("me", "member", "waits"),
    [
        ("the-operators", "", True),
        ("someone", "true", True),
        ("someone", "false", False),
        ("someone", "", False),
        ("", "", False),
    ],
)
def test_only_operators_wait(hook: Hook, me: str, member: str, waits: bool) -> None:
    hook.az.answer(SHOW, error=FORBIDDEN)
    hook.az.answer("ad signed-in-user show", me, error="" if me else "ERROR: /me is for users only")
    hook.az.answer("ad group member check", member, error="" if member else "ERROR: Forbidden")
    printed = hook.run(OPSWATCH_OPERATOR_ID="the-operators")
    assert (hook.az.now() == 300) is waits
    assert ("only operators (the-operators)" in printed) is not waits


def test_service_principal_is_known_by_its_id(hook: Hook) -> None:
    hook.az.answer(SHOW, error=FORBIDDEN)
    hook.az.answer(SHOW, error=SECRET_NOT_FOUND, since=30)
    hook.az.answer("ad signed-in-user show", error="ERROR: /me is for users only")
    printed = hook.run(OPSWATCH_OPERATOR_ID="pipeline", AZURE_PRINCIPAL_ID="pipeline")
    assert "The app reads it from now on." in printed


def test_both_scripts_say_the_same() -> None:
    texts = [
        (ROOT / f"infra/hooks/postprovision.{end}").read_text("utf-8").lower().replace("`", "")
        for end in ("sh", "ps1")
    ]
    for sentence in (
        "Until there is one, callbacks wait; everything else works.",
        "the Azure CLI (az) is not installed.",
        "az is not signed in.",
        "has a private endpoint only.",
        "follow 'The callback secret' in infra/README.md.",
        "may store secrets in",
        "has not taken effect after",
        "so it reads the secret with its next start",
        "After 'azd deploy' the page is at",
        "It asks for a key: see 'The page and its keys' in infra/README.md.",
        "Until it can, callbacks wait. Later, run again: azd hooks run postprovision",
        "/config/configreferences/appsettings",
    ):
        assert [sentence.lower() in text for text in texts] == [True, True], sentence
