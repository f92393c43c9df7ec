"""Naming an operation by the beginning of its ID."""

import json
from base64 import b64encode
from uuid import uuid4

import pytest

from tests.cli.conftest import Operations, Run


def guid(beginning: str) -> str:
    return beginning + str(uuid4())[len(beginning) :]


@pytest.fixture
def beginning() -> str:
    """Eight characters with which no other test's operation begins."""
    return str(uuid4())[:8]


@pytest.mark.parametrize("is_ended", [True, False])
async def test_unique_beginning_names_an_operation(
    run: Run, operations: Operations, beginning: str, *, is_ended: bool
) -> None:
    key = await operations.watch(guid(beginning))
    if is_ended:
        await operations.end(key)
    for text in (beginning, beginning.upper(), key.row.rpartition("~")[2]):
        result = await run("show", text)
        assert (result.code, result.err) == (0, "")
        assert f"operation   {key}" in result.lines


async def test_ambiguous_beginning_lists_candidates(
    run: Run, operations: Operations, beginning: str
) -> None:
    keys = [await operations.watch(guid(beginning)) for _ in range(3)]
    result = await run("show", beginning)
    assert (result.code, result.out) == (2, "")
    heading, *candidates = result.err.splitlines()
    assert heading == f"'{beginning}' is the beginning of several operations:"
    assert sorted(candidates) == sorted(f"  {key}" for key in keys)


async def test_candidates_are_bounded(run: Run, operations: Operations, beginning: str) -> None:
    for _ in range(12):
        await operations.watch(guid(beginning))
    result = await run("show", beginning)
    assert len(result.err.splitlines()) == 12
    assert result.err.endswith("  …\n")


@pytest.mark.parametrize("missing", [True, False])
async def test_whole_id_wins_over_longer_ones(
    run: Run,
    operations: Operations,
    beginning: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    missing: bool,
) -> None:
    key = await operations.watch(f"{beginning}-1")
    await operations.watch(f"{beginning}-10")
    if missing:
        monkeypatch.delenv("OPSWATCH_SUBSCRIPTION_ID")
    result = await run("show", f"{beginning}-1")
    assert f"operation   {key}" in result.lines


async def test_id_of_another_subscription_is_found(
    run: Run, operations: Operations, beginning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await operations.watch(whole := guid(beginning))
    monkeypatch.setenv("OPSWATCH_SUBSCRIPTION_ID", str(uuid4()))
    result = await run("show", whole)
    assert f"operation   {key}" in result.lines


async def test_beginning_that_looks_like_base64_is_one(
    run: Run, operations: Operations, beginning: str
) -> None:
    packed = b64encode(f"{beginning[:3]} {beginning[3:5]}".encode()).decode()
    key = await operations.watch(json.dumps({"operation": f"{packed}-1"}))
    result = await run("show", packed)
    assert f"operation   {key}" in result.lines


@pytest.mark.parametrize("command", ["show", "stop"])
@pytest.mark.usefixtures("operations")
async def test_unknown_beginning_is_an_error(run: Run, beginning: str, command: str) -> None:
    result = await run(command, beginning)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"'{beginning}' is unknown: ")
    assert len(result.err.splitlines()) == 1


@pytest.mark.usefixtures("operations")
async def test_operation_to_come_may_be_waited_for(run: Run, beginning: str) -> None:
    result = await run("wait", f"{beginning}-new", "--timeout", "0")
    assert (result.code, result.out.split()) == (8, ["AGE", "ID", "STATUS", "RESOURCE", "ERROR"])
    assert "not known yet" in result.err
