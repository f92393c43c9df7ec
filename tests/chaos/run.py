"""One run: faults while operations are posted, then none until everything adds up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from opswatch.adapters.account import Account
from opswatch.config import Storage as StorageSettings
from opswatch.core.webhook import Secret
from opswatch.local.demo.cases import LOCATION, SUBSCRIPTION
from opswatch.local.simulator import Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE
from tests.chaos.audit import Audit, read_tables
from tests.chaos.faults import inject_faults
from tests.chaos.posts import Poster
from tests.chaos.runner import Outcome, seeded_rng
from tests.chaos.workload import draw_workload
from tests.support.endpoints import ACCEPT, Behaviour, Endpoint, ReceivedPost, Reply
from tests.support.processes import AppProcess, StorageProcess

_LEASE = 15.0  # seconds; the Functions host's is ten minutes
_POSTING_SHARE = 0.8  # of the time with faults
_LOOK_EVERY = 3.0
_REPLIES = (
    (60, ACCEPT),
    (5, Reply(204, is_accepted=True, delay=5.0)),
    (8, Reply(429, headers={"Retry-After": "1"})),
    (12, Reply(503)),
    (10, Reply(None)),
    (5, Reply(None, is_accepted=True)),
)  # of the flaky endpoint, with their weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a run; spans in seconds."""

    seed: int
    operations: int
    apps: int
    seconds: float  # of faults
    patience: float  # without faults, until what is missing counts as lost


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that takes part."""

    arm: Simulator
    endpoints: list[Endpoint]
    storage: StorageProcess
    apps: list[AppProcess]
    account: Account


async def run(options: Options, folder: Path) -> Outcome:
    """Run once; the apps log to files in `folder`."""
    async with AsyncExitStack() as stack:
        calm = asyncio.Event()
        environment = await stack.enter_async_context(_environment(options, folder, calm))
        poster = Poster(
            environment.account.queue(OPERATIONS_QUEUE), environment.arm, environment.endpoints
        )
        names = [endpoint.name for endpoint in environment.endpoints]
        workload = draw_workload(
            seeded_rng(options.seed, "workload"),
            options.operations,
            options.seconds * _POSTING_SHARE,
            names,
        )
        async with asyncio.TaskGroup() as together:
            together.create_task(poster.post(workload))
            injecting = together.create_task(
                inject_faults(
                    options.seed,
                    options.seconds,
                    environment.apps,
                    environment.storage,
                    environment.endpoints,
                )
            )
        calm.set()
        await _settle(options.patience, environment, poster)
        for app in environment.apps:
            await app.drain()
        audit = await _audit(environment, poster)
        own_ends = [
            f"an app ended by itself, code {code}"
            for app in environment.apps
            for code in app.own_ends
        ]
        figures = audit.figures(environment.arm, injecting.result())
        return Outcome(figures, [*own_ends, *audit.problems()])


@asynccontextmanager
async def _environment(
    options: Options, folder: Path, calm: asyncio.Event
) -> AsyncIterator[Environment]:
    secret = Secret(seeded_rng(options.seed, "secret").randbytes(32))
    behaviours: dict[str, Behaviour] = {
        "steady": lambda _, __: ACCEPT,
        "flaky": _flaky(seeded_rng(options.seed, "flaky"), calm),
        "gone": lambda _, __: Reply(410),
    }
    async with AsyncExitStack() as stack:
        arm = await stack.enter_async_context(Simulator(seed=options.seed))
        endpoints = [
            await stack.enter_async_context(Endpoint(name, secret, behaviour))
            for name, behaviour in behaviours.items()
        ]
        storage = await stack.enter_async_context(StorageProcess(folder / "storage"))
        env = {
            **arm.environment,
            **endpoints[0].environment,
            "AzureWebJobsStorage": storage.azurite.connection_string,
            "OPSWATCH_SUBSCRIPTION_ID": SUBSCRIPTION,
            "OPSWATCH_LOCATION": LOCATION,
            "OPSWATCH_CALLBACK_SCHEDULE": "0,1,2,3,5" + 20 * ",8",
            "OPSWATCH_POLL_MAX": "PT8S",
            "OPSWATCH_MISS_GRACE": "PT1M",
            # So that there are poison messages, and their repair.
            "AzureFunctionsJobHost__extensions__queues__maxDequeueCount": "3",
        }
        account = Account(StorageSettings.from_env(env))
        stack.push_async_callback(account.close)
        await account.queue(OPERATIONS_QUEUE).create_queue()
        apps = [
            await stack.enter_async_context(AppProcess(env, _LEASE, folder / f"app-{number}.log"))
            for number in range(options.apps)
        ]
        yield Environment(arm, endpoints, storage, apps, account)


def _flaky(rng: Random, calm: asyncio.Event) -> Behaviour:
    """Fail now and then, in every way that a sender may meet, until it is calm."""

    weights, replies = [weight for weight, _ in _REPLIES], [reply for _, reply in _REPLIES]

    def reply(_: ReceivedPost, __: int) -> Reply:
        if calm.is_set():
            return ACCEPT
        (drawn,) = rng.choices(replies, weights)
        return replace(drawn, delay=rng.uniform(1, drawn.delay)) if drawn.delay else drawn

    return reply


async def _settle(patience: float, environment: Environment, poster: Poster) -> None:
    """Wait until everything adds up, or patience ends."""
    give_up_at = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < give_up_at:
        if not (await _audit(environment, poster)).problems():
            return
        await asyncio.sleep(_LOOK_EVERY)


async def _audit(environment: Environment, poster: Poster) -> Audit:
    return Audit(poster, environment.endpoints, await read_tables(environment.account))
