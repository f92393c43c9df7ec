"""What the templates deploy: sets of variables, their snapshots, and the kept ones."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import opswatch.config
from tests.infra.bicep import SUBSCRIPTION, Bicep

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("kept")
OTHER = "33333333-3333-3333-3333-33333333abcd"
ROLE_NAME = "44444444-4444-4444-4444-444444444444"
_CODE = Path(opswatch.config.__file__).read_text("utf-8")
SETTINGS = set(re.findall(r'"(OPSWATCH_[A-Z_]+)"', _CODE))
# The endpoint follows from the cloud; a different one is for the local simulator only.
PASSED_ON = SETTINGS - {"OPSWATCH_CLOUD", "OPSWATCH_CALLBACK_SECRETS", "OPSWATCH_ARM_ENDPOINT"}

BASE = {"AZURE_ENV_NAME": "ops", "AZURE_LOCATION": "westeurope"}
_ROLE_ID = f"/subscriptions/{OTHER}/providers/Microsoft.Authorization/roleDefinitions/{ROLE_NAME}"
SETS: Mapping[str, Mapping[str, str]] = {
    "defaults": {},
    "everything": {
        **{name: f'it\'s the "{name}"' for name in PASSED_ON},  # to see each under its own name
        "OPSWATCH_ALERT_EMAIL": "ops@example.com",
        "OPSWATCH_ALWAYS_READY": "1",
        "OPSWATCH_MAX_INSTANCES": " 4 ",
        "OPSWATCH_NETWORK_PREFIX": "10.7.8.0/24",
        "OPSWATCH_OPERATOR_ID": "the-operators",
        "OPSWATCH_PRIVATE_NETWORKING": "true",
        "OPSWATCH_PYTHON_VERSION": "3.11",
        "OPSWATCH_READERS_ID": "the-reader",
        "OPSWATCH_READERS_TYPE": "User",
        "OPSWATCH_READ_ACTIONS": "Microsoft.Compute/locations/operations/read,",
        "OPSWATCH_RECOVER_VAULT": "true",
        "OPSWATCH_TRACE_RATIO": "0.05",
        "OPSWATCH_ZONE_REDUNDANT": "True",
    },
    "subscriptions": {
        "OPSWATCH_WATCHED_SUBSCRIPTIONS": f" {SUBSCRIPTION} ,{OTHER.upper()},{OTHER},"
    },
    "role": {"OPSWATCH_READER_ROLE_ID": _ROLE_ID},
}
# The role as an administrator deploys it: infra/README.md.
_ROLE_ALONE = f"""using './modules/operation-reader-role.bicep'
param instanceName = 'ops'
param assignableScopes = ['/subscriptions/{SUBSCRIPTION}', '/subscriptions/{OTHER}']
param additionalReadActions = ['Some.Provider/operations/READ', 'a/*/read', 'b/write'
  'MICROSOFT.CACHE/locations/asyncOperations/read']
"""

# Symbols that must wait for each other although no reference orders them.
ORDER = {
    "main.bicep": {
        *(("app", each) for each in ("identity", "monitoring", "roles", "storage")),
        *(("roles", each) for each in ("identity", "monitoring", "storage", "vault")),
        ("app", "network"),
        ("network", "storage"),
        ("network", "vault"),
        ("operationReader", "identity"),
    },
    "modules/function-app.bicep": {("ftp", "appSettings"), ("scm", "ftp")},
    "modules/network.bicep": {("zoneGroups", "links")},
    "modules/operation-reader.bicep": {("assignment", "definition")},
}


@dataclass(frozen=True)
class Deployment:
    """The snapshot of one set of variables."""

    name: str
    snapshot: Mapping[str, Any]

    @property
    def resources(self) -> list[dict[str, Any]]:
        return list(self.snapshot["predictedResources"])

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the resources whose type ends with `kind`."""
        return [each for each in self.resources if each["type"].endswith(f"/{kind}")]

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = self.all(kind)
        return found

    def id(self, kind: str) -> str:
        return str(self.one(kind)["id"])

    @property
    def has_everything(self) -> bool:
        return self.name == "everything"

    @property
    def watched(self) -> list[str]:
        return [SUBSCRIPTION, OTHER] if self.name == "subscriptions" else [SUBSCRIPTION]


def evaluate(bicep: Bicep, infra: Path, name: str) -> Deployment:
    """Return what the templates in `infra` deploy for the set of variables `name`."""
    return Deployment(name, bicep.snapshot(infra / "main.bicepparam", {**BASE, **SETS[name]}))


def evaluate_role(bicep: Bicep, infra: Path) -> dict[str, Any]:
    """Return the properties of the role that an administrator deploys alone."""
    file = infra / "role-alone.bicepparam"
    file.write_text(_ROLE_ALONE, "utf-8")
    (role,) = bicep.snapshot(file, {})["predictedResources"]
    return dict(role["properties"])


def as_kept(deployment: Deployment) -> str:
    """Return the text of a snapshot that is kept, without the texts of queries and the workbook:
    they have files and checks themselves.
    """
    text = json.dumps(deployment.snapshot, indent=2, sort_keys=True, ensure_ascii=False)
    text = re.sub(r'"serializedData": ".*"', '"serializedData": "infra/workbook.json"', text)
    return re.sub(r'"query": "// (.*?)\\n.*"', r'"query": "\1"', text) + "\n"


def kept(name: str) -> str:
    return (KEPT / f"{name}.json").read_text("utf-8")
