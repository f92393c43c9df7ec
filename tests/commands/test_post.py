import json
from collections.abc import AsyncIterator

import pytest
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.adapters.storage import create_missing
from opswatch.config import Storage
from opswatch.core.intake import Registration
from opswatch.rows.messages import OPERATIONS_QUEUE
from tests.commands.conftest import Run, Stage


@pytest.fixture
async def queue(settings: dict[str, str]) -> AsyncIterator[QueueClient]:
    """The queue `operations`, empty."""
    account = Account(Storage.from_env(settings))
    queue = account.queue(OPERATIONS_QUEUE)
    await create_missing(account, [OPERATIONS_QUEUE], [])
    await queue.clear_messages()
    yield queue
    await account.close()


async def bodies(queue: QueueClient) -> list[str]:
    return [message.content async for message in queue.receive_messages()]


async def test_an_operation_is_posted_as_it_was_given(
    run: Run, queue: QueueClient, settings: dict[str, str]
) -> None:
    ran = await run("post", "1b2c")
    key = f"{settings['OPSWATCH_SUBSCRIPTION_ID']}/microsoft.cache~westus~operationsstatus~1b2c"
    assert (ran.code, ran.lines, ran.err) == (0, [key], "")
    assert await bodies(queue) == ["1b2c"]


async def test_what_the_options_say_is_posted_with_it(
    run: Run, queue: QueueClient, stage: Stage
) -> None:
    ran = await run(
        *("post", "1b2c", "--callback", "https://hook.example/a?b=c", "--timeout", "PT6H"),
        *("--kind", "create", "--client-state", '{"ticket": [42]}'),
    )
    assert ran.code == 0
    (body,) = await bodies(queue)
    assert json.loads(body) == {
        "operation": "1b2c",
        "callbackUrl": "https://hook.example/a?b=c",
        "timeout": "PT6H",
        "kind": "create",
        "clientState": {"ticket": [42]},
    }
    assert isinstance(
        stage.services.intake.read(body.encode(), stage.services.clock()), Registration
    )


async def test_options_win_over_what_a_json_object_says(run: Run, queue: QueueClient) -> None:
    ran = await run("post", ' {"id": "1b2c", "kind": "create"}', "--kind", "update")
    assert ran.code == 0
    (body,) = await bodies(queue)
    assert json.loads(body) == {"id": "1b2c", "kind": "update"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["please watch my cache!"], "InvalidOperation: "),
        (["https://attacker.example/subscriptions/s/x/y"], "ForeignHost: "),
        (["1b2c", "--callback", "https://169.254.169.254/"], "InvalidCallback: "),
        (["1b2c", "--timeout", "soon"], "InvalidTimeout: "),
        (["1b2c", "--client-state", '"' + "x" * 5000 + '"'], "TooLarge: "),
        (["1b2c", "--client-state", "{"], "--client-state: not JSON: "),
        (["{", "--kind", "create"], "OPERATION: not JSON: "),
    ],
)
async def test_what_would_be_rejected_is_not_posted(
    run: Run, queue: QueueClient, arguments: list[str], complaint: str
) -> None:
    ran = await run("post", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(complaint)
    assert len(ran.err.splitlines()) == 1
    assert await bodies(queue) == []


async def test_by_force_it_is_posted_all_the_same(run: Run, queue: QueueClient) -> None:
    ran = await run("post", "please watch my cache!", "--force")
    assert (ran.code, ran.lines) == (0, ["sent"])
    assert ran.err.startswith("InvalidOperation: ")
    assert await bodies(queue) == ["please watch my cache!"]
