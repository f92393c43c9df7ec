"""Real begin_ methods with opswatch as their polling method: `python begin.py < requests`.

Runs in any environment that has azure-core, azure-mgmt-redisenterprise, the storage SDKs, aiohttp,
msgspec and isodate. Reads what is asked, as JSON; prints how each poller has ended. Asked once more
with the tokens that it has printed, it goes on with them, as another process does.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.redisenterprise import RedisEnterpriseManagementClient
from azure.mgmt.redisenterprise.aio import (
    RedisEnterpriseManagementClient as AsyncRedisEnterpriseManagementClient,
)
from azure.mgmt.redisenterprise.models import Cluster, Sku

from opswatch.client import OperationError, Watcher
from opswatch.client.sync import Watcher as SyncWatcher

GROUP = "g"
FACES, SOURCES = ("sync", "async"), ("storage", "http")
# How a cluster is made, by the script of the simulator.
SCRIPTS = ("succeeded", "failed", "canceled", "forbidden")
SECONDS = "1"


class Authorization(SansIOHTTPPolicy[Any, Any]):
    """Sends a token of the simulator, which is not reached by TLS."""

    def __init__(self, token: str) -> None:
        self._token = token

    def on_request(self, request: Any) -> None:
        request.http_request.headers["Authorization"] = f"Bearer {self._token}"


class NoCredential:
    """Is not asked, because the client has another way to sign in."""

    def get_token(self, *_: str, **__: object) -> AccessToken:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def client_options(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "credential": NoCredential(),
        "subscription_id": asked["subscription"],
        "base_url": asked["arm"],
        "credential_scopes": ["https://management.azure.com/.default"],
        "authentication_policy": Authorization(asked["token"]),
    }


def open_watcher(face: Any, source: str, asked: dict[str, Any]) -> Any:
    if source == "storage":
        return face.from_env(asked["env"])
    return face.over_http(asked["url"], asked["keys"]["read"], write_key=asked["keys"]["write"])


def outcome(poller: Any, got: Any) -> dict[str, Any]:
    """Return how a poller has ended, given what its `result` has returned or raised."""
    ended: dict[str, Any] = {"id": poller.continuation_token(), "status": poller.status()}
    if isinstance(got, Exception):
        error: Any = got
        inner = error.row.error_code_inner if isinstance(got, OperationError) else repr(got)
        return ended | {
            "error": type(got).__name__,
            "code": getattr(got, "code", None),
            "inner": inner,
            "isHttp": isinstance(got, HttpResponseError),
            "hasToken": getattr(got, "continuation_token", None) == ended["id"],
        }
    if isinstance(got, Cluster):
        flat: Any = getattr(got, "properties", None) or got
        return ended | {"name": got.name, "state": str(flat.provisioning_state)}
    return ended | {"value": got}


class Cases:
    """All cases of one face over one source."""

    def __init__(self, asked: dict[str, Any], face: str, source: str) -> None:
        self.asked = asked
        self.prefix = f"{face} over {source}, "
        self.name = f"{face}-{source}"
        self.goes_on = "tokens" in asked

    def polling(self, watcher: Any, case: str) -> dict[str, Any]:
        """Return the arguments with which a case begins, or goes on."""
        if self.goes_on:
            token = self.asked["tokens"][self.prefix + case]
            return {"polling": watcher.polling(), "continuation_token": token}
        return {
            "polling": watcher.polling(
                callback_url=self.asked["callback"], client_state={"case": case}
            )
        }

    def cluster(self, script: str) -> Cluster:
        tags = {"simulator": script, "simulatorSeconds": SECONDS}
        return Cluster(location="westus", sku=Sku(name="Balanced_B5"), tags=tags)


def run_sync(cases: Cases) -> dict[str, Any]:
    found: dict[str, Any] = {}
    options = client_options(cases.asked)
    watcher = open_watcher(SyncWatcher, cases.name.partition("-")[2], cases.asked)
    with RedisEnterpriseManagementClient(**options) as client, watcher:

        def run(case: str, begin: Callable[..., Any], *arguments: Any) -> None:
            poller = begin(GROUP, *arguments, **cases.polling(watcher, case))
            try:
                got = poller.result()
            except Exception as error:
                got = error
            found[cases.prefix + case] = outcome(poller, got)

        clusters = client.redis_enterprise
        with ThreadPoolExecutor() as threads:
            running = [
                threads.submit(run, s, clusters.begin_create, f"{cases.name}-{s}", cases.cluster(s))
                for s in SCRIPTS
            ]
            for each in running:
                each.result()
        name = f"{cases.name}-deleted"
        if not cases.goes_on:
            clusters.begin_create(GROUP, name, cases.cluster("succeeded"), polling=False)
        run("deleted", clusters.begin_delete, name)
    return found


async def run_async(cases: Cases) -> dict[str, Any]:
    found: dict[str, Any] = {}
    options = client_options(cases.asked)
    watcher = open_watcher(Watcher, cases.name.partition("-")[2], cases.asked)
    async with AsyncRedisEnterpriseManagementClient(**options) as client, watcher:

        async def run(case: str, begin: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
            poller = await begin(GROUP, *arguments, **cases.polling(watcher, case))
            try:
                got = await poller.result()
            except Exception as error:
                got = error
            found[cases.prefix + case] = outcome(poller, got)

        clusters = client.redis_enterprise
        await asyncio.gather(
            *(run(s, clusters.begin_create, f"{cases.name}-{s}", cases.cluster(s)) for s in SCRIPTS)
        )
        name = f"{cases.name}-deleted"
        if not cases.goes_on:
            await clusters.begin_create(GROUP, name, cases.cluster("succeeded"), polling=False)
        await run("deleted", clusters.begin_delete, name)
    return found


async def main() -> None:
    asked = json.load(sys.stdin)
    began = time.monotonic()
    all_found = await asyncio.gather(
        *(asyncio.to_thread(run_sync, Cases(asked, "sync", source)) for source in SOURCES),
        *(run_async(Cases(asked, "async", source)) for source in SOURCES),
    )
    found = {case: ended for each in all_found for case, ended in each.items()}
    heavy = [name for name in ("azure.functions", "azure.identity") if name in sys.modules]
    seconds = time.monotonic() - began
    sys.stdout.write(json.dumps({"found": found, "heavy": heavy, "seconds": seconds}))


if __name__ == "__main__":
    asyncio.run(main())
