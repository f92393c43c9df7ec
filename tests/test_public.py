"""The public surface: what is there, and that importing it is light."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import opswatch

ROOT = Path(__file__).parents[1]
HEAVY = (
    "azure.functions",
    "azure.identity",
    "azure.monitor",
    "opentelemetry",
    "aiohttp",
    "requests",
)


def loaded_by(code: str) -> set[str]:
    """Return the modules that a new interpreter has after `code`."""
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(json.loads(printed))


def test_package_has_what_it_says() -> None:
    for name in opswatch.__all__:
        assert getattr(opswatch, name).__name__ == name
    assert not hasattr(opswatch, "verification_")


def test_importing_the_package_imports_nothing_else() -> None:
    loaded = loaded_by("import opswatch")
    assert {name for name in loaded if name.startswith("opswatch.")} == set()
    assert "azure" not in loaded


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("import opswatch.client", "opswatch.client.watcher"),
        ("import opswatch.client.sync", "opswatch.client.sync"),
        ("from opswatch import verify", "opswatch.verification"),
        ("import opswatch.testing", "opswatch.testing.watchers"),
    ],
)
def test_importing_the_surface_is_light(code: str, needed: str) -> None:
    loaded = loaded_by(code)
    assert needed in loaded
    assert {name for name in HEAVY if name in loaded} == set()
    rooms = ("adapters", "steps", "web", "process", "bootstrap", "local", "cli")
    assert {room for room in rooms if f"opswatch.{room}" in loaded} == set()


def test_verification_needs_no_sdk() -> None:
    assert "azure" not in loaded_by("from opswatch import verify")
