"""The page's files: their addresses, which change with their contents, and their headers."""

import base64
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from opswatch.web.http import Response

INDEX, HASH = "index.html", "{{hash}}"
FILES = Path(__file__).parents[1] / "dashboard" / "files"
_IMPORT_MAP = re.compile(rb"<script type=\"importmap\">(.*?)</script>", re.DOTALL)
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_IMMUTABLE = "public, max-age=31536000, immutable"
_SHARED = {
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Page:
    """The files of the page, by their path below its folder."""

    files: Mapping[str, bytes]

    @classmethod
    def load(cls, folder: Path) -> "Page":
        """Read all files of a folder."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return cls({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})

    @property
    def hash(self) -> str:
        """A digest of all files and their names."""
        digest = sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:16]

    def respond(self, path: str) -> Response | None:
        """Return the index for an empty path, or a file below the current hash."""
        if not path:
            if INDEX not in self.files:
                return None
            index = self.files[INDEX].replace(HASH.encode(), self.hash.encode())
            return Response(status=HTTPStatus.OK, headers=self._headers(INDEX), body=index)
        current, _, name = path.partition("/")
        if current != self.hash or name == INDEX or name not in self.files:
            return None
        content = self.files[name]
        headers = {**self._headers(name), "cache-control": _IMMUTABLE}
        return Response(status=HTTPStatus.OK, headers=headers, body=content)

    def policy(self) -> dict[str, str]:
        """Return the headers that every answer below the page's address has."""
        index = self.files.get(INDEX, b"").replace(HASH.encode(), self.hash.encode())
        digests = [
            f"'sha256-{base64.b64encode(sha256(inline).digest()).decode()}'"
            for inline in _IMPORT_MAP.findall(index)
        ]
        policy = _POLICY.format(scripts=" ".join(["'self'", *digests]))
        return {"content-security-policy": policy, **_SHARED}

    def _headers(self, name: str) -> dict[str, str]:
        suffix = Path(name).suffix
        kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
        text = kind.startswith("text/") or kind.endswith("xml")
        return {"content-type": f"{kind}; charset=utf-8" if text else kind}


@cache
def page() -> Page:
    """Return the page of this package."""
    return Page.load(FILES)
