"""ARM status URLs: whether one is ours to ask, and which operation it names."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from opswatch.core.errors import OpswatchError
from opswatch.core.model import Reason
from opswatch.core.texts import MAX_PROPERTY

_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)([^?]*)(?:\?(.*))?", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LEAST_SEGMENTS = 3  # a scope, a collection, an id


class RefusedError(OpswatchError):
    """A posted text or a followed URL that cannot be used, and why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, slots=True)
class Named:
    """What the path of a status URL says, each part decoded; None where it says nothing."""

    subscription: str | None
    provider: str | None
    location: str | None
    collection: str
    operation_id: str
    standard: bool  # /subscriptions/…/providers/…/locations/…/{collection}/{id} and no more


def own_url(text: str, endpoint: str) -> str:
    """Return the absolute URL or ARM path `text` as it will be sent to `endpoint`.

    The query is kept byte for byte: newer status URLs are signed. Raises `RefusedError` where
    the URL leads to another scheme or host, or is no URL that can be sent.
    """
    if _CONTROL.search(text):
        raise RefusedError(Reason.INVALID_OPERATION, "a control character or backslash in the URL")
    if text.startswith("/") and not text.startswith("//"):
        text = endpoint + text
    match = _ABSOLUTE.fullmatch(text)
    if not match:
        raise RefusedError(Reason.INVALID_OPERATION, "neither an ARM path nor an absolute URL")
    scheme, authority, path, query = match.groups()
    if not same_origin(scheme, authority, endpoint):
        raise RefusedError(
            Reason.FOREIGN_HOST, f"{scheme}://{authority[:200]} is not {endpoint}, the ARM endpoint"
        )
    if "#" in text:
        raise RefusedError(Reason.INVALID_OPERATION, "a fragment (#) in the URL")
    return _fitting(endpoint + _sendable(path) + ("" if query is None else f"?{_sendable(query)}"))


def _fitting(url: str) -> str:
    """Return `url` if a row can hold it."""
    if len(url) > MAX_PROPERTY:
        raise RefusedError(Reason.TOO_LARGE, f"a URL of {len(url)} characters")
    return url


def same_origin(scheme: str, authority: str, endpoint: str) -> bool:
    """Tell whether a URL's scheme and authority are those of `endpoint`; user info never is."""
    try:
        ours, theirs = urlsplit(endpoint), urlsplit(f"{scheme.lower()}://{authority}")
        return "@" not in authority and (
            (ours.scheme, ours.hostname, ours.port or _DEFAULT_PORTS.get(ours.scheme))
            == (theirs.scheme, theirs.hostname, theirs.port or _DEFAULT_PORTS.get(theirs.scheme))
        )
    except ValueError:  # a port or an IPv6 address that is none
        return False


def _sendable(part: str) -> str:
    """Escape what may not stand in a request line, and nothing else."""
    return quote(part, safe="!#$%&'()*+,-./:;=?@[]_~^`{|}\"<>")


def with_api_version(url: str, api_version: str | None) -> str:
    """Return `url` with an `api-version`, which ARM demands, where it has none of its own.

    Raises `RefusedError` where that makes it too long.
    """
    if api_version is None or re.search(r"[?&]api-version=", url, re.IGNORECASE):
        return url
    separator = "&" if "?" in url else "?"
    return _fitting(f"{url}{separator}api-version={quote(api_version, safe='')}")


def api_version_of(url: str) -> str | None:
    """Return the `api-version` that `url` asks for."""
    match = re.search(r"[?&]api-version=([^&]*)", url, re.IGNORECASE)
    return unquote(match[1]) if match else None


def path_of(url: str) -> str:
    """Return the path of an absolute URL as it is sent, without the query."""
    return "/" + url.split("://", 1)[1].partition("?")[0].partition("/")[2]


def name(url: str) -> Named:
    """Return the parts that the path of `url` names; raise `RefusedError` where it names none."""
    path = path_of(url)
    segments = [unquote(segment, errors="surrogateescape") for segment in path.split("/")[1:]]
    if segments and not segments[-1]:
        segments.pop()
    if _BAD_ESCAPE.search(path) or any(
        segment in ("", ".", "..") or _CONTROL.search(segment) for segment in segments
    ):
        raise RefusedError(Reason.INVALID_OPERATION, "a path with an empty or unusable segment")
    if len(segments) < _LEAST_SEGMENTS or segments[0].lower() not in ("subscriptions", "providers"):
        raise RefusedError(Reason.INVALID_OPERATION, "a path that names no operation in ARM")
    words = [segment.lower() for segment in segments]
    return Named(
        subscription=segments[1] if words[0] == "subscriptions" else None,
        provider=_after("providers", words, segments),
        location=_after("locations", words, segments),
        collection=segments[-2],
        operation_id=segments[-1],
        standard=words[:5:2] == ["subscriptions", "providers", "locations"] and len(words) == 8,  # noqa: PLR2004
    )


def _after(keyword: str, words: list[str], segments: list[str]) -> str | None:
    """Return the segment after the last `keyword`, if the collection and id still follow it."""
    places = [at for at, word in enumerate(words[:-3]) if word == keyword]
    return segments[places[-1] + 1] if places else None
