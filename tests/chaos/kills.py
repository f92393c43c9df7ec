"""`python -m tests.chaos.kills`: processes are killed at random while deliveries are under way.

Several `opswatch dev` over one Azurite; SIGKILL at instants from a seed, each time to an app that
is up, which is then started again. Receivers answer at once, late, with 500, or not at all, and
accept an event only after a number of kills that is drawn for it, so that deliveries are under way
until the last kill. Then there are no more kills, and everything must add up.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

from opswatch.bootstrap import open_services
from opswatch.core.watches import FinalStatus
from opswatch.core.webhook import Secret
from opswatch.local.azurite import running_azurite
from opswatch.ports import Services
from tests.chaos.audit import Audit, Expected, read_tables
from tests.chaos.repeats import excess_repeats, repeats
from tests.chaos.runner import Outcome, run_and_report, seeded_rng, settle
from tests.support.endpoints import Behaviour, Endpoint, ReceivedPost, Reply
from tests.support.harness import enqueue_delivery
from tests.support.processes import AppProcess

_PATIENCE = 300.0  # seconds without kills: the repair's grace and some of its runs
_HOSTS = 10  # of each pattern: the circuit of a failing host opens, and it gets few POSTs then
_ATTEMPTS = 60  # more than any delivery gets


@dataclass(frozen=True, slots=True)
class ReplyPattern:
    """How the first POSTs of each event are answered, and how long an answer takes at most."""

    first: tuple[int | None, ...] = ()
    seconds: float = 2.0

    def behaviour(self, rng: Random, is_open: Callable[[str], bool]) -> Behaviour:
        """Return the behaviour of an endpoint that accepts an event once it is open for it."""

        def reply(post: ReceivedPost, answered: int) -> Reply:
            delay = rng.uniform(0, self.seconds)
            if answered < len(self.first):
                return Reply(self.first[answered], delay=delay)
            is_accepted = is_open(post.operation_id)
            return Reply(204 if is_accepted else 404, is_accepted, delay)

        return reply


REPLY_PATTERNS = (
    ReplyPattern(),
    ReplyPattern(first=(500, 500)),
    ReplyPattern(first=(None, None)),
    ReplyPattern(seconds=5.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a run; spans in seconds."""

    seed: int
    kills: int = 200
    deliveries: int = 300
    apps: int = 4
    gap: float = 1.2  # between kills, on average
    retry: int = 14  # between attempts, ± 20 %: some waits are near, others far
    lease: float = 10.0  # the Functions host's is ten minutes
    patterns: tuple[ReplyPattern, ...] = REPLY_PATTERNS  # of the receivers


@dataclass(slots=True)
class KillLog:
    at: list[float] = field(default_factory=list)  # seconds since 1970
    landed: int = 0  # that cut off at least one POST under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    services: Services
    endpoints: list[Endpoint]
    apps: list[AppProcess]
    kills: KillLog
    expected: list[Expected] = field(default_factory=list)

    async def audit(self) -> Audit:
        return Audit(
            expected=self.expected,
            received=[post for endpoint in self.endpoints for post in endpoint.posts],
            tables=await read_tables(self.services),
            own_ends=[code for app in self.apps for code in app.own_ends],
        )

    def cut_off(self) -> int:
        return sum(endpoint.cut_off for endpoint in self.endpoints)


async def run(options: Options, folder: Path) -> tuple[Audit, KillLog]:
    """Run once; the apps log to files in `folder`."""
    async with _environment(options, folder) as environment:
        endpoints = environment.endpoints
        for number in range(options.deliveries):
            endpoint = endpoints[number % len(endpoints)]
            operation = await enqueue_delivery(environment.services, number, endpoint.url)
            expected = Expected(operation, FinalStatus.SUCCEEDED, endpoints={endpoint.name})
            environment.expected.append(expected)
        for app in environment.apps:
            await app.start()
        for app in environment.apps:
            await app.wait_until_up()
        await _kill(options, environment)
        await settle(environment.audit, _PATIENCE)
        for app in environment.apps:
            await app.drain()
        return await environment.audit(), environment.kills


@asynccontextmanager
async def _environment(options: Options, folder: Path) -> AsyncIterator[Environment]:
    secret = Secret(seeded_rng(options.seed, "secret").randbytes(32))
    kills = KillLog()

    def is_open(operation_id: str) -> bool:
        after = seeded_rng(options.seed, operation_id).uniform(0, options.kills)
        return len(kills.at) >= after

    async with AsyncExitStack() as stack:
        azurite = stack.enter_context(running_azurite())
        env = {
            "AzureWebJobsStorage": azurite.connection_string,
            "OPSWATCH_CALLBACK_SECRETS": secret.text,
            "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8",
            "OPSWATCH_CALLBACK_SCHEDULE": "0" + _ATTEMPTS * f",{options.retry}",
        }
        endpoints = []
        for number, pattern in enumerate(options.patterns * _HOSTS):
            rng = seeded_rng(options.seed, f"endpoint {number}")
            endpoint = Endpoint(f"hook-{number}", secret, pattern.behaviour(rng, is_open))
            endpoints.append(await stack.enter_async_context(endpoint))
        services = await stack.enter_async_context(open_services(env, create=True))
        apps = []
        for number in range(options.apps):
            app = AppProcess(env, options.lease, folder / f"app-{number}.log")
            stack.push_async_callback(app.kill)
            apps.append(app)
        yield Environment(services=services, endpoints=endpoints, apps=apps, kills=kills)


async def _kill(options: Options, environment: Environment) -> None:
    """Kill an app that is up at one random instant after the other, and start it again."""
    rng, kills = seeded_rng(options.seed, "kills"), environment.kills
    while len(kills.at) < options.kills:
        await asyncio.sleep(rng.uniform(0, 2 * options.gap))
        up = [app for app in environment.apps if app.is_up()]
        if not up:
            continue
        app, before = rng.choice(up), environment.cut_off()
        await app.kill()
        kills.at.append(time.time())
        await app.start()
        kills.landed += environment.cut_off() > before


def main() -> int:
    """Run once, print the outcome, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--deliveries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    options = Options(seed=asked.seed, kills=asked.kills, deliveries=asked.deliveries)

    async def run_once(folder: Path) -> Outcome:
        audit, kills = await run(options, folder)
        received = audit.received
        by_id = Counter[str]()
        for delivery_id, number, _ in repeats(received):
            by_id[delivery_id] += number
        figures = (
            f"{len(kills.at)} kills, {kills.landed} of them while a POST was under way; "
            f"{len(audit.deliveries)} of {options.deliveries} deliveries settled by "
            f"{len(received)} POSTs, {by_id.total()} of them repeats, "
            f"at most {max(by_id.values(), default=0)} of one"
        )
        return Outcome([figures], [*audit.problems(), *excess_repeats(received, kills.at)])

    return run_and_report("kills", options.seed, run_once)


if __name__ == "__main__":
    sys.exit(main())
