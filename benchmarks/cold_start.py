"""What a cold start imports: the function app, beside the packages that it uses.

Each measurement is one process; they alternate, round after round. Printed is the CPU time of the
imports: the median, and its ratio to importing the five packages as their guides do. Then, for the
app, what each package adds.

    python -m benchmarks.cold_start --rounds 15
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from statistics import median

NAIVE = "the five packages"
APP = "function_app"
CONTENDERS = {
    NAIVE: "import azure.functions, azure.identity, azure.storage.queue, azure.data.tables\n"
    "import aiohttp",
    APP: "import function_app",
    # The first function that runs also imports the adapters and azure-identity.
    "function_app, running": "import function_app, opswatch.bootstrap, azure.identity.aio",
    "azure.functions alone": "import azure.functions",
}
_TIMED = """
import sys, time
before = time.process_time()
exec(sys.argv[1])
print(time.process_time() - before)
"""
_PRINTED = 8


def import_time(statement: str) -> float:
    """Return the CPU seconds that a fresh process takes for `statement`."""
    return float(_python("-c", _TIMED, statement).stdout)


def contributors(statement: str) -> list[tuple[str, float]]:
    """Return what each package adds to `statement`, in seconds, the slowest first.

    A module that several packages import counts for the first of them.
    """
    lines = _python("-X", "importtime", "-c", statement).stderr.splitlines()
    seconds: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            seconds[_package(name.strip())] += int(own) / 1e6
    return sorted(seconds.items(), key=lambda package: -package[1])


def _python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603 - ours


def _package(module: str) -> str:
    """Return the package of a module, as readers know it."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names:
        return "the standard library"
    return ".".join(parts[:2]) if parts[0] == "azure" else parts[0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    measured: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, statement in CONTENDERS.items():
            measured[name].append(import_time(statement))
    medians = {name: median(seconds) for name, seconds in measured.items()}
    for name in CONTENDERS:
        ratio = medians[name] / medians[NAIVE]
        print(f"{name:24} {medians[name] * 1000:6.0f} ms  {ratio:5.2f}x")
    print(f"\nself time within {APP}, according to -X importtime (which takes time itself):")
    for package, seconds in contributors(CONTENDERS[APP])[:_PRINTED]:
        print(f"{package:24} {seconds * 1000:6.1f} ms")


if __name__ == "__main__":
    main()
