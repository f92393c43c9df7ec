"""The operations that are posted, drawn from a seed: the scenario of each, and its messages."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import msgspec

from opswatch.core.watches import FinalStatus
from opswatch.local.demo.cases import FORMS
from opswatch.local.simulator import CutOff, FixedReply, RetryAfter, Scenario, Slow, find_script
from opswatch.local.simulator.scenario import OPERATIONS_STATUS

_ENDS = {
    "succeeded": (30, FinalStatus.SUCCEEDED),
    "redis-enterprise-create": (8, FinalStatus.SUCCEEDED),
    "redis-classic-create": (6, FinalStatus.SUCCEEDED),
    "redis-flush": (6, FinalStatus.SUCCEEDED),
    "location": (6, FinalStatus.SUCCEEDED),
    "signed": (8, FinalStatus.SUCCEEDED),
    "claims-challenge": (4, FinalStatus.SUCCEEDED),
    "failed": (12, FinalStatus.FAILED),
    "failed-no-error": (6, FinalStatus.FAILED),
    "canceled": (8, FinalStatus.CANCELED),
    "never-ending": (3, FinalStatus.TIMED_OUT),
    "forbidden": (3, FinalStatus.LOST),
}  # the weight of each script, and how it ends
_LONGEST = 40.0  # seconds
_BURSTS = (
    FixedReply(status=404, json={"error": {"message": "Not yet."}}, last_poll=1, share=0.1),
    FixedReply(status=429, retry_after=RetryAfter(wait=timedelta(seconds=2)), share=0.12),
    FixedReply(status=429, retry_after=RetryAfter(wait=timedelta(seconds=18)), share=0.06),  # far
    FixedReply(status=500, share=0.12),
    CutOff(share=0.08),
    Slow(by=timedelta(seconds=2), share=0.08),
)
_WITH_CALLBACK = ("JSON", "JSON, URL", "JSON, parts", "status body", "base64 JSON")
_WHOLE_URL = ("absolute URL", "BOM", "JSON, URL", "base64 JSON")
_JOINS_WITH = "JSON, URL"


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """One message about an operation, `after` seconds from the one before."""

    after: float
    form: str
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOperation:
    """An operation, begun `at` seconds from the start."""

    at: float
    script: str
    scenario: Scenario
    status: FinalStatus
    messages: tuple[PlannedMessage, ...]


def draw_workload(
    rng: Random, count: int, seconds: float, endpoints: list[str]
) -> list[PlannedOperation]:
    """Draw `count` operations that begin within `seconds`; bare posts call the first endpoint."""
    return [_draw_operation(rng, rng.uniform(0, seconds), endpoints) for _ in range(count)]


def _draw_operation(rng: Random, at: float, endpoints: list[str]) -> PlannedOperation:
    weights = [weight for weight, _ in _ENDS.values()]
    (script,) = rng.choices(list(_ENDS), weights)
    scenario = find_script(script)
    if script != "forbidden":
        scenario = msgspec.structs.replace(scenario, faults=(*scenario.faults, *_BURSTS))
    if scenario.duration is not None:
        scenario = scenario.with_duration(timedelta(seconds=rng.uniform(1, _LONGEST)))
    return PlannedOperation(
        at=at,
        script=script,
        scenario=scenario,
        status=_ENDS[script][1],
        messages=tuple(_draw_messages(rng, _forms(scenario), endpoints)),
    )


def _forms(scenario: Scenario) -> list[str]:
    """Return the forms that are complete: the settings have what they leave out."""
    if scenario.duration is None:
        return ["JSON", "JSON, parts"]  # which can contain a timeout
    is_usual = scenario.template == OPERATIONS_STATUS and not scenario.signed
    return [form for form in FORMS if is_usual or form in _WHOLE_URL]


def _draw_messages(rng: Random, forms: list[str], endpoints: list[str]) -> Iterator[PlannedMessage]:
    """Draw a first message, sometimes a repetition, and sometimes a further receiver.

    A form without a callback calls the endpoint of the settings, if it is registered first. A
    queue keeps no order, so a further receiver is the same one then.
    """
    form = rng.choice(forms)
    endpoints = endpoints if form in _WITH_CALLBACK else endpoints[:1]
    endpoint = rng.choice(endpoints)
    yield PlannedMessage(0, form, endpoint)
    if rng.random() < 0.15:
        yield PlannedMessage(rng.uniform(0, 10), form, endpoint)
    if rng.random() < 0.2:
        yield PlannedMessage(rng.uniform(0, 2 * _LONGEST), _JOINS_WITH, rng.choice(endpoints))
