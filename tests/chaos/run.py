"""One run: faults while operations are posted, then none until everything adds up."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import median

from opswatch.adapters.account import Account
from opswatch.bootstrap import open_services
from opswatch.config import Storage as StorageSettings
from opswatch.core.watches import FinalStatus
from opswatch.core.webhook import Secret
from opswatch.local.demo.cases import LOCATION, SUBSCRIPTION
from opswatch.local.simulator import Simulator
from opswatch.ports import Services
from opswatch.rows.messages import OPERATIONS_QUEUE
from tests.chaos.audit import Audit, read_tables
from tests.chaos.faults import inject_faults
from tests.chaos.posts import Poster
from tests.chaos.runner import Outcome, seeded_rng, settle
from tests.chaos.workload import draw_workload
from tests.support.endpoints import ACCEPT, Behaviour, Endpoint, ReceivedPost, Reply
from tests.support.processes import AppProcess, StorageProcess

_LEASE = 15.0  # seconds; the Functions host's is ten minutes
_POSTING_SHARE = 0.8  # of the time with faults
_UNAUTHORIZED = 401  # the token was refused: the same poll is sent again
_OWN_STATUSES = (FinalStatus.TIMED_OUT, FinalStatus.LOST)  # which are not ARM's
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
    arm: Simulator
    endpoints: list[Endpoint]
    storage: StorageProcess
    apps: list[AppProcess]
    services: Services
    poster: Poster

    async def audit(self) -> Audit:
        return Audit(
            expected=self.poster.expected,
            rejected=self.poster.rejected,
            received=[post for endpoint in self.endpoints for post in endpoint.posts],
            tables=await read_tables(self.services),
            own_ends=[code for app in self.apps for code in app.own_ends],
        )


async def run(options: Options, folder: Path) -> Outcome:
    """Run once; the apps log to files in `folder`."""
    calm = asyncio.Event()
    async with _environment(options, folder, calm) as environment:
        endpoints, apps, poster = environment.endpoints, environment.apps, environment.poster
        posting_time = options.seconds * _POSTING_SHARE
        names = [endpoint.name for endpoint in endpoints]
        rng = seeded_rng(options.seed, "workload")
        async with asyncio.TaskGroup() as together:
            together.create_task(
                poster.post(draw_workload(rng, options.operations, posting_time, names))
            )
            injecting = together.create_task(
                inject_faults(
                    options.seed, options.seconds, [*apps, environment.storage, *endpoints]
                )
            )
        calm.set()
        await settle(environment.audit, options.patience)
        for app in apps:
            await app.drain()
        audit = await environment.audit()
        injected = injecting.result()
        return Outcome(
            [
                ", ".join(f"{kind}: {count}" for kind, count in sorted(injected.items())),
                (
                    f"{poster.messages} messages posted: {len(poster.expected)} operations, "
                    f"{len(poster.rejected)} rejects"
                ),
                *figures(audit, environment.arm),
            ],
            audit.problems(),
        )


def figures(audit: Audit, arm: Simulator) -> Iterator[str]:
    """Yield what the faults cost: polls and POSTs that no row counts, and lag."""
    results = audit.tables.results
    counted = {result.facts.operation.operation_id: result.facts.polls for result in results}
    attempts = {pair: delivery.attempts for pair, delivery in audit.deliveries.items()}
    polled = Counter(
        request.operation_id
        for request in arm.requests
        if request.operation_id and request.status != _UNAUTHORIZED
    )
    extra_polls = [number - counted.get(name, 0) for name, number in polled.items()]
    extra_posts = [len(posts) - attempts.get(pair, 0) for pair, posts in audit.posts.items()]
    for name, extra in (("polls", extra_polls), ("POSTs", extra_posts)):
        total, most = sum(n for n in extra if n > 0), max([0, *extra])
        yield f"{name} beyond those counted: {total}, at most {most} of one"
    ends = {
        expected.operation.key: expected.ends_at
        for expected in audit.expected
        if expected.ends_at and expected.status not in _OWN_STATUSES
    }
    lags = [
        (result.end.finished_at - ends[result.key]).total_seconds()
        for result in results
        if result.key in ends
    ]
    yield f"lag: median {median(lags):.1f} s, most {max(lags):.1f} s" if lags else "lag: none"


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
            "OPSWATCH_CALLBACK_SCHEDULE": "0,1,20,3,5" + 20 * ",8",  # one wait is far
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
        services = await stack.enter_async_context(open_services(env))
        poster = Poster(account.queue(OPERATIONS_QUEUE), arm, endpoints)
        yield Environment(arm, endpoints, storage, apps, services, poster)


def _flaky(rng: Random, calm: asyncio.Event) -> Behaviour:
    """Fail now and then, in every way that a sender may meet, until it is calm."""

    weights, replies = [weight for weight, _ in _REPLIES], [reply for _, reply in _REPLIES]

    def reply(_: ReceivedPost, __: int) -> Reply:
        if calm.is_set():
            return ACCEPT
        (drawn,) = rng.choices(replies, weights)
        return replace(drawn, delay=rng.uniform(1, drawn.delay)) if drawn.delay else drawn

    return reply
