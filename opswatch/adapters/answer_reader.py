"""Reads one HTTP/1 answer leniently, without I/O: the bytes received in, a well-formed answer out.

aiohttp's parser (llhttp) rejects an answer, and with it the status, if a header line is odd, both
lengths are given or a byte follows the body; no flag turns that off. h11 and httpx are as strict,
and the standard library's client blocks. So `AnswerReader` rewrites an answer before aiohttp parses
it, as a proxy would: head, then body, framed as RFC 9112 requires. aiohttp keeps the connections,
TLS, proxies and time limits. Measured: 10 µs more for each answer of ARM's usual size.

A connection is never used again after an answer that had to be corrected (RFC 9112, 9.3 and 11.2):
where such an answer ends is a guess.
"""

import re
from collections.abc import Callable
from http import HTTPStatus

from opswatch.core.texts import from_lenient_json

MAX_LINE = 66 * 1024  # bytes: a header of 64 KiB with its name
MAX_HEAD = 256 * 1024  # bytes
MAX_INTERIM = 32  # answers of 1xx before the final one
_BEGIN = b"HTTP/"
_STATUS_LINE = re.compile(rb"HTTP/(\d(?:\.\d)?)[ \t]+([1-9]\d\d)(?!\d)[ \t]*(.*)", re.IGNORECASE)
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_TOKEN = re.compile(rb"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e]")
_LENGTH = re.compile(rb"\d{1,18}")
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")
_CHUNK_BEGUN = re.compile(rb"[ \t]*[0-9A-Fa-f]{0,16}[ \t]*\r?|[ \t]*[0-9A-Fa-f]{1,16}[ \t]*;.*")
_LAST_CHUNK = b"0\r\n\r\n"
# They frame the answer or switch the protocol, and are written again if they apply.
_FRAMING = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"sec-websocket-key1",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_WITHOUT_BODY = frozenset(
    {HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
)
_Fields = list[tuple[bytes, bytes]]


class AnswerReader:
    """One answer: `feed` it what is received, in pieces of any size, and pass on what it returns.

    A status line counts, whatever follows it. Header lines that cannot be read are left out,
    interim answers (1xx) are skipped. A body ends where its chunks, else its one length, else the
    connection end.
    """

    def __init__(self, *, cut_head_counts: bool = False) -> None:
        """Prepare for one answer; `cut_head_counts` if a status line alone is an answer."""
        self.error: str | None = None  # why there is no answer
        self.is_broken = False  # the rest of the body cannot be read
        self.is_over = False
        self.is_reusable = True  # the connection, once the answer is over
        self._cut_head_counts = cut_head_counts
        self._buffer = bytearray()  # received, but not yet read
        self._searched = 0  # so many of its bytes hold no end of the head
        self._interim = 0
        self._remaining: int | None = None  # bytes of the body or the chunk; None: until the end
        self._length: int | None = None  # of the body, as the head has it
        self._writes_chunks = False
        self._is_first = True  # the chunk that comes next
        self._step: Callable[[], bytes | None] = self._read_head

    def feed(self, data: bytes) -> bytes:
        """Return what follows of the well-formed answer."""
        self._buffer += data
        answer = bytearray()
        while not self.is_over and (written := self._step()) is not None:
            answer += written
        if self.is_over and self._buffer:  # bytes after the end
            self.is_reusable = False
            self._buffer.clear()
        return bytes(answer)

    def feed_eof(self) -> bytes:
        """Return what follows of the answer, now that the connection has ended.

        If the answer is not complete, its receiver notices that from its length or its chunks.
        """
        if self.is_over:
            return b""
        answer = b""
        if self._step == self._read_head and self._cut_head_counts:
            lines = bytes(self._buffer).lstrip(b"\r\n").split(b"\n")[:-1]  # the last is not whole
            status = lines and _STATUS_LINE.match(lines[0])
            if status and not _is_interim(int(status[2])):
                fields = [field for field in _fields(lines[1:]) if field is not None]
                answer = _head(status, _unframed(fields))
        elif self._step == self._read_body and self._remaining is None and self._writes_chunks:
            answer = _LAST_CHUNK
        elif self._step == self._read_chunk_size and self._length is None and self._is_first:
            answer = self._written(bytes(self._buffer)) + _LAST_CHUNK
        self.is_over, self.is_reusable = True, False
        return answer

    def _read_head(self) -> bytes | None:
        self._skip_line_ends()
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
        fields = _fields(lines)
        known = [field for field in fields if field is not None]
        codings, lengths, connection = (
            [part.strip(b" \t").lower() for part in b",".join(_values(known, name)).split(b",")]
            for name in (b"transfer-encoding", b"content-length", b"connection")
        )
        given = {*lengths} - {b""}
        if len(given) == 1 and _LENGTH.fullmatch(length := min(given)):
            self._length = int(length)
        is_chunked = b"chunked" in codings
        # Whoever sent a body with a 204 sends it again, perhaps after its head.
        self.is_reusable = (
            len(known) == len(fields)
            and status[1] == b"1.1"
            and b"close" not in connection
            and len(lengths) == 1
            and not (given and (is_chunked or self._length is None))
            and int(status[2]) not in _WITHOUT_BODY
        )
        framing: _Fields = []
        if int(status[2]) in _WITHOUT_BODY:
            self.is_over = True
        elif is_chunked:  # 6.3.4.3: it overrides Content-Length
            framing = [(b"Transfer-Encoding", b"chunked")]
            self._writes_chunks = True
            self._step = self._read_chunk_size
        else:
            if self._length is not None:
                self._length = self._extended(self._length)
                framing = [(b"Content-Length", b"%d" % self._length)]
            self._remaining = self._length
            self._step = self._read_body
            self.is_over = self._length == 0
            self.is_reusable &= self._length is not None
        return _head(status, [*_unframed(known), *framing])

    def _extended(self, length: int) -> int:
        """Return `length`, or more if only the bytes after it, which are here, make up a JSON body.

        Some servers count characters, or write 0.
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
        """Read the next chunk's size; a body that does not begin with one is not in chunks."""
        if not self._is_first:
            self._skip_line_ends()
        line, newline, _ = self._buffer.partition(b"\n")
        if not newline and len(line) <= MAX_LINE and _CHUNK_BEGUN.fullmatch(line):
            return None
        size = _CHUNK.fullmatch(line.removesuffix(b"\r")) if newline else None
        if size is None and self._is_first:
            self.is_reusable = False
            self._remaining, self._step = self._length, self._read_body
            return b""
        if size is None:
            self.is_broken = self.is_over = True
            self.is_reusable = False
            return b""
        self._is_first = False
        del self._buffer[: len(line) + 1]
        self._remaining = int(size[1], 16)
        if self._remaining:
            self._step = self._read_chunk
            return b""
        # A trailer, or an end that is late, is left unread: it costs the connection alone.
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
            self._step = self._read_chunk_size
        return self._written(content)

    def _skip_line_ends(self) -> None:
        del self._buffer[: len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))]

    def _written(self, content: bytes) -> bytes:
        if not content or not self._writes_chunks:
            return content
        return b"%x\r\n%b\r\n" % (len(content), content)

    def _fail(self, error: str) -> bytes:
        self.error = error
        self.is_over, self.is_reusable = True, False
        return b""


def is_json_document(body: bytes) -> bool:
    """Return whether `body` is an object, a list or a text of JSON: none is another's beginning."""
    try:
        return isinstance(from_lenient_json(body), dict | list | str)
    except ValueError:
        return False


def _is_interim(code: int) -> bool:
    return code < HTTPStatus.OK and code != HTTPStatus.SWITCHING_PROTOCOLS


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes] | None]:
    """Return the names and values of header lines, None for a line that is none.

    A line that begins with white space continues the one before it (RFC 9112, 5.2).
    """
    unfolded: list[list[bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and unfolded:
            unfolded[-1].append(line)
        else:
            unfolded.append([line])
    fields: list[tuple[bytes, bytes] | None] = []
    for parts in unfolded:
        name, colon, value = b" ".join(part.strip() for part in parts).partition(b":")
        name = name.rstrip(b" \t")
        is_field = colon and _TOKEN.fullmatch(name)
        fields.append((name, _CONTROL.sub(b" ", value).strip(b" \t")) if is_field else None)
    return fields


def _values(fields: _Fields, name: bytes) -> list[bytes]:
    return [value for each, value in fields if each.lower() == name]


def _unframed(fields: _Fields) -> _Fields:
    return [(name, value) for name, value in fields if name.lower() not in _FRAMING]


def _head(status: re.Match[bytes], fields: _Fields) -> bytes:
    reason = _UNPRINTABLE.sub(b"?", status[3].strip())
    lines = [b"HTTP/1.1 %b %b" % (status[2], reason)]
    return b"\r\n".join([*lines, *(b"%b: %b" % field for field in fields), b"", b""])
