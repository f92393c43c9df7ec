"""Identity: the keys of rows, the operation that a URL names, and the host of a callback."""

import re
from dataclasses import dataclass, replace
from hashlib import sha256
from urllib.parse import unquote, urlsplit

from opswatch.core.errors import Reason, RefusedError

NOTHING = "-"  # in a key, for a part that the URL does not have
_FIT = re.compile(r"[A-Za-z0-9._-]+")  # what keys hold: URL-safe as it is
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_WRITTEN_KEY = re.compile(r"(?P<partition>[^/\s]+)/(?P<row>[^/~\s]+(?:~[^/~\s]+){3,4})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_API_VERSION = re.compile(r"[?&]api-version=([^&]*)", re.IGNORECASE)
_LEAST_SEGMENTS = 3  # a scope, a collection, an id
# /subscriptions/…/providers/…/locations/…/{collection}/{id}
_STANDARD_SEGMENTS = 8
_MAX_PART, _MAX_ID = 64, 128  # characters: all parts together stay below a key's 512


@dataclass(frozen=True, slots=True)
class Key:
    """The two keys of a row: an operation and a delivery have the same in each of their tables."""

    partition: str
    row: str

    def __str__(self) -> str:
        return f"{self.partition}/{self.row}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An ARM operation: its key, the URL to poll, and the parts of the URL that the key is made of.

    Parts are as the key has them: lower case, locations without spaces.
    """

    key: Key
    url: str
    operation_id: str
    provider: str | None = None
    location: str | None = None
    collection: str | None = None
    api_version: str | None = None
    posted_path: str | None = None  # if a URL of another path is polled now

    @property
    def path(self) -> str:
        """The path that was posted, without the query, which may be a signature."""
        return self.posted_path or path_of(self.url)

    def at(self, url: str) -> "Operation":
        """Return the operation with `url` as the one to poll; its path stays the posted one."""
        if url == self.url:
            return self
        posted_path = self.path if path_of(url) != self.path else None
        return replace(self, url=url, posted_path=posted_path)


def key_from_text(text: str) -> Key | None:
    """Return the operation's key that `text` is, as `SUBSCRIPTION/KEY`; None if it is none."""
    named = _WRITTEN_KEY.fullmatch(text.strip())
    return Key(named["partition"].lower(), named["row"]) if named else None


def path_of(url: str) -> str:
    """Return the path of an absolute URL as it is sent, without the query."""
    return "/" + url.split("://", 1)[1].partition("?")[0].partition("/")[2]


def operation_from_url(url: str) -> Operation:
    """Return the operation that a status URL names; raise `RefusedError` if it names none."""
    path = path_of(url)
    segments = [unquote(segment, errors="surrogateescape") for segment in path.split("/")[1:]]
    if segments and not segments[-1]:
        segments.pop()
    if _BAD_ESCAPE.search(path) or any(
        segment in ("", ".", "..") or _CONTROL.search(segment) for segment in segments
    ):
        raise RefusedError(Reason.INVALID_OPERATION, "a path with an empty or unusable segment")
    words = [segment.lower() for segment in segments]
    if len(words) < _LEAST_SEGMENTS or words[0] not in ("subscriptions", "providers"):
        raise RefusedError(Reason.INVALID_OPERATION, "a path that names no operation in ARM")
    is_standard = (
        words[:5:2] == ["subscriptions", "providers", "locations"]
        and len(words) == _STANDARD_SEGMENTS
    )
    folded = ["".join(segment.split()).lower() for segment in segments[:-1]]
    named = {word: folded[at + 1] for at, word in enumerate(words[:-3])}  # the last one counts
    provider, location, collection = (
        None if part is None else _key_part(part, _MAX_PART)
        for part in (named.get("providers"), named.get("locations"), folded[-1])
    )
    operation_id = segments[-1].lower() if GUID.fullmatch(segments[-1]) else segments[-1]
    parts = [provider, location, collection, _key_part(operation_id, _MAX_ID)]
    if not is_standard:  # the path in one spelling: ARM compares paths without case
        spelling = "/".join(["", *folded, operation_id])
        parts.append(sha256(spelling.encode("utf-8", "surrogatepass")).hexdigest()[:8])
    subscription = NOTHING
    if words[0] == "subscriptions":
        subscription = _key_part(folded[1], _MAX_PART)
    version = _API_VERSION.search(url)
    return Operation(
        key=Key(subscription, "~".join(part or NOTHING for part in parts)),
        url=url,
        provider=provider,
        location=location,
        collection=collection,
        operation_id=operation_id,
        api_version=unquote(version[1]) if version else None,
    )


def host_key(callback_url: str) -> Key:
    """Return the key of a callback host: its row is the host and port, as a key can hold them."""
    return Key("hosts", _key_part(urlsplit(callback_url).netloc.lower(), _MAX_ID, _HOST))


def parent_domain(host: str) -> str | None:
    """Return the domain that the name `host` is in; None for a single label.

    It is the name without its first label, but never a single label. Public suffixes are not
    known, so `a.co.uk` and `b.co.uk` are in one domain.
    """
    name = host.rstrip(".").lower()
    parent = name.partition(".")[2]
    return (parent if "." in parent else name) if parent else None


def stable_random(key: Key, number: int) -> float:
    """Return a number from 0 to 1 that depends on `key` and `number` alone."""
    digest = sha256(f"{key.partition}/{key.row}/{number}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


def _key_part(text: str, limit: int, fit: re.Pattern[str] = _FIT) -> str:
    """Return `text` if it is fit for a key (and so for a URL) and no longer than `limit`.

    If not, return a digest of it.
    """
    if len(text) <= limit and fit.fullmatch(text):
        return text
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
