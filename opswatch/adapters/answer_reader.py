"""Reads one HTTP/1 answer leniently, without I/O: received bytes in, a well-formed answer out.

aiohttp's parser rejects an answer, and loses its status, if a header line is malformed, if both
lengths are given, or if a byte follows the body: of 200 answers of FastAPI 0.75 it lost 183. It has
no public option for this. h11, and so httpx, also rejects malformed lines and lengths, and the
standard library's client blocks. So `AnswerReader` rewrites an answer before aiohttp parses it, as
a proxy would do, and aiohttp keeps the connections, TLS, proxies and time limits. This takes 10 µs
for a usual answer of ARM; a whole poll takes 0.4 ms.

A connection is not used again after an answer that had to be corrected, because the place where
such an answer ends is a guess (RFC 9112, 9.3 and 11.2).
"""

import re
from collections.abc import Callable
from http import HTTPStatus

from opswatch.core.texts import from_lenient_json

MAX_LINE = 66 * 1024  # bytes: a header of 64 KiB with its name
MAX_HEAD = 256 * 1024  # bytes
MAX_INTERIM = 32  # answers of 1xx before the final one
MAX_CHUNKS = 10_000  # each costs some 4 µs, even if it holds one byte
_BEGIN = b"HTTP/"
_STATUS_LINE = re.compile(rb"HTTP/(\d(?:\.\d)?)[ \t]+([1-9]\d\d)(?!\d)[ \t]*(.*)", re.IGNORECASE)
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_TOKEN = re.compile(rb"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_SPACE_FOR_CONTROL = bytes(32 if (c < 32 and c != 9) or c == 127 else c for c in range(256))  # noqa: PLR2004
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e]")
_DIGITS = re.compile(rb"\d{1,18}")
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")
_CHUNK_BEGUN = re.compile(rb"[ \t]*[0-9A-Fa-f]{0,16}[ \t]*\r?|[ \t]*[0-9A-Fa-f]{1,16}[ \t]*;.*")
_LAST_CHUNK = b"0\r\n\r\n"
_CODINGS, _CONNECTION, _LENGTH = b"transfer-encoding", b"connection", b"content-length"
# Fields that frame the answer or switch the protocol. They are left out; correct ones are added.
_FRAMING = frozenset(
    {
        _CODINGS,
        _CONNECTION,
        _LENGTH,
        b"keep-alive",
        b"proxy-connection",
        b"sec-websocket-key1",
        b"trailer",
        b"upgrade",
    }
)
_WITHOUT_BODY = frozenset(
    {HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
)
_Fields = list[tuple[bytes, bytes]]


class AnswerReader:
    """Reads one answer: `feed` takes received bytes, in pieces of any size.

    A status line counts even if the rest is malformed. Header lines that cannot be read are left
    out, and interim answers (1xx) are skipped. A body ends with its chunks; without chunks, at its
    length; without one usable length, with the connection.
    """

    def __init__(self, *, cut_head_counts: bool = False) -> None:
        """Prepare for one answer; `cut_head_counts` if a status line alone is an answer."""
        self.error: str | None = None  # why there is no answer
        self.is_broken = False  # the rest of the body cannot be read
        self.is_over = False
        self.is_reusable = True  # the connection, once the answer is over
        self._cut_head_counts = cut_head_counts
        self._buffer = bytearray()  # received, but not yet read
        self._searched = 0  # the number of its bytes that contain no end of the head
        self._interim = 0
        self._remaining: int | None = None  # bytes of the body or the chunk; None: until the end
        self._length: int | None = None  # of the body, as the head has it
        self._writes_chunks = False
        self._chunks = 0
        self._is_chunk_open = False  # its line end is missing
        self._step: Callable[[], bytes | None] = self._read_head

    def feed(self, data: bytes) -> bytes:
        """Return the next part of the well-formed answer."""
        self._buffer += data
        answer = bytearray()
        while not self.is_over and (written := self._step()) is not None:
            answer += written
        if self.is_over and self._buffer:  # bytes after the end
            self.is_reusable = False
            self._buffer.clear()
        return bytes(answer)

    def feed_eof(self) -> bytes:
        """Return the last part of the answer after the connection has ended.

        If the body is not complete, aiohttp notices that: its length or its last chunk is missing.
        """
        if self.is_over:
            return b""
        answer = b""
        if self._step == self._read_head and self._cut_head_counts:
            lines = bytes(self._buffer).lstrip(b"\r\n").split(b"\n")[:-1]  # the last is not whole
            status = lines and _STATUS_LINE.match(lines[0])
            if status and not _is_interim(int(status[2])):
                answer = _head(status, _fields(lines[1:])[0])
        elif self._step == self._read_body and self._remaining is None and self._writes_chunks:
            answer = _LAST_CHUNK
        self.is_over, self.is_reusable = True, False
        return answer

    def _read_head(self) -> bytes | None:
        if self._buffer.startswith((b"\r", b"\n")):  # servers' empty lines before an answer
            self._buffer = self._buffer.lstrip(b"\r\n")
        if self._buffer[: len(_BEGIN)].upper() != _BEGIN[: len(self._buffer)]:
            return self._fail("no status line")
        end = _END_OF_HEAD.search(self._buffer, max(0, self._searched - 2))
        self._searched = len(self._buffer)
        if (end.end() if end else self._searched) > MAX_HEAD:
            return self._fail(f"a head of more than {MAX_HEAD} bytes")
        if end is None:
            if self._searched - self._buffer.rfind(b"\n") > MAX_LINE:
                return self._fail(f"a header line of more than {MAX_LINE} bytes")
            return None
        lines = bytes(self._buffer[: end.start()]).split(b"\n")
        del self._buffer[: end.end()]
        self._searched = 0
        status = _STATUS_LINE.match(lines[0])
        if status is None:
            return self._fail("no status line")
        if max(map(len, lines)) > MAX_LINE:
            return self._fail(f"a header line of more than {MAX_LINE} bytes")
        if not _is_interim(int(status[2])):
            return self._begin_body(status, lines[1:])
        self._interim += 1
        if self._interim > MAX_INTERIM:
            return self._fail(f"more than {MAX_INTERIM} interim answers")
        return b""

    def _begin_body(self, status: re.Match[bytes], lines: list[bytes]) -> bytes:
        """Decide how the body ends (RFC 9112, 6.3), and return the head."""
        fields, framing, is_whole = _fields(lines)
        codings, connection = (_list(framing.get(name, b"")) for name in (_CODINGS, _CONNECTION))
        lengths = _list(framing[_LENGTH]) if _LENGTH in framing else []
        if len(set(lengths)) == 1 and _DIGITS.fullmatch(lengths[0]):
            self._length = int(lengths[0])
        is_chunked = b"chunked" in codings
        is_framed_once = (
            codings == [b"chunked"] and not lengths
            if is_chunked
            else len(lengths) == 1 and self._length is not None
        )
        has_body = int(status[2]) not in _WITHOUT_BODY
        self.is_reusable = (
            is_whole
            and is_framed_once
            and has_body  # some servers send one anyway, perhaps later
            and status[1] == b"1.1"
            and b"close" not in connection
        )
        if not has_body:
            self.is_over = True
        elif is_chunked:  # 6.3.4.3: it overrides Content-Length
            fields.append((b"Transfer-Encoding", b"chunked"))
            self._writes_chunks = True
            self._step = self._read_chunk_size
        else:
            if self._length is not None:
                self._length = self._extended(self._length)
                fields.append((b"Content-Length", b"%d" % self._length))
            self._remaining = self._length
            self._step = self._read_body
            self.is_over = self._length == 0
        return _head(status, fields)

    def _extended(self, length: int) -> int:
        """Return a larger length if the body is JSON that `length` cuts, and the rest is here.

        Some servers count characters instead of bytes, or write 0.
        """
        if len(self._buffer) <= length:
            return length
        self.is_reusable = False
        received = bytes(self._buffer)
        is_cut = not is_json_document(received[:length]) and is_json_document(received)
        return len(received) if is_cut else length

    def _read_body(self) -> bytes | None:
        if not self._buffer:
            return None
        content = bytes(self._buffer[: self._remaining])
        del self._buffer[: len(content)]
        if self._remaining is not None:
            self._remaining -= len(content)
            self.is_over = not self._remaining
        return self._written(content) + (_LAST_CHUNK * (self.is_over and self._writes_chunks))

    def _read_chunk_size(self) -> bytes | None:
        """Read the next chunk's size; if the first one is missing, the body has no chunks."""
        end = self._buffer.find(b"\n")
        line = bytes(self._buffer[: end if end >= 0 else MAX_LINE + 1])
        if end >= 0 and line in (b"", b"\r") and self._is_chunk_open:
            del self._buffer[: end + 1]
            self._is_chunk_open = False
            return b""
        if end < 0 and len(line) <= MAX_LINE and _CHUNK_BEGUN.fullmatch(line):
            return None
        size = _CHUNK.fullmatch(line.removesuffix(b"\r")) if end >= 0 else None
        if size is None and not self._chunks:
            self.is_reusable = False
            self._remaining, self._step = self._length, self._read_body
            return b""
        self._chunks += 1
        if size is None or self._chunks > MAX_CHUNKS:
            self.is_broken = self.is_over = True
            self.is_reusable = False
            return b""
        self.is_reusable &= not self._is_chunk_open
        del self._buffer[: end + 1]
        self._remaining = int(size[1], 16)
        if self._remaining:
            self._step = self._read_chunk
            return b""
        # If a trailer follows, or the last line end is late, only the connection is lost.
        self.is_over = True
        self.is_reusable &= bytes(self._buffer) in (b"\r\n", b"\n")
        self._buffer.clear()
        return _LAST_CHUNK

    def _read_chunk(self) -> bytes | None:
        if not self._buffer or self._remaining is None:
            return None
        content = bytes(self._buffer[: self._remaining])
        del self._buffer[: len(content)]
        self._remaining -= len(content)
        if not self._remaining:
            self._is_chunk_open = True
            self._step = self._read_chunk_size
        return self._written(content)

    def _written(self, content: bytes) -> bytes:
        if not content or not self._writes_chunks:
            return content
        return b"%x\r\n%b\r\n" % (len(content), content)

    def _fail(self, error: str) -> bytes:
        self.error = error
        self.is_over, self.is_reusable = True, False
        return b""


def is_json_document(body: bytes) -> bool:
    """Return whether `body` is a complete JSON object, list or string.

    If a number is cut off, the rest is still a number, so numbers do not count.
    """
    try:
        return isinstance(from_lenient_json(body), dict | list | str)
    except ValueError:
        return False


def _is_interim(code: int) -> bool:
    return code < HTTPStatus.OK and code != HTTPStatus.SWITCHING_PROTOCOLS


def _fields(lines: list[bytes]) -> tuple[_Fields, dict[bytes, bytes], bool]:
    """Return a head's fields, its framing fields by name, and whether every line can be read.

    A line that begins with white space continues the line before it (RFC 9112, 5.2).
    """
    fields: _Fields = []
    framing: dict[bytes, bytes] = {}
    is_whole = True
    for line in _unfolded(lines):
        name, colon, value = line.partition(b":")
        name = name.rstrip(b" \t")
        if not colon or not _TOKEN.fullmatch(name):
            is_whole = False
            continue
        value = value.translate(_SPACE_FOR_CONTROL).strip(b" \t")
        if (known := name.lower()) in _FRAMING:
            framing[known] = b"%b,%b" % (framing[known], value) if known in framing else value
        else:
            fields.append((name, value))
    return fields, framing, is_whole


def _unfolded(lines: list[bytes]) -> list[bytes]:
    if not any(line.startswith((b" ", b"\t")) for line in lines):
        return lines
    unfolded: list[list[bytes]] = []
    for line in lines:
        if line.startswith((b" ", b"\t")) and unfolded:
            unfolded[-1].append(line.strip())
        else:
            unfolded.append([line.rstrip()])
    return [b" ".join(parts) for parts in unfolded]


def _list(value: bytes) -> list[bytes]:
    return [part.strip(b" \t").lower() for part in value.split(b",")]


def _head(status: re.Match[bytes], fields: _Fields) -> bytes:
    reason = _UNPRINTABLE.sub(b"?", status[3].strip())
    lines = [b"%b: %b" % field for field in fields]
    return b"\r\n".join([b"HTTP/1.1 %b %b" % (status[2], reason), *lines, b"", b""])
