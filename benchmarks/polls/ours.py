"""opswatch as a poller: the process that runs its functions, as the language worker does.

The host is another process (`benchmarks.polls.host`), as in Azure, where it is not Python.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.polls.hand_over import Function, serving_functions
from benchmarks.polls.operations import SCOPE, Task
from opswatch import bootstrap
from opswatch.adapters.account import Account
from opswatch.adapters.arm import HttpArm
from opswatch.config import STORAGE, Settings, Storage, connection_parts
from opswatch.ports import Services
from opswatch.process import freeze_imports
from opswatch.steps.messages import deliveries_message, operations_message
from tests.support.processes import running_program
from tests.support.servers import Credential


async def opswatch(task: Task) -> None:
    """Poll with opswatch."""
    async with open_services(task) as services:

        async def operations(body: bytes) -> None:
            await operations_message(services, body)

        async def deliveries(body: bytes) -> None:
            await deliveries_message(services, body)

        await _run_functions(task, operations, deliveries)


async def empty_function(task: Task) -> None:
    """Run a function that does nothing, to see what handing a message over costs."""

    async def nothing(_: bytes) -> None: ...

    async with open_services(task):  # which creates the queues
        await _run_functions(task, nothing, nothing, "--repeat")


async def _run_functions(
    task: Task, operations: Function, deliveries: Function, *options: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "functions"
        queues = connection_parts(task.storage)["queueendpoint"]
        arguments = (queues, str(socket), task.arm, str(task.operations), str(task.interval))
        async with (
            serving_functions(socket, (operations, deliveries)),
            running_program("benchmarks.polls.host", *arguments, *options),
        ):
            await asyncio.Event().wait()


@asynccontextmanager
async def open_services(task: Task) -> AsyncIterator[Services]:
    """Yield the services as an identity opens them, which is how opswatch is deployed.

    The settings permit an identity over https only, so the two that use one are opened here.
    """

    @asynccontextmanager
    async def open_account(_: Settings, env: Mapping[str, str]) -> AsyncIterator[Account]:
        parts = connection_parts(env[STORAGE])
        uris = Storage(queue_uri=parts["queueendpoint"], table_uri=parts["tableendpoint"])
        account = Account(uris, Credential())
        try:
            yield account
        finally:
            await account.close()

    @asynccontextmanager
    async def open_arm(settings: Settings, _: Mapping[str, str]) -> AsyncIterator[HttpArm]:
        arm = HttpArm(settings.arm_endpoint, SCOPE, Credential())
        try:
            yield arm
        finally:
            await arm.close()

    freeze_imports()  # as the process of the functions does
    vars(bootstrap).update(open_account=open_account, open_arm=open_arm)
    env = {
        STORAGE: task.storage,
        "OPSWATCH_ARM_ENDPOINT": task.arm,
        "OPSWATCH_POLL_MAX": f"PT{task.interval}S",  # so ARM's Retry-After decides, as for all
    }
    async with bootstrap.open_services(env, create=True) as services:
        yield services
