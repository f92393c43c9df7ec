"""Faults of single polls: each one changes the reply that a scenario would otherwise give.

Faults apply in list order, so that a slow 500 whose body is cut off is three of them.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from opswatch.local.simulator.http import JSON_TYPE, Response
from opswatch.local.simulator.timestamps import RetryAfter


@dataclass(frozen=True, slots=True, kw_only=True)
class PollContext:
    """One poll of one operation: everything that its reply may depend on."""

    operation_id: str
    path: str
    started_at: datetime
    now: datetime
    poll: int = 1  # the first poll is 1

    @property
    def age(self) -> timedelta:
        """Time since the operation started."""
        return self.now - self.started_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response to a poll, and what the server does besides sending it."""

    response: Response
    shows_end: bool = False  # the response reports the operation's final status
    revoke_tokens: bool = False  # send a claims challenge instead of the response
    new_url_header: str | None = None  # the header that names a new URL on the same host


class Window(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The polls that a fault applies to: all conditions must hold."""

    first_poll: int = 1
    last_poll: int | None = None
    from_age: timedelta = timedelta(0)
    until_age: timedelta | None = None
    share: float = 1.0  # 0.1: about every tenth poll

    def applies_to(self, context: PollContext) -> bool:
        """Whether the fault applies to this poll; the same poll always gets the same result."""
        poll_key = f"{context.operation_id}:{context.poll}".encode()
        return (
            self.first_poll <= context.poll
            and (self.last_poll is None or context.poll <= self.last_poll)
            and self.from_age <= context.age
            and (self.until_age is None or context.age < self.until_age)
            and (self.share >= 1 or zlib.crc32(poll_key) / 2**32 < self.share)
        )


class FixedReply(Window, frozen=True, kw_only=True, tag="reply"):
    """Reply with this response instead of the operation's status."""

    status: int
    json: object = None  # the body, if set; otherwise `body` is
    body: str = ""  # bytes that are not UTF-8 are written with surrogateescape
    headers: Mapping[str, str] = {}
    retry_after: RetryAfter | None = None

    def response(self, now: datetime) -> Response:
        """Return the response as sent at `now`."""
        text = json.dumps(self.json) if self.json is not None else self.body
        headers = {"Content-Type": JSON_TYPE} if text else {}
        wait = [self.retry_after.header(now)] if self.retry_after else []
        return Response(
            status=self.status,
            headers={**headers, **self.headers, **dict(wait)},
            body=text.encode("utf-8", "surrogateescape"),
        )


class ClaimsChallenge(Window, frozen=True, kw_only=True, tag="claimsChallenge"):
    """Continuous access evaluation: revoke all tokens issued so far and ask for a new one."""


class CutOff(Window, frozen=True, kw_only=True, tag="cutOff"):
    """Close the connection in the middle of the body."""


class Slow(Window, frozen=True, kw_only=True, tag="slow"):
    """Delay the response."""

    by: timedelta


class HandOver(Window, frozen=True, kw_only=True, tag="handOver"):
    """Name another URL to poll from now on."""

    header: str = "Azure-AsyncOperation"
    to: str | None = None  # None: a new URL on the same host, and the old one answers 404


Fault = FixedReply | ClaimsChallenge | CutOff | Slow | HandOver


def apply_faults(reply: Reply, faults: tuple[Fault, ...], context: PollContext) -> Reply:
    """Return `reply` as changed by the faults that apply to this poll."""
    for fault in faults:
        if not fault.applies_to(context):
            continue
        response = reply.response
        match fault:
            case FixedReply():
                reply = Reply(response=fault.response(context.now))
            case ClaimsChallenge():
                reply = replace(reply, revoke_tokens=True, shows_end=False)
            case CutOff():
                reply = replace(reply, response=replace(response, cut_off=True), shows_end=False)
            case Slow(by=by):
                delayed = replace(response, delay=response.delay + by)
                reply = replace(reply, response=delayed)
            case HandOver(header=header, to=url):
                if url is None:
                    reply = replace(reply, new_url_header=header)
                else:
                    reply = replace(reply, response=response.with_header(header, url))
            case _:
                assert_never(fault)
    return reply
