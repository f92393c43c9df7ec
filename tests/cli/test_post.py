import json
from collections.abc import AsyncIterator

import pytest
from azure.storage.queue.aio import QueueClient

from opswatch.adapters.account import Account
from opswatch.adapters.storage import create_missing
from opswatch.config import Storage
from opswatch.core.intake import Registration
from opswatch.rows.messages import OPERATIONS_QUEUE
from tests.cli.conftest import Operations, Run


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


async def test_operation_is_posted_verbatim(
    run: Run, queue: QueueClient, settings: dict[str, str]
) -> None:
    result = await run("post", "1b2c")
    key = f"{settings['OPSWATCH_SUBSCRIPTION_ID']}/microsoft.cache~westus~operationsstatus~1b2c"
    assert (result.code, result.lines, result.err) == (0, [key], "")
    assert await bodies(queue) == ["1b2c"]


async def test_options_are_posted_with_operation(
    run: Run, queue: QueueClient, operations: Operations
) -> None:
    result = await run(
        *("post", "1b2c", "--callback", "https://hook.example/a?b=c", "--timeout", "PT6H"),
        *("--kind", "create", "--client-state", '{"ticket": [42]}'),
    )
    assert result.code == 0
    (body,) = await bodies(queue)
    assert json.loads(body) == {
        "operation": "1b2c",
        "callbackUrl": "https://hook.example/a?b=c",
        "timeout": "PT6H",
        "kind": "create",
        "clientState": {"ticket": [42]},
    }
    assert isinstance(
        operations.services.intake.read(body.encode(), operations.services.clock()), Registration
    )


async def test_options_replace_properties_of_json(run: Run, queue: QueueClient) -> None:
    result = await run("post", ' {"id": "1b2c", "kind": "create"}', "--kind", "update")
    assert result.code == 0
    (body,) = await bodies(queue)
    assert json.loads(body) == {"id": "1b2c", "kind": "update"}


@pytest.mark.parametrize(
    ("arguments", "error"),
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
async def test_rejected_operation_is_not_posted(
    run: Run, queue: QueueClient, arguments: list[str], error: str
) -> None:
    result = await run("post", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(error)
    assert len(result.err.splitlines()) == 1
    assert await bodies(queue) == []


async def test_force_posts_rejected_operation(run: Run, queue: QueueClient) -> None:
    result = await run("post", "please watch my cache!", "--force")
    assert (result.code, result.lines) == (0, ["sent"])
    assert result.err.startswith("InvalidOperation: ")
    assert await bodies(queue) == ["please watch my cache!"]
