"""`opswatch dev`, `simulate` and `demo`: their options, and what they pass on."""

from typing import Any

import pytest

from opswatch import cli
from opswatch.cli.commands import demo, simulate
from opswatch.core.errors import OpswatchError
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--duration", "soon"], "lognormal:MEDIAN:SIGMA"),
        (["--outcome", "fail"], "is not one of the scripts"),
        (["--port", "x"], "not a valid integer"),
    ],
)
async def test_invalid_simulator_option_is_explained(
    run: Run, arguments: list[str], error: str
) -> None:
    ended = await run("simulate", *arguments)
    assert ended.code == 2
    assert error in ended.err


async def test_simulator_lists_its_scripts(run: Run) -> None:
    ended = await run("simulate", "--scripts")
    assert ended.code == 0
    assert "redis-enterprise-create" in ended.out.splitlines()


def test_simulator_gets_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    received: dict[str, Any] = {}

    async def record(**options: Any) -> None:
        received.update(options)

    monkeypatch.setattr(simulate, "serve", record)
    arguments = ["--port", "0", "--seed", "7", "--count", "3", "--throttle"]
    assert cli.main(["simulate", *arguments, "--outcome", "failed=2,succeeded"]) == 0
    assert received == {
        "port": 0,
        "seed": 7,
        "count": 3,
        "throttle": True,
        "duration": None,
        "outcome": {"failed": 2.0, "succeeded": 1.0},
    }


def test_dev_explains_unusable_app_folder(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["dev", "--app", str(tmp_path / "missing"), "--port", "0"]) == 2
    assert "missing' does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(("keep", "code"), [(True, 0), (False, 1)])
def test_demo_returns_its_exit_code(monkeypatch: pytest.MonkeyPatch, keep: bool, code: int) -> None:
    received: list[bool] = []

    async def record(_: object, *, keep: bool) -> int:
        received.append(keep)
        return code

    monkeypatch.setattr(demo, "run_demo", record)
    assert cli.main(["demo", *(["--keep"] if keep else [])]) == code
    assert received == [keep]


def test_demo_prints_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object, **__: object) -> int:
        raise OpswatchError("Azurite did not start")

    monkeypatch.setattr(demo, "run_demo", fail)
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == "Azurite did not start\n"
