from opswatch.core.webhook import Secret
from tests.cli.conftest import Run


async def test_secret_is_valid_in_settings(run: Run) -> None:
    first, second = await run("secret"), await run("secret")
    assert first.code == 0
    assert len(Secret.parse(first.out.strip()).key) == 32
    assert first.out != second.out


async def test_secret_prints_advice_on_stderr(run: Run) -> None:
    result = await run("secret")
    assert len(result.lines) == len(result.err.splitlines()) == 1
    assert "OPSWATCH_CALLBACK_SECRETS" in result.err
