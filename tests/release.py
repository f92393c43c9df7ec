"""The packages as users install them: what they hold, and what works in an empty environment.

    python -m tests.release DIST [--python PYTHON] [--demo]

`DIST` holds one wheel and one sdist (`make release` builds them). Each extra has an environment of
its own: `opswatch` alone is the client, `[local]` the terminal and the local host, `[app]` the
function app. `--demo` runs `opswatch demo` from the installed package, with the `azurite` of the
`PATH`. Needs the package index.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from opswatch import __version__
from opswatch.cli import COMMANDS

ROOT = Path(__file__).parents[1]
APP = ("function_app.py", "host.json")
FUNCTIONS = ["deliveries", "health", "operations", "page", "purge", "read", "repair", "write"]
SDIST_ONLY = {
    *APP,
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "pyproject.toml",
}
NAMED = "opswatch-" + __version__
STORAGE_THAT_REFUSES = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
    "QueueEndpoint=http://127.0.0.1:9/devstoreaccount1;"
    "TableEndpoint=http://127.0.0.1:9/devstoreaccount1;"
)
# Over storage and over HTTP, sync and async; nothing is asked yet.
OPEN_CLIENTS = f"""
import asyncio
from opswatch.client import Watcher, sync

def watchers(kind):
    return kind.from_env({{"AzureWebJobsStorage": "{STORAGE_THAT_REFUSES}"}}), kind.over_http("https://x")

async def enter():
    for watcher in watchers(Watcher):
        async with watcher:
            pass

for watcher in watchers(sync.Watcher):
    with watcher:
        pass
asyncio.run(enter())
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the packages of a folder; print what is wrong, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.release")
    parser.add_argument("dist", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--demo", action="store_true")
    given = parser.parse_args(arguments)
    (wheel,) = given.dist.resolve().glob("*.whl")
    (sdist,) = given.dist.resolve().glob("*.tar.gz")
    problems = [*wrong_names(wheel, sdist), *wrong_files(wheel, sdist)]
    with tempfile.TemporaryDirectory() as folder:
        checks: dict[str, list[Callable[[Environment], Iterator[str]]]] = {
            "": [check_client],
            "[local]": [check_terminal],
            "[app]": [check_app],
        }
        if given.demo:
            checks["[local]"].append(check_demo)
        for extra, of_extra in checks.items():
            click.echo(f"opswatch{extra} in an empty environment")
            place = Path(folder, extra.strip("[]") or "alone")
            environment = Environment(place, given.python, f"{wheel}{extra}")
            for check in of_extra:
                problems += check(environment)
    for problem in problems:
        click.echo(f"  {problem}")
    click.echo(f"{len(problems)} problems")
    return 1 if problems else 0


class Environment:
    """An empty environment with the package, and an empty directory to run commands in."""

    def __init__(self, place: Path, python: str, package: str) -> None:
        self._bin = place / "environment" / "bin"
        self._home = place / "home"
        self._home.mkdir(parents=True)
        subprocess.run([python, "-m", "venv", self._bin.parent], check=True)
        install = ("-m", "pip", "install", "-qq", "--disable-pip-version-check", package)
        subprocess.run([self._bin / "python", *install], check=True)

    def run(
        self, program: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, without the settings of this process."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPSWATCH_", "AzureWebJobs", "PYTHON", "AZURE_"))
        }
        return subprocess.run(
            [self._bin / program, *arguments],
            cwd=self._home,
            env={**kept, "HOME": str(self._home), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def imports(self, code: str) -> Iterator[str]:
        """Yield a problem if `code` raises."""
        ended = self.run("python", "-c", code)
        if ended.returncode:
            yield f"{code.strip()}: {ended.stderr.strip().splitlines()[-1]}"


# --- what the packages hold


def wrong_names(wheel: Path, sdist: Path) -> Iterator[str]:
    """Yield the packages that are not of this version, and a changelog that lacks it."""
    for name in (wheel.name, sdist.name):
        if not re.fullmatch(rf"{re.escape(NAMED)}(-py3-none-any\.whl|\.tar\.gz)", name):
            yield f"{name} is not of version {__version__}"
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    if not newest or newest[1] != __version__:
        yield f"CHANGELOG.md does not begin with {__version__}"


def wrong_files(wheel: Path, sdist: Path) -> Iterator[str]:
    """Yield what is missing in the packages, and what they should not hold."""
    listed = subprocess.run(
        ["git", "ls-files", "opswatch"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    package = set(listed.stdout.split())
    licences = {
        f"{NAMED}.dist-info/licenses/{name}"
        for name in ("LICENSE", *(name for name in package if name.endswith(".LICENSE.txt")))
    }
    metadata = {f"{NAMED}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")}
    with zipfile.ZipFile(wheel) as archive:
        yield from differences(
            wheel.name,
            set(archive.namelist()) - {f"{NAMED}.dist-info/entry_points.txt"},
            package | licences | metadata | {f"opswatch/local/app/{name}" for name in APP},
        )
    with tarfile.open(sdist) as archive_of_source:
        names = {member.name.removeprefix(f"{NAMED}/") for member in archive_of_source}
        yield from differences(sdist.name, names, package | SDIST_ONLY)


def differences(name: str, found: set[str], wanted: set[str]) -> Iterator[str]:
    """Yield what a package lacks, and what it should not hold."""
    yield from (f"{name} lacks {each}" for each in sorted(wanted - found))
    yield from (f"{name} holds {each}" for each in sorted(found - wanted))


# --- what works in an empty environment


def check_client(alone: Environment) -> Iterator[str]:
    """Yield what does not work with `opswatch` alone."""
    yield from alone.imports("import opswatch, opswatch.testing, opswatch.queries")
    yield from alone.imports("from opswatch import verify, VerificationError")
    yield from alone.imports(OPEN_CLIENTS)
    for command in ("--help", "secret", "doctor"):
        ended = alone.run("opswatch", command)
        if (ended.returncode, ended.stdout) != (2, "") or not re.fullmatch(
            r"The terminal needs the package \w+: pip install 'opswatch\[local\]'\n", ended.stderr
        ):
            yield f"opswatch {command}: {ended}"


def check_terminal(local: Environment) -> Iterator[str]:
    """Yield the commands that do not answer."""
    version = local.run("opswatch", "--version")
    if version.stdout != f"opswatch {__version__}\n":
        yield f"opswatch --version: {version}"
    for command in COMMANDS:
        ended = local.run("opswatch", command, "--help")
        if ended.returncode or not ended.stdout.startswith(f"Usage: opswatch {command} "):
            yield f"opswatch {command} --help: {ended}"
    secret = local.run("opswatch", "secret")
    if secret.returncode or not secret.stdout.startswith("whsec_"):
        yield f"opswatch secret: {secret}"
    for command, variables in [
        ("list", {}),
        ("doctor", {}),
        ("dev", {}),
        ("list", {"AzureWebJobsStorage": STORAGE_THAT_REFUSES}),
        ("doctor", {"AzureWebJobsStorage": STORAGE_THAT_REFUSES}),
        ("demo", {"PATH": "/nowhere"}),
    ]:
        ended = local.run("opswatch", command, **variables)
        if not ended.returncode or "Traceback" in ended.stdout + ended.stderr:
            yield f"opswatch {command} with {variables}: {ended}"


def check_app(app: Environment) -> Iterator[str]:
    """Yield what keeps the function app from being loaded."""
    code = (
        "import pathlib, sys, opswatch; "
        "sys.path.insert(0, str(pathlib.Path(opswatch.__file__).parent / 'local' / 'app')); "
        "import function_app; "
        "print(*sorted(each.get_function_name() for each in function_app.app.get_functions()))"
    )
    ended = app.run("python", "-c", code)
    if ended.stdout.split() != FUNCTIONS:
        yield f"function_app: {ended}"
    yield from app.imports("import opswatch.bootstrap, opswatch.adapters.telemetry")


def check_demo(local: Environment) -> Iterator[str]:
    """Yield what the demo of the installed package prints, if an outcome is not as expected."""
    ended = local.run("opswatch", "demo")
    if ended.returncode or "40 of 40 messages as expected" not in ended.stdout:
        yield f"opswatch demo: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"


if __name__ == "__main__":
    sys.exit(main())
