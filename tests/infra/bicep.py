"""Microsoft's Bicep CLI as one process: the first answer takes seconds, each further one 0.3 s."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anthonycmartin.bicep_rpc_client import (
    BicepClient,
    CompileParamsRequest,
    CompileRequest,
    FormatRequest,
    GetDeploymentGraphRequest,
    GetSnapshotRequest,
    SnapshotMetadata,
)

VERSION = "0.49.2"  # the version that infra/README.md names and ci.yml installs
MISSING = f"no Bicep CLI: install it with `az bicep install --version v{VERSION}`"
TENANT = "22222222-2222-2222-2222-222222222222"
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
_VARIABLE = re.compile(r"readEnvironmentVariable\('(\w+)'(?:, ('[^']*'))?\)")


def find_bicep() -> Path | None:
    """Return the CLI: on PATH, or where `az bicep install` or azd put it."""
    places = [Path.home() / folder / "bin/bicep" for folder in (".azure", ".azd")]
    on_path = shutil.which("bicep")
    return Path(on_path) if on_path else next((path for path in places if path.is_file()), None)


class Bicep:
    """Answers about templates.

    The process reads a template at each call, but `bicepconfig.json`, the files that a template
    loads, and its environment only once. A changed file needs a new folder.
    """

    def __init__(self) -> None:
        # Without it .NET needs libicu.
        os.environ.setdefault("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1")
        # A quarter less CPU: the process does not live long enough to profit from its own profile.
        os.environ.setdefault("DOTNET_TieredPGO", "0")
        executable = find_bicep()
        assert executable, MISSING
        self._client = BicepClient(executable)

    def version(self) -> str:
        return self._client.get_version()

    def diagnostics(self, file: Path) -> list[str]:
        """Return every message about `file` and its modules: even an unknown property is a warning,
        which does not change the exit code of `bicep build`.
        """
        if file.suffix == ".bicepparam":
            found = self._client.compile_params(CompileParamsRequest(file)).diagnostics
        else:
            found = self._client.compile(CompileRequest(file)).diagnostics
        return [
            f"{Path(each['source']).name}({each['range']['start']['line'] + 1}): "
            f"{each['level']} {each['code']}: {each['message']}"
            for each in found
        ]

    def order(self, file: Path) -> set[tuple[str, str]]:
        """Return which symbol of `file` waits for which other one; no snapshot contains this."""
        graph = self._client.get_deployment_graph(GetDeploymentGraphRequest(file))
        return {(edge["source"], edge["target"]) for edge in graph.edges}

    def formatted(self, file: Path) -> str:
        return self._client.format(FormatRequest(file)).contents

    def parameters(self, file: Path, env: Mapping[str, str]) -> dict[str, Any]:
        """Return the parameters that `file` sets in `env`; raise ValueError with its messages."""
        compiled = self._client.compile_params(CompileParamsRequest(_filled_in(file, env)))
        if compiled.diagnostics or not compiled.parameters:
            raise ValueError("\n".join(each["message"] for each in compiled.diagnostics))
        given = json.loads(compiled.parameters)["parameters"]
        return {name: parameter["value"] for name, parameter in given.items()}

    def snapshot(self, file: Path, env: Mapping[str, str]) -> dict[str, Any]:
        """Return the deployment that `file` describes in `env`, evaluated as far as possible."""
        scope = SnapshotMetadata(
            tenant_id=TENANT, subscription_id=SUBSCRIPTION, location="westeurope"
        )
        request = GetSnapshotRequest(_filled_in(file, env), scope)
        snapshot: dict[str, Any] = json.loads(self._client.get_snapshot(request).snapshot)
        return snapshot

    def close(self) -> None:
        self._client.close()


def _filled_in(file: Path, env: Mapping[str, str]) -> Path:
    """Write a copy of `file` beside it that contains the variables, for the process keeps its own
    environment; `test_environment_is_read_as_the_tests_assume` compares both.
    """

    def literal(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name not in env and default:
            return str(default)
        escaped = env[name].replace("\\", r"\\").replace("'", r"\'").replace("${", r"\${")
        return f"'{escaped}'"

    copy = file.with_name(f"filled-in-{file.name}")
    copy.write_text(_VARIABLE.sub(literal, file.read_text("utf-8")), "utf-8")
    return copy
