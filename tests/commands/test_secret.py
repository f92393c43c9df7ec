from opswatch.core.webhook import Secret
from tests.commands.conftest import Run


async def test_a_secret_is_made_that_the_settings_take(run: Run) -> None:
    first, second = await run("secret"), await run("secret")
    assert first.code == 0
    assert len(Secret.parse(first.out.strip()).key) == 32
    assert first.out != second.out


async def test_what_to_do_with_it_is_said_beside_it(run: Run) -> None:
    ran = await run("secret")
    assert len(ran.lines) == len(ran.err.splitlines()) == 1
    assert "OPSWATCH_CALLBACK_SECRETS" in ran.err
