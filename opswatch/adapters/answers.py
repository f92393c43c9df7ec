"""HTTP answers of receivers and of ARM: both are read in the same lenient way.

The connections here put `AnswerReader` before aiohttp's parser. The functions join the headers of
the answer that aiohttp then returns, and undo its compression.
"""

import asyncio
import functools
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

from opswatch.adapters.answer_reader import MAX_HEAD, AnswerReader

_GZIP = b"\x1f\x8b"
_MAX_CODINGS = 3  # proxies may have compressed the body again
_MAX_MEMBERS = 64  # of a gzip file; the rest of the body is copied for each
_ZLIB_OR_GZIP, _RAW_DEFLATE = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS
_DEFLATE_METHOD = 8  # the low half of a zlib stream's first byte: RFC 1950, 2.2
# Fields of one value. If they are repeated with other values, the last one counts.
_SINGLE = frozenset({"azure-asyncoperation", "content-type", "date", "location"})


class AnswerConnector(aiohttp.TCPConnector):
    """aiohttp's connections, with answers that are corrected before they are parsed."""

    def __init__(self, *, cut_head_counts: bool = False, **options: Any) -> None:
        """Prepare with aiohttp's `options`; `cut_head_counts` as `AnswerReader` has it."""
        super().__init__(**options)
        # aiohttp has no public place for a protocol of our own. The tests of this module fail if a
        # release no longer uses this one.
        protocol: Callable[..., ResponseHandler] = _AnswerProtocol
        self._factory = functools.partial(
            protocol, loop=self._loop, cut_head_counts=cut_head_counts
        )


class _AnswerProtocol(ResponseHandler):
    """Passes received bytes through an `AnswerReader`; each exchange has its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, cut_head_counts: bool) -> None:
        super().__init__(loop)
        self._cut_head_counts = cut_head_counts
        self._reader: AnswerReader | None = None
        self._is_reused = False
        self._early = b""  # received before a request was sent

    @property
    def should_close(self) -> bool:
        """Whether the connector closes the connection instead of keeping it."""
        return super().should_close or (self._reader is not None and not self._reader.is_reusable)

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the next exchange. The limits of a head are the reader's."""
        for name in params:
            if name.startswith("max_"):
                params[name] = 2 * MAX_HEAD
        super().set_response_params(**params)
        self._is_reused = self._reader is not None
        self._reader = AnswerReader(cut_head_counts=self._cut_head_counts)
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Correct the received bytes, and let aiohttp parse the result."""
        reader = self._reader
        if reader is None:
            self._early += data
            if len(self._early) > MAX_HEAD:
                self._close_transport()
            return
        is_late = bool(data) and reader.is_over
        answer = reader.feed(data)
        if answer or not data:  # without data, aiohttp goes on after a pause
            super().data_received(answer)
        if reader.error and not is_late:
            # On a reused connection these bytes are left over from the answer before. For this
            # error aiohttp repeats a GET once on another connection.
            self.set_exception(
                aiohttp.ServerDisconnectedError(reader.error)
                if self._is_reused
                else HttpProcessingError(code=400, message=reader.error)
            )
        if reader.error or reader.is_broken or is_late:
            self._close_transport()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the answer with the connection."""
        if self._reader is not None and (answer := self._reader.feed_eof()):
            super().data_received(answer)
        super().connection_lost(exc)

    def _close_transport(self) -> None:
        if self.transport is not None:
            self.transport.close()


def joined_headers(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their names in lower case; repeated ones are joined (RFC 9110, 5.2).

    Equal repetitions count once. Bytes that are not UTF-8 are replaced.
    """
    values: dict[str, dict[str, None]] = {}  # the inner ones are ordered sets
    for name, value in fields:
        text = value
        if not value.isascii():
            text = value.encode(errors="surrogateescape").decode(errors="replace")
        values.setdefault(name.lower(), {})[text] = None
    return {
        name: next(reversed(texts)) if name in _SINGLE else ", ".join(texts)
        for name, texts in values.items()
    }


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A body without its compression."""

    content: bytes
    is_whole: bool = True


def unpack(body: bytes, headers: Mapping[str, str], limit: int) -> Unpacked:
    """Undo gzip and deflate, even if not asked for; return at most `limit` + 1 bytes of content.

    gzip is recognised by its first bytes, because a proxy may have dropped the header. A body that
    is not compressed, although its header says so, is returned unchanged.
    """
    unpacked = Unpacked(body)
    for _ in range(_MAX_CODINGS):
        if not unpacked.content.startswith(_GZIP):
            break
        inflated = _inflate(unpacked.content, _ZLIB_OR_GZIP, limit)
        if inflated is None:
            return unpacked
        unpacked = Unpacked(inflated.content, unpacked.is_whole and inflated.is_whole)
    if "deflate" not in headers.get("content-encoding", "").lower() or not unpacked.content:
        return unpacked
    content = unpacked.content
    # RFC 9110, 8.4.1.2: it is a zlib stream, but some servers send the bare deflate data.
    is_zlib = content[0] & 0xF == _DEFLATE_METHOD
    inflated = _inflate(content, _ZLIB_OR_GZIP, limit) if is_zlib else None
    if inflated is None:
        inflated = _inflate(content, _RAW_DEFLATE, limit)
        if inflated is None or not inflated.is_whole:  # text may look like its beginning
            return unpacked
    return Unpacked(inflated.content, unpacked.is_whole and inflated.is_whole)


def _inflate(body: bytes, window: int, limit: int) -> Unpacked | None:
    """Return the beginning of a compressed body's content; None if it is not compressed."""
    content = bytearray()
    for member in range(_MAX_MEMBERS):
        inflater = zlib.decompressobj(window)
        try:
            content += inflater.decompress(body, limit + 1 - len(content))
        except zlib.error:
            return Unpacked(bytes(content)) if member else None
        if not inflater.eof:
            return Unpacked(bytes(content), is_whole=len(content) > limit)
        body = inflater.unused_data  # gzip: another member, or padding
        if not body or len(content) > limit:
            return Unpacked(bytes(content))
    return Unpacked(bytes(content), is_whole=False)
