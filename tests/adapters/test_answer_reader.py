"""The rewriting of answers, without sockets: any bytes become a well-formed answer, or none."""

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import pytest
from aiohttp import StreamReader, http_parser
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_exceptions import ClientPayloadError
from hypothesis import given
from hypothesis import strategies as st

from opswatch.adapters.answer_reader import (
    MAX_CHUNKS,
    MAX_HEAD,
    MAX_INTERIM,
    MAX_LINE,
    AnswerReader,
    is_json_document,
)

DONE = b'{"status":"Succeeded"}'
OK = b"HTTP/1.1 200 OK\r\n"
# aiohttp falls back to the second one if its extension was not built.
PARSERS = [http_parser.HttpResponseParser, http_parser.HttpResponseParserPy]


@dataclass
class Outcome:
    """How an answer was rewritten."""

    answer: bytes
    reader: AnswerReader

    @property
    def status(self) -> int:
        return int(self.answer.split(b" ")[1])

    @property
    def headers(self) -> list[bytes]:
        return self.answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]

    @property
    def body(self) -> bytes:
        """The content, of which each chunk's size is checked."""
        content = self.answer.partition(b"\r\n\r\n")[2]
        if b"Transfer-Encoding: chunked" not in self.headers:
            return content
        body = b""
        while content:
            size, _, content = content.partition(b"\r\n")
            chunk, content = content[: int(size, 16)], content[int(size, 16) :]
            assert content.startswith(b"\r\n")
            body, content = body + chunk, content[2:]
        return body


def read(*pieces: bytes, ends: bool = True, cut_head_counts: bool = False) -> Outcome:
    reader = AnswerReader(cut_head_counts=cut_head_counts)
    answer = b"".join(reader.feed(piece) for piece in pieces)
    return Outcome(answer + (reader.feed_eof() if ends else b""), reader)


def by_byte(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


# --- the status line


@pytest.mark.parametrize(
    ("line", "status", "written"),
    [
        (b"HTTP/1.1 200 OK\r\n", 200, b"HTTP/1.1 200 OK"),
        (b"HTTP/1.1 200 \r\n", 200, b"HTTP/1.1 200 "),
        (b"HTTP/1.1 200\r\n", 200, b"HTTP/1.1 200 "),
        (b"HTTP/1.1 204\n", 204, b"HTTP/1.1 204 "),
        (b"HTTP/1.0 200 OK\r\n", 200, b"HTTP/1.1 200 OK"),
        (b"HTTP/2 200\r\n", 200, b"HTTP/1.1 200 "),
        (b"http/1.1 410 gone\r\n", 410, b"HTTP/1.1 410 gone"),
        (b"HTTP/1.1  200\tFine\r\n", 200, b"HTTP/1.1 200 Fine"),
        (b"HTTP/1.1 200OK\r\n", 200, b"HTTP/1.1 200 OK"),
        (b"HTTP/1.1 999 Odd\r\n", 999, b"HTTP/1.1 999 Odd"),
        ("HTTP/1.1 404 Introuvablé\r\n".encode("latin-1"), 404, b"HTTP/1.1 404 Introuvabl?"),
        ("HTTP/1.1 200 確認\r\n".encode(), 200, b"HTTP/1.1 200 ??????"),
        (b"HTTP/1.1 200 a\x00b\x1bc\r\n", 200, b"HTTP/1.1 200 a?b?c"),
        (b"\r\n\r\nHTTP/1.1 200 OK\r\n", 200, b"HTTP/1.1 200 OK"),
    ],
)
def test_status_line_is_read(line: bytes, status: int, written: bytes) -> None:
    outcome = read(line + b"Content-Length: 0\r\n\r\n")
    assert outcome.reader.error is None
    assert (outcome.status, outcome.answer.split(b"\r\n")[0]) == (status, written)


@pytest.mark.parametrize(
    "raw",
    [
        b"null",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 2000 Long\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\x00\x00",
        b"{}HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_other_text_is_an_error_at_once(raw: bytes) -> None:
    outcome = read(raw, ends=False)
    assert (outcome.answer, outcome.reader.error) == (b"", "no status line")
    assert not outcome.reader.is_reusable


# --- the head


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (b"no colon\r\nX-A: 1\r\n", [b"X-A: 1"]),
        (b": no name\r\nX-A: 1\r\n", [b"X-A: 1"]),
        (b"b@d: 2\r\nX-A: 1\r\n", [b"X-A: 1"]),
        ("Clé: 2\r\nX-A: 1\r\n".encode(), [b"X-A: 1"]),
        (b"bad\r\n  folded: y\r\nX-A: 1\r\n", [b"X-A: 1"]),
        (b" first: y\r\nX-A: 1\r\n", [b"X-A: 1"]),
        (b"X-A: \x00b\x1b[2J\x7f\r\n", [b"X-A: b [2J"]),
        (b"X-A: 1\r\r\nX-B: 2\r\n", [b"X-A: 1", b"X-B: 2"]),
        (b"x-a : 1\r\n", [b"x-a: 1"]),
        (b"x-a:1\nx-b:2\n", [b"x-a: 1", b"x-b: 2"]),
        (b"X-A: 1,\r\n 2,\r\n\t3\r\n", [b"X-A: 1, 2, 3"]),
        (b"X-A: caf\xe9 \xe2\x82\xac\r\n", [b"X-A: caf\xe9 \xe2\x82\xac"]),
        (b"X-A:\r\n", [b"X-A: "]),
        (b"Connection: upgrade\r\nUpgrade: websocket\r\nX-A: 1\r\n", [b"X-A: 1"]),
    ],
)
def test_odd_header_lines_hide_no_others(lines: bytes, kept: list[bytes]) -> None:
    outcome = read(OK + lines + b"Content-Length: 2\r\n\r\nok")
    assert outcome.headers == [*kept, b"Content-Length: 2"]
    assert outcome.body == b"ok"


def test_many_and_long_headers_are_read() -> None:
    many = b"".join(b"X-%d: %b\r\n" % (n, b"v" * 100) for n in range(500))
    long = b"Cookie: " + b"c" * 64 * 1024 + b"\r\n"
    outcome = read(OK + many + long + b"Content-Length: 2\r\n\r\nok")
    assert len(outcome.headers) == 502
    assert outcome.reader.is_reusable


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        (b"X: " + b"v" * MAX_LINE, f"a header line of more than {MAX_LINE} bytes"),
        (b"X: " + b"v" * MAX_LINE + b"\r\n\r\n", f"a header line of more than {MAX_LINE} bytes"),
        (b"X: v\r\n" * (MAX_HEAD // 5), f"a head of more than {MAX_HEAD} bytes"),
        (b"X: v\r\n" * (MAX_HEAD // 5) + b"\r\n", f"a head of more than {MAX_HEAD} bytes"),
    ],
    ids=["line begun", "line", "head begun", "head"],
)
def test_head_beyond_limit_is_error(rest: bytes, error: str) -> None:
    assert read(OK + rest, ends=False).reader.error == error
    pieces = [(OK + rest)[at : at + 1000] for at in range(0, len(OK + rest), 1000)]
    assert read(*pieces, ends=False).reader.error == error


def test_interim_answers_are_skipped() -> None:
    interim = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: <a>\r\nContent-Length: 9\r\n\r\n"
    )
    final = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
    outcome = read(interim + b"HTTP/1.1 102 P\r\n\r\n" + final)
    assert outcome.answer == final
    assert outcome.reader.is_reusable


def test_endless_interim_answers_are_cut_off() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert read(hints * MAX_INTERIM + OK + b"\r\n").status == 200
    outcome = read(hints * (MAX_INTERIM + 1), ends=False)
    assert outcome.reader.error == f"more than {MAX_INTERIM} interim answers"


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"HTTP/1.1 200 OK\n", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"HTTP/1.1 503 Busy\r\nX-A: 1\r\nRetry-After: 12", b"HTTP/1.1 503 Busy\r\nX-A: 1\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"HTTP/1.1 200", b""),  # perhaps not all of the line
        (b"HTTP/1.1 103 Early Hints\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", b""),
        (b"", b""),
    ],
)
def test_cut_head_counts_if_its_status_line_is_whole(raw: bytes, answer: bytes) -> None:
    assert read(raw, cut_head_counts=True).answer == answer
    assert read(raw).answer == b""


# --- where the body ends

SAME_BODY = {
    "length": b"Content-Length: 22\r\n\r\n" + DONE,
    "end of connection": b"\r\n" + DONE,
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n6\r\n%b\r\n10\r\n%b\r\n0\r\n\r\n"
    % (DONE[:6], DONE[6:]),
    "chunk extension": b'Transfer-Encoding: chunked\r\n\r\n16;a="b;c"\r\n%b\r\n0;x\r\n\r\n' % DONE,
    "spaces beside size": b"Transfer-Encoding: Chunked\r\n\r\n 0016 \r\n%b\r\n0 \r\n\r\n" % DONE,
    "line feeds": b"Transfer-Encoding: chunked\n\n16\n%b\n0\n\n" % DONE,
    "trailer": b"Transfer-Encoding: chunked\r\n\r\n16\r\n%b\r\n0\r\nX-T: 1\r\n\r\n" % DONE,
    "no end after last chunk": b"Transfer-Encoding: chunked\r\n\r\n16\r\n%b\r\n0\r\n" % DONE,
    "no line end after chunk": b"Transfer-Encoding: chunked\r\n\r\n16\r\n%b0\r\n\r\n" % DONE,
    "both": b"Content-Length: 22\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n%b\r\n0\r\n\r\n" % DONE,
    "both in other order": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
    b"16\r\n%b\r\n0\r\n\r\n" % DONE,
    "both, no chunks": b"Content-Length: 22\r\nTransfer-Encoding: chunked\r\n\r\n" + DONE,
    "chunked in name alone": b"Transfer-Encoding: chunked\r\n\r\n" + DONE,
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"16\r\n%b\r\n0\r\n\r\n" % DONE,
    "identity": b"Transfer-Encoding: identity\r\nContent-Length: 22\r\n\r\n" + DONE,
    "equal lengths": b"Content-Length: 22\r\nContent-Length: 22\r\n\r\n" + DONE,
    "equal lengths as a list": b"Content-Length: 22, 22\r\n\r\n" + DONE,
    "other lengths": b"Content-Length: 22\r\nContent-Length: 5\r\n\r\n" + DONE,
    "negative length": b"Content-Length: -1\r\n\r\n" + DONE,
    "length in words": b"Content-Length: many\r\n\r\n" + DONE,
    "huge length": b"Content-Length: 99999999999999999999\r\n\r\n" + DONE,
    "surplus": b"Content-Length: 22\r\n\r\n" + DONE + b"\r\n",
    "surplus answer": b"Content-Length: 22\r\n\r\n" + DONE + OK + b"Content-Length: 0\r\n\r\n",
    "surplus last chunk": b"Content-Length: 22\r\n\r\n" + DONE + b"\r\n0\r\n\r\n",
}
REGULAR = {"length", "chunks", "chunk extension", "spaces beside size", "line feeds", "identity"}


@pytest.mark.parametrize("case", SAME_BODY)
def test_body_is_read_and_odd_framing_ends_connection(case: str) -> None:
    for pieces in ([OK + SAME_BODY[case]], by_byte(OK + SAME_BODY[case])):
        outcome = read(*pieces)
        assert (outcome.status, outcome.body) == (200, DONE)
        assert outcome.reader.error is None
        assert not outcome.reader.is_broken
    whole = read(OK + SAME_BODY[case], ends=False)
    assert (whole.reader.is_over and whole.reader.is_reusable) == (case in REGULAR)


@pytest.mark.parametrize("length", [0, 10, 21])
def test_too_small_length_is_extended_to_whole_json(length: int) -> None:
    outcome = read(OK + b"Content-Length: %d\r\n\r\n" % length + DONE)
    assert outcome.body == DONE
    assert not outcome.reader.is_reusable


@pytest.mark.parametrize(
    ("body", "length"),
    [(b"ok, thank you", 2), (b"{}" + DONE, 2), (DONE + b"x", 0), (b'"a""b"', 3)],
)
def test_length_counts_unless_json_is_cut(body: bytes, length: int) -> None:
    outcome = read(OK + b"Content-Length: %d\r\n\r\n" % length + body)
    assert outcome.body == body[:length]
    assert not outcome.reader.is_reusable


@pytest.mark.parametrize("status", [b"101", b"204", b"304"])
@pytest.mark.parametrize(
    "rest",
    [
        b"\r\n",
        b"\r\nnull",
        b"content-length: 0\r\n\r\n",
        b"content-length: 4\r\n\r\nnull",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_answer_without_body_has_none_and_ends_connection(status: bytes, rest: bytes) -> None:
    outcome = read(b"HTTP/1.1 %b X\r\n%b" % (status, rest), ends=False)
    assert outcome.answer == b"HTTP/1.1 %b X\r\n\r\n" % status
    assert outcome.reader.is_over
    assert not outcome.reader.is_reusable


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/2.0"])
@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
def test_other_version_ends_connection(version: bytes, connection: bytes) -> None:
    raw = b"%b 200 OK\r\nConnection: %b\r\nContent-Length: 2\r\n\r\nok" % (version, connection)
    assert not read(raw, ends=False).reader.is_reusable


@pytest.mark.parametrize(
    "connection", [b"close", b"Close", b"keep-alive, close", b"x\r\nconnection: close"]
)
def test_connection_that_closes_is_not_reusable(connection: bytes) -> None:
    raw = OK + b"Connection: %b\r\nContent-Length: 2\r\n\r\nok" % connection
    assert not read(raw, ends=False).reader.is_reusable


@pytest.mark.parametrize("late", [b"null", b"\r\n", OK + b"Content-Length: 0\r\n\r\n"])
def test_late_bytes_end_connection(late: bytes) -> None:
    reader = AnswerReader()
    reader.feed(OK + b"Content-Length: 2\r\n\r\nok")
    assert reader.is_reusable
    assert reader.feed(late) == b""
    assert not reader.is_reusable


@pytest.mark.parametrize(
    ("rest", "read_before"),
    [
        (b"2\r\nok\r\nZZ\r\nno\r\n", b"ok"),
        (b"2\r\nokay\r\n0\r\n\r\n", b"ok"),
        (b"2\r\nok\r\n-1\r\n", b"ok"),
        (b"2\r\nok\r\n11111111111111111\r\n", b"ok"),
        (b"2\r\nok\r\n1;" + b"x" * (MAX_LINE + 1), b"ok"),
    ],
)
def test_bad_chunk_breaks_body_off(rest: bytes, read_before: bytes) -> None:
    outcome = read(OK + b"Transfer-Encoding: chunked\r\n\r\n" + rest, ends=False)
    assert outcome.reader.is_broken
    assert outcome.body == read_before
    assert b"\r\n0\r\n" not in outcome.answer  # aiohttp sees that the end is missing


def test_tiny_chunks_are_cut_off() -> None:
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    most = read(chunked + b"1\r\nx\r\n" * (MAX_CHUNKS - 1) + b"0\r\n\r\n")
    assert most.body == b"x" * (MAX_CHUNKS - 1)
    assert read(chunked + b"1\r\nx\r\n" * (MAX_CHUNKS + 1)).reader.is_broken


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 9\r\n\r\npart",
        b"Transfer-Encoding: chunked\r\n\r\n9\r\npart",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ],
)
async def test_cut_body_is_seen_by_parsers(rest: bytes) -> None:
    with pytest.raises(ClientPayloadError):
        await parsed(read(OK + rest).answer, http_parser.HttpResponseParser)


# --- any bytes


async def parsed(
    answer: bytes, parser: type[http_parser.HttpResponseParser]
) -> list[tuple[int, bytes]]:
    """Let a parser of aiohttp read a rewritten answer, to the end of its connection."""
    loop = asyncio.get_running_loop()
    reading = parser(
        BaseProtocol(loop),
        loop,
        2**22,
        payload_exception=ClientPayloadError,
        read_until_eof=True,
        auto_decompress=False,
        max_line_size=2 * MAX_HEAD,
        max_field_size=2 * MAX_HEAD,
    )
    messages, upgraded, tail = reading.feed_data(answer)
    assert (upgraded, tail) == (False, b"")
    try:
        reading.feed_eof()
    except Exception as error:  # aiohttp's client reports any in this way
        raise ClientPayloadError(str(error)) from error
    return [(message.code, await body_of(payload)) for message, payload in messages]


async def body_of(payload: StreamReader) -> bytes:
    return await payload.read()


PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 204\n",
        b"HTTP/1.0 410 Gone\r\n",
        b"HTTP/1.1 103 Hints\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        b"Sec-WebSocket-Key1: a\r\n",
        b"Set-Cookie: a=b\r\n",
        b" folded\r\n",
        b"bad line\r\n",
        b"X: \x00\xff\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"{}",
        b"null",
    ]
)
ANSWERS = st.lists(PIECES | st.binary(max_size=6), max_size=12).map(b"".join)


@pytest.mark.parametrize("parser", PARSERS)
@given(ANSWERS | ANSWERS.map(lambda rest: OK + rest), st.booleans())
async def test_parsers_accept_what_is_left(
    parser: type[http_parser.HttpResponseParser], raw: bytes, cut_head_counts: bool
) -> None:
    outcome = read(raw, cut_head_counts=cut_head_counts)
    if not outcome.answer:
        return
    try:
        [(status, _)] = await parsed(outcome.answer, parser)
    except ClientPayloadError:  # its body was cut off
        return
    assert status == outcome.status


@given(ANSWERS.map(lambda rest: OK + rest), st.lists(st.integers(0, 200), max_size=5))
def test_head_does_not_depend_on_segments(raw: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    whole = read(raw, ends=False)
    in_pieces = read(*(raw[start:end] for start, end in pairwise(places)), ends=False)
    assert in_pieces.reader.error == whole.reader.error
    assert in_pieces.reader.is_over == whole.reader.is_over
    names = [[line.split(b":")[0] for line in outcome.headers] for outcome in (whole, in_pieces)]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("body", "is_whole"),
    [
        (b"{}", True),
        (b"[1]", True),
        (b'"https://x/y?sig=z"', True),
        (b"\xef\xbb\xbf{}", True),
        (b'{"a": "\xff"}', True),
        (b"", False),
        (b"{", False),
        (b'"cut', False),
        (b"12", False),  # the beginning of 123
        (b"null", False),
        (b"ok", False),
    ],
)
def test_json_document_is_recognised(body: bytes, is_whole: bool) -> None:
    assert is_json_document(body) == is_whole
