"""What is posted while the storm rages, drawn from a seed: each operation's life and messages."""

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
}  # how often each life is lived, and how it ends
_LONGEST = 40.0  # seconds
_BURSTS = (
    FixedReply(status=404, json={"error": {"message": "Not yet."}}, last_poll=1, share=0.1),
    FixedReply(status=429, retry_after=RetryAfter(wait=timedelta(seconds=2)), share=0.12),
    FixedReply(status=500, share=0.12),
    CutOff(share=0.08),
    Slow(by=timedelta(seconds=2), share=0.08),
)
_WITH_CALLBACK = ("JSON", "JSON, URL", "JSON, parts", "status body", "base64 JSON")
_WHOLE_URL = ("absolute URL", "BOM", "JSON, URL", "base64 JSON")
_JOINS_WITH = "JSON, URL"


@dataclass(frozen=True, slots=True)
class Message:
    """One message about an operation, `after` seconds from the one before."""

    after: float
    form: str
    door: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """An operation, begun `at` seconds from the start."""

    at: float
    script: str
    life: Scenario
    status: FinalStatus
    messages: tuple[Message, ...]


def draw_stories(rng: Random, count: int, seconds: float, doors: list[str]) -> list[Story]:
    """Draw `count` operations that begin within `seconds`; a bare post calls the first door."""
    return [_story(rng, rng.uniform(0, seconds), doors) for _ in range(count)]


def _story(rng: Random, at: float, doors: list[str]) -> Story:
    weights = [weight for weight, _ in _ENDS.values()]
    (script,) = rng.choices(list(_ENDS), weights)
    life = find_script(script)
    if script != "forbidden":
        life = msgspec.structs.replace(life, faults=(*life.faults, *_BURSTS))
    if life.duration is not None:
        life = life.with_duration(timedelta(seconds=rng.uniform(1, _LONGEST)))
    status = _ENDS[script][1]
    messages = tuple(_messages(rng, _forms(life), doors))
    return Story(at=at, script=script, life=life, status=status, messages=messages)


def _forms(life: Scenario) -> list[str]:
    """Return the forms that say all there is to know: what they leave out is in the settings."""
    if life.duration is None:
        return ["JSON", "JSON, parts"]  # which can hold a time-out
    is_plain = life.template == OPERATIONS_STATUS and not life.signed
    return [form for form in FORMS if is_plain or form in _WHOLE_URL]


def _messages(rng: Random, forms: list[str], doors: list[str]) -> list[Message]:
    """Draw a first message, now and then the same once more, and another receiver, early or late.

    A form without a callback calls the door of the settings.
    """
    form = rng.choice(forms)
    first = Message(0, form, rng.choice(doors) if form in _WITH_CALLBACK else doors[0])
    messages = [first]
    if rng.random() < 0.15:
        messages.append(Message(rng.uniform(0, 10), form, first.door))
    if rng.random() < 0.2:
        messages.append(Message(rng.uniform(0, 2 * _LONGEST), _JOINS_WITH, rng.choice(doors)))
    return messages
