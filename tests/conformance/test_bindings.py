"""The real language worker and `opswatch dev` load the same functions of function_app.py."""

import sys
from pathlib import Path

import pytest

from opswatch.local.host.app import MODULE
from opswatch.rows.messages import QUEUES
from tests.conformance.agreement import differences
from tests.conformance.driver import ROOT, Reported, app_of, real_worker, seen_in

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="azure-functions-runtime exists from Python 3.13 on"
)

WITH_ROUTES = (
    (ROOT / f"{MODULE}.py").read_text("utf-8")
    + """

@app.route(route="probes/{id}", methods=["GET", "POST"])
async def probe(req: func.HttpRequest) -> func.HttpResponse: ...

@app.route(route="dashboard/{*path}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def open_probe(req: func.HttpRequest) -> func.HttpResponse: ...
"""
)
MUTATIONS = [
    pytest.param('queue_name="operations"', 'queue_name="operation"', "operations", id="queue"),
    pytest.param(
        'connection="AzureWebJobsStorage"', 'connection="Other"', "deliveries", id="connection"
    ),
    pytest.param("0 * * * * *", "0 */5 * * * *", "repair", id="schedule"),
    pytest.param("run_on_startup=True", "run_on_startup=False", "repair", id="start-up"),
    pytest.param("async def purge", "async def sweep", "purge", id="name"),
    pytest.param("probes/{id}", "probe/{id}", "probe", id="route"),
    pytest.param('["GET", "POST"]', '["GET"]', "probe", id="methods"),
    pytest.param(
        'methods=["GET", "POST"]',
        'methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS',
        "probe",
        id="too open",
    ),
    pytest.param(", auth_level=func.AuthLevel.ANONYMOUS", "", "open_probe", id="too closed"),
]


async def reported_of(app_dir: Path) -> dict[str, Reported]:
    async with real_worker(app_dir) as worker:
        return worker.functions


# --- function_app.py


async def test_worker_and_local_host_load_the_same_app() -> None:
    reported = await reported_of(ROOT)
    assert differences(reported.values(), seen_in(ROOT)) == []


async def test_functions_have_the_documented_triggers() -> None:
    reported = await reported_of(ROOT)
    triggers = {name: dict(function.trigger) for name, function in reported.items()}
    assert (
        triggers.items()
        >= {
            **{
                queue: {
                    "direction": "IN",
                    "type": "queueTrigger",
                    "name": "message",
                    "queueName": queue,
                    "connection": "AzureWebJobsStorage",
                }
                for queue in QUEUES
            },
            "repair": timer("0 * * * * *", at_start=True),
            "purge": timer("0 23 * * * *"),
        }.items()
    )


def timer(schedule: str, *, at_start: bool = False) -> dict[str, object]:
    known = {"direction": "IN", "type": "timerTrigger", "name": "timer", "schedule": schedule}
    return known | ({"runOnStartup": True} if at_start else {})


# --- differences are found


@pytest.mark.parametrize(("before", "after", "name"), MUTATIONS)
async def test_different_binding_is_found(
    tmp_path: Path, before: str, after: str, name: str
) -> None:
    mutated = WITH_ROUTES.replace(before, after)
    assert mutated != WITH_ROUTES
    ours = seen_in(app_of(tmp_path / "intact", WITH_ROUTES))
    reported = await reported_of(app_of(tmp_path / "mutated", mutated))
    found = differences(reported.values(), ours)
    assert name in {line.partition(":")[0] for line in found}


async def test_same_bindings_have_no_differences(tmp_path: Path) -> None:
    app_dir = app_of(tmp_path / "intact", WITH_ROUTES)
    assert differences((await reported_of(app_dir)).values(), seen_in(app_dir)) == []
