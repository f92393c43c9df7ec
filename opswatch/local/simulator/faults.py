"""What goes wrong with single polls: each fault bends the answer that the life would give.

Faults apply in the order of their list, so a slow, cut-off 500 is three of them.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from opswatch.local.simulator.messages import JSON_TYPE, Answer
from opswatch.local.simulator.stamps import RetryAfter


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One poll of one operation: what an answer may depend on."""

    operation_id: str
    path: str
    started_at: datetime
    now: datetime
    poll: int = 1  # this is the nth

    @property
    def age(self) -> timedelta:
        """Time since the start."""
        return self.now - self.started_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer to a poll, and what the server has to do besides sending it."""

    answer: Answer
    ends: bool = False  # it says that the operation has ended
    challenge: bool = False  # tokens issued so far are revoked first
    hand_over: str | None = None  # the header that takes a new URL on the same host


class Window(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which polls a fault befalls: all conditions hold. `share` of 0.1 is every tenth or so."""

    first_poll: int = 1
    last_poll: int | None = None
    from_age: timedelta = timedelta(0)
    until_age: timedelta | None = None
    share: float = 1.0

    def befalls(self, moment: Moment) -> bool:
        """Say whether this poll is hit; the same poll always gets the same lot."""
        return (
            self.first_poll <= moment.poll
            and (self.last_poll is None or moment.poll <= self.last_poll)
            and self.from_age <= moment.age
            and (self.until_age is None or moment.age < self.until_age)
            and (self.share >= 1 or _lot(moment) < self.share)
        )


def _lot(moment: Moment) -> float:
    return zlib.crc32(f"{moment.operation_id}:{moment.poll}".encode()) / 2**32


class Reply(Window, frozen=True, kw_only=True, tag="reply"):
    """Another answer than the true one.

    `json` is the body where it is set, else `body`. Bytes that are no UTF-8 stand in `body` as
    Python's surrogateescape writes them.
    """

    status: int
    json: object = None
    body: str = ""
    headers: Mapping[str, str] = {}
    retry_after: RetryAfter | None = None


class ClaimsChallenge(Window, frozen=True, kw_only=True, tag="claimsChallenge"):
    """Continuous access evaluation: tokens issued so far no longer do, a new one does."""


class CutOff(Window, frozen=True, kw_only=True, tag="cutOff"):
    """The connection closes in the middle of the body."""


class Slow(Window, frozen=True, kw_only=True, tag="slow"):
    """The answer takes its time."""

    by: timedelta


class HandOver(Window, frozen=True, kw_only=True, tag="handOver"):
    """The answer names another URL to poll from now on.

    Without `to` it is a new one on the same host, and the old one answers 404 from then on.
    """

    header: str = "Azure-AsyncOperation"
    to: str | None = None


Fault = Reply | ClaimsChallenge | CutOff | Slow | HandOver


def bend(told: Told, faults: tuple[Fault, ...], moment: Moment) -> Told:
    """Return what remains of `told` after the faults that befall this poll."""
    for fault in faults:
        if fault.befalls(moment):
            told = _bend(told, fault, moment)
    return told


def _bend(told: Told, fault: Fault, moment: Moment) -> Told:
    match fault:
        case Reply():
            return Told(answer=_reply(fault, moment))
        case ClaimsChallenge():
            return replace(told, challenge=True, ends=False)
        case CutOff():
            return replace(told, answer=replace(told.answer, cut=True), ends=False)
        case Slow():
            late = told.answer.delay + fault.by
            return replace(told, answer=replace(told.answer, delay=late))
        case HandOver():
            return _hand_over(told, fault)
        case _:
            assert_never(fault)


def _reply(fault: Reply, moment: Moment) -> Answer:
    is_json = fault.json is not None
    text = json.dumps(fault.json) if is_json else fault.body
    headers = {"Content-Type": JSON_TYPE} if text else {}
    wait = [fault.retry_after.header(moment.now)] if fault.retry_after else []
    return Answer(
        status=fault.status,
        headers={**headers, **fault.headers, **dict(wait)},
        body=text.encode("utf-8", "surrogateescape"),
    )


def _hand_over(told: Told, fault: HandOver) -> Told:
    if fault.to is None:
        return replace(told, hand_over=fault.header)
    return replace(told, answer=with_header(told.answer, fault.header, fault.to))


def with_header(answer: Answer, name: str, value: str) -> Answer:
    """Return `answer` with one header more."""
    return replace(answer, headers={**answer.headers, name: value})
