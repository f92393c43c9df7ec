"""One run: everything started, the storm beside the posts, then calm until the books balance."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from opswatch.adapters.account import Account
from opswatch.config import Storage as StorageSettings
from opswatch.core.webhook import Secret
from opswatch.local.demo.cases import LOCATION, SUBSCRIPTION
from opswatch.local.simulator import Simulator
from opswatch.rows.messages import OPERATIONS_QUEUE
from tests.chaos.books import Books
from tests.chaos.conduct import Outcome
from tests.chaos.figures import figures
from tests.chaos.luck import luck
from tests.chaos.posts import Poster
from tests.chaos.receivers import Receiver
from tests.chaos.stories import draw_stories
from tests.chaos.storm import storm
from tests.chaos.tables import read_tables
from tests.chaos.victims import App, Fleet, Storage

DOORS = ("steady", "moody", "gone")
_LEASE = 15.0  # seconds; the Functions host's is ten minutes
_SHARE_OF_POSTING = 0.8  # of the storm
_LOOK_EVERY = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What kind of a run it is."""

    seed: int
    operations: int
    apps: int
    storm: float  # seconds
    patience: float  # seconds of calm, until what is missing counts as lost


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that takes part."""

    arm: Simulator
    receivers: list[Receiver]
    storage: Storage
    fleet: Fleet
    account: Account


async def play(options: Options, folder: Path) -> Outcome:
    """Play one run; what the apps say goes to files in `folder`."""
    async with _scene(options, folder) as scene:
        queue = scene.account.queue(OPERATIONS_QUEUE)
        poster = Poster(queue, scene.arm, scene.receivers)
        struck = await _rage(options, scene, poster)
        await _calm(options.patience, scene, poster)
        for app in scene.fleet.apps:
            await app.drain()
        books = await _books(scene, poster)
        own_ends = [f"an app ended by itself, code {code}" for code in scene.fleet.own_ends]
        return Outcome(figures(books, scene.arm, struck), [*own_ends, *books.problems()])


@asynccontextmanager
async def _scene(options: Options, folder: Path) -> AsyncIterator[Scene]:
    secret = Secret(luck(options.seed, "secret").randbytes(32))
    async with AsyncExitStack() as stack:
        arm = await stack.enter_async_context(Simulator(seed=options.seed))
        receivers = [
            await stack.enter_async_context(Receiver(door, secret.text, luck(options.seed, door)))
            for door in DOORS
        ]
        storage = await stack.enter_async_context(Storage(folder / "storage"))
        env = _environment(storage, arm, receivers, secret)
        account = Account(StorageSettings.from_env(env))
        stack.push_async_callback(account.close)
        await account.queue(OPERATIONS_QUEUE).create_queue()
        logs = [folder / f"app-{number}.log" for number in range(options.apps)]
        fleet = Fleet([App(env, _LEASE, log) for log in logs])
        await stack.enter_async_context(fleet)
        yield Scene(arm, receivers, storage, fleet, account)


def _environment(
    storage: Storage, arm: Simulator, receivers: list[Receiver], secret: Secret
) -> dict[str, str]:
    return {
        **arm.environment,
        "AzureWebJobsStorage": storage.azurite.connection_string,
        "OPSWATCH_SUBSCRIPTION_ID": SUBSCRIPTION,
        "OPSWATCH_LOCATION": LOCATION,
        "OPSWATCH_CALLBACK_URL": receivers[0].url,
        "OPSWATCH_CALLBACK_SECRETS": secret.text,
        "OPSWATCH_CALLBACK_NETWORKS": "127.0.0.0/8",
        "OPSWATCH_CALLBACK_SCHEDULE": "0,1,2,3,5" + 20 * ",8",
        "OPSWATCH_POLL_MAX": "PT8S",
        "OPSWATCH_MISS_GRACE": "PT1M",
        # So that poison, and the repair of it, are seen.
        "AzureFunctionsJobHost__extensions__queues__maxDequeueCount": "3",
    }


async def _rage(options: Options, scene: Scene, poster: Poster) -> Counter[str]:
    moody = scene.receivers[DOORS.index("moody")]
    stories = draw_stories(
        luck(options.seed, "stories"),
        options.operations,
        options.storm * _SHARE_OF_POSTING,
        list(DOORS),
    )
    moody.is_moody = True
    async with asyncio.TaskGroup() as together:
        together.create_task(poster.post(stories))
        raging = together.create_task(
            storm(options.seed, options.storm, scene.fleet, scene.storage, scene.receivers)
        )
    moody.is_moody = False
    return raging.result()


async def _calm(patience: float, scene: Scene, poster: Poster) -> None:
    """Wait until the books balance, or patience ends."""
    give_up_at = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < give_up_at:
        if not (await _books(scene, poster)).problems():
            return
        await asyncio.sleep(_LOOK_EVERY)


async def _books(scene: Scene, poster: Poster) -> Books:
    return Books(poster, scene.receivers, await read_tables(scene.account))
