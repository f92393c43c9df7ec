"""The one place where tests build a `World`: what a test leaves out is a twin in memory."""

from collections.abc import Callable
from datetime import datetime

from opswatch.adapters.no_telemetry import NoTelemetry
from opswatch.testing import MemoryCallbacks, MemoryStore
from opswatch.core.callback_policy import CallbackRules
from opswatch.core.intake import Defaults, Intake
from opswatch.core.policy import Policy
from opswatch.core.webhook import Secret
from opswatch.ports import Arm, Callbacks, PoisonQueue, Queue, Services, Store, Telemetry

ENDPOINT = "https://management.azure.com"
SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
SECRET = Secret(b"k" * 32)


def make_services(  # noqa: PLR0913 - a world has so many ports
    *,
    operations: Queue,
    deliveries: Queue,
    arm: Arm,
    clock: Callable[[], datetime],
    poison: tuple[PoisonQueue, ...] = (),
    store: Store | None = None,
    callbacks: Callbacks | None = None,
    policy: Policy | None = None,
    telemetry: Telemetry | None = None,
) -> Services:
    return Services(
        store=store or MemoryStore(),
        operations=operations,
        deliveries=deliveries,
        poison=poison,
        arm=arm,
        callbacks=callbacks or MemoryCallbacks(),
        telemetry=telemetry or NoTelemetry(),
        clock=clock,
        intake=Intake(
            endpoint=ENDPOINT,
            defaults=Defaults(subscription_id=SUBSCRIPTION, location="westus"),
            rules=CallbackRules(),
        ),
        policy=policy or Policy(),
        secrets=(SECRET,),
    )


def status_path(operation_id: str) -> str:
    """Return what a status body calls its `id`."""
    return (
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Cache/locations/westus"
        f"/operationsStatus/{operation_id}"
    )
