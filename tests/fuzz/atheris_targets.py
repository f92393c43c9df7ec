"""`python -m tests.fuzz.atheris_targets TARGET …`: the same properties under libFuzzer.

`intake` and `arm` read the bytes as they are; `shaped-intake` and `shaped-arm` use them to draw
from Hypothesis' strategies, which reach deeper than the syntax of JSON.

Options after the target are libFuzzer's: `-runs=N`, `-max_total_time=S`. Its corpus is kept in
`.fuzz`, and so is an input that breaks something. `make fuzz` runs every target.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from hypothesis import given, settings

_CODES = (200, 201, 202, 204, 404, 429, 500)
_NAMES = ("retry-after", "x-ms-retry-after-ms", "date", "location", "azure-asyncoperation")

atheris: Any = import_module("atheris")

with atheris.instrument_imports(include=["opswatch.core"]):
    from opswatch.core.http import HttpResponse
    from tests.fuzz.properties import check_answer, check_message
    from tests.fuzz.strategies import ANSWERS, MESSAGES
    from tests.support.builders import HOOK, ID, PATH, SUBSCRIPTION, URL


def intake(data: bytes) -> None:
    """Read a message."""
    check_message(data)


def arm(data: bytes) -> None:
    """Read an answer: a byte for its code, header lines, an empty line, the body."""
    head, _, body = data.partition(b"\n\n")
    code, *lines = head.split(b"\n")
    headers = {
        _NAMES[line[0] % len(_NAMES)]: line[1:].decode("utf-8", "surrogateescape")
        for line in lines
        if line
    }
    check_answer(HttpResponse(_CODES[sum(code) % len(_CODES)], headers, body))


@settings(database=None, deadline=None)
@given(MESSAGES)
def shaped_intake(body: bytes) -> None:
    """Read a message that is nearly valid."""
    check_message(body)


@settings(database=None, deadline=None)
@given(ANSWERS)
def shaped_arm(response: HttpResponse) -> None:
    """Read an answer that is nearly valid."""
    check_answer(response)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "intake": intake,
    "arm": arm,
    "shaped-intake": shaped_intake.hypothesis.fuzz_one_input,  # type: ignore[attr-defined]
    "shaped-arm": shaped_arm.hypothesis.fuzz_one_input,  # type: ignore[attr-defined]
}
_POSTED = {
    "operation": PATH, "subscriptionId": SUBSCRIPTION, "location": "West US", "operationId": ID,
    "provider": "Microsoft.Cache", "collection": "operationsStatus", "apiVersion": "2024-10-01",
    "kind": "redisEnterprise/create", "callbackUrl": HOOK, "timeout": "PT6H",
    "clientState": {"ticket": 42},
}  # fmt: skip
_ENDED = {
    "id": PATH, "name": ID, "status": "Failed", "startTime": "2026-11-23T02:57:30.1234567Z",
    "endTime": "/Date(1795403536000)/", "percentComplete": 99.5, "properties": {"a": [1, None]},
    "error": {"code": "C", "message": "after '5' seconds", "details": [], "additionalInfo": []},
}  # fmt: skip
SEEDS: dict[str, list[bytes]] = {
    "intake": [
        ID.encode(),
        PATH.encode(),
        f"{URL}&t=1&c=%2F".encode(),
        json.dumps(_POSTED).encode(),
    ],
    "arm": [
        b"\0\0" + b"120\n\x04" + URL.encode() + b"\n\n" + json.dumps(_ENDED).encode(),
        b"\2\n\0Mon, 23 Nov 2026 03:05:41 GMT\n\3/x\n\n{}",
        b"\5\n\n" + json.dumps({"error": _ENDED["error"]}).encode(),
        b'\0\n\n{"properties": {"provisioningState": "Creating"}}',
    ],
}


def main() -> None:
    """Run one target until libFuzzer ends the process; each file given is run once."""
    name, *options = sys.argv[1:]
    corpus = Path(".fuzz") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(name, [])):
        (corpus / f"seed-{number}").write_bytes(seed)
    if not any(Path(option).is_file() for option in options):
        options.append(str(corpus))
    bounds = ["-max_len=65536", f"-artifact_prefix=.fuzz/{name}-"]
    atheris.Setup([sys.argv[0], *bounds, *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
