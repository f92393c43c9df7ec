"""Removes secrets from a text by their form, or by the name before them; knows no JSON values.

Each pattern either consumes what it has scanned or looks at a bounded number of characters, so the
time is linear in the length of a text.
"""

import re
from typing import Final
from urllib.parse import unquote

from opswatch.core.secret_names import (
    holds_secrets,
    is_pair,
    is_password,
    is_secret,
    looks_like_key,
    may_be_secret,
)

REDACTED: Final = "[redacted]"

# --- URLs

_SCHEME = re.compile(
    r"(?<![a-z0-9+.-])[a-z0-9+.-]++:(?:\\?/){2}"
    r"|(?<![\w+.:/\\-])//(?=[^\s/@:]{0,64}:[^\s/@]{1,256}@)",  # without a scheme
    re.IGNORECASE | re.ASCII,
)
_URL_REST = re.compile(r"(?:[^\s\"<>\\]|\\(?![\"']))*+")
_AUTHORITY = re.compile(r"[^/?#\\]*")
_PORT = re.compile(r"[0-9]{0,5}")
_AFTER_URL = "').,;:!"  # punctuation of the sentence
_HARMLESS_PARAMETERS = frozenset({"api-version", "view", ""})
# Their queries choose a page, a language or a version of it.
_PUBLIC_HOSTS = frozenset(
    {
        "aka.ms", "go.microsoft.com", "learn.microsoft.com", "docs.microsoft.com",
        "azure.microsoft.com", "www.microsoft.com", "support.microsoft.com",
        "msdn.microsoft.com", "technet.microsoft.com", "devblogs.microsoft.com",
        "techcommunity.microsoft.com", "schemas.microsoft.com", "docs.azure.cn",
        "portal.azure.com", "portal.azure.us", "portal.azure.cn", "status.azure.com",
        "feedback.azure.com", "github.com", "docs.github.com", "stackoverflow.com",
        "kubernetes.io", "redis.io", "docs.redis.com", "docs.docker.com", "docs.python.org",
        "docs.databricks.com", "docs.aws.amazon.com", "www.postgresql.org", "dev.mysql.com",
        "www.terraform.io", "registry.terraform.io", "developer.hashicorp.com",
        "developer.mozilla.org", "datatracker.ietf.org", "tools.ietf.org", "www.rfc-editor.org",
        "json-schema.org", "en.wikipedia.org",
    }
)  # fmt: skip
_MIN_USER = 16  # characters: a shorter name before an `@` is a user or a container
_HTTP = ("http", "https")
# In a URL whose scheme is percent-encoded.
_ESCAPED_PASSWORD = re.compile(
    r"(%3A%2F%2F)(?:[^\s\"'<>%]|%(?!3A|40|2F))*+%3A(?:[^\s\"'<>%]|%(?!40|2F))*+(?=%40)",
    re.IGNORECASE,
)

# --- other forms

_TOKEN = r"[\w.~+/-]"  # noqa: S105 - a pattern
_PRIVATE_PEM = re.compile(
    r"-----BEGIN(?!(?:[ +]|%20)(?:CERTIFICATE|NEW CERTIFICATE|TRUSTED|X509|PUBLIC|RSA PUBLIC))"
    r"(?:[ +]|%20)[A-Z0-9 +%]{1,40}-----.*?(?:-----END[A-Z0-9 +%]{1,40}-----|\Z)",
    re.DOTALL,
)
_PEM_END = re.compile(r"\A.*-----END[A-Z0-9 +%]{1,30}PRIVATE[A-Z +%0-9]{1,10}KEY-----", re.DOTALL)
_SIGNATURE = re.compile(
    r"((?:(?<![a-z])|(?<=%3f)|(?<=%253f))sig(?:=|%3D|%253D|\\u003d))"
    r"(?:[^\s\"'<>;&\\]|\\(?![\"']))++",
    re.IGNORECASE,
)
_SIGNED_PARAMETER = re.compile(  # of ARM's signed URLs, and the key of a Functions URL
    r"((?:[?&;]|\\u0026)(?:c|s|h|p|code)=)[\w%+/=-]{16,}", re.IGNORECASE | re.ASCII
)
_AFTER_SCHEME = r"(?:\s|%20|\+|:|=)++"
_BEFORE_JWT = r"(?:(?<![A-Za-z])|(?<=%[0-9A-F]{2})|(?<=\\u00[0-9a-f]{2}))"
_OPAQUE = rf"{_TOKEN}{{0,64}}[0-9]|{_TOKEN}{{0,64}}[a-z][A-Z]|{_TOKEN}{{30}}"  # and no word
_WEBHOOK = r"(?i:(?<=hooks\.slack\.com/services/)|(?<=/api/webhooks/)|(?<=\.webhook\.office\.com/))"
_FORMS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        # JSON web tokens, signed or encrypted, also after a percent-encoded space
        rf"{_BEFORE_JWT}eyJ[\w-]{{8,}}(?:\.[\w-]+|\.(?=\.[\w-]))*",
        rf"(?i:\bBearer){_AFTER_SCHEME}(?={_OPAQUE}){_TOKEN}{{8,}}=*",
        rf"(?i:\b(?:Negotiate|NTLM|ApiKey)){_AFTER_SCHEME}(?={_OPAQUE}){_TOKEN}{{16,}}=*",
        r"(?i:\bSharedKey(?:Lite)?)\s++[\w.-]+:[\w+/=%-]+",
        r"(?i:\bSharedAccessSignature)\s++(?i:s[rigev]|skn)=[^\s\"'<>]+",
        r"whsec_[\w+/=-]+",
        r"(?:(?<=\s-u\s)|(?<=\s--user\s))[^\s:\"']{1,64}:[^\s\"']+",  # of curl
        # base64 of a PEM's beginning, unless it is a certificate or a public key
        r"LS0tLS1CRUdJTiB(?!DRVJU|QVUJ)[\w+/=]{8,}",
        # https://learn.microsoft.com/purview/sit-defn-azure-storage-account-key-generic and others
        r"(?<![\w+/])[A-Za-z0-9+/]{86}==",
        r"(?<![\w+/])[A-Za-z0-9+/]{33}AzCa[A-Za-z0-9+/]{5,6}=",  # a Redis access key
        r"(?<![\w~.-])[\w~.-]{3}[0-9]Q~[\w~.-]{31,34}",  # a client secret of Entra
        r"(?<![A-Za-z0-9])(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{30,}",
        r"(?<![A-Za-z0-9])github_pat_\w{20,}",
        r"(?<![A-Za-z0-9])(?:glpat-|xox[abprs]-|sk_live_|dckr_pat_)[\w-]{10,}",
        rf"{_WEBHOOK}[\w@/.-]{{16,}}",
    )
)
_BASIC = re.compile(
    rf"(\bBasic{_AFTER_SCHEME})([\w+/-]{{6,}}(?:=|%3D){{0,2}})", re.IGNORECASE | re.ASCII
)

# --- names and values

_HINTS = (
    "pass|pwd|secret|token|cred|key|kubeconfig|connection_?str|connstr|cookie|jwt|sig|auth|psk|pfx"
    "|sas|docker|value"
)
_ESCAPED_QUOTE = r"%22|&quot;|&#3[49];|\\+u0022"  # in a query, in HTML, by .NET
_NAME = re.compile(
    rf"(?<![\w.$-])(?=[\w.$-]*?(?:{_HINTS}))(?P<name>[\w.$-]++)"
    rf"(?P<quote>\\*[\"']|{_ESCAPED_QUOTE})?\]?"
    r"(?P<sign>\s*+(?:=>|:=|[:=]|%3[AD]|%253[AD]|\\u003[ad])\s*+"
    rf"(?:[|>][+-]?\s++)?(?:{_ESCAPED_QUOTE})?"  # YAML writes a text of several lines after | or >
    r"|\s++(?:(?:is|was)\b:?\s*+)?)",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?|(\\+[\"']).*?(?:(?<!\\)\1|\Z)", re.DOTALL
)
_SPACED = re.compile(r"[^;\r\n\"'<>]{1,128}(?=;\s{0,8}[A-Za-z][\w ]{0,40}=)")
_WORD = re.compile(r"(?:[^\s;,&\"<>\\]|[,&](?!\s?[\w.$-]{1,64}=)|\\(?!\\{0,3}[\"']))++", re.ASCII)
_CREDENTIALS = re.compile(
    r"(?:Bearer|Basic|Digest|Negotiate|NTLM|SharedKey(?:Lite)?|SharedAccessSignature|ApiKey|Token"
    r"|AWS4-HMAC-SHA256)\s++[^\s\"'<>]+",
    re.IGNORECASE,
)
_ELEMENT = re.compile(r"(<([\w.:-]{1,128})(?:\s[^<>]*)?>)([^<\s][^<]*)")
_PROSE = re.compile(
    r"(?:tokens?|secrets?|cred(?:ential)?s?|pass|cookie|authorization)", re.IGNORECASE
)
_AFTER_PASSWORD = re.compile(  # in a sentence about passwords
    r"an?|and|as|at|be|can(?:not)?|complexity|contains|does|expected|expired|for|ha[sd]|have|in"
    r"|invalid|is|it|length|may|maximum|minimum|missing|must|no|not|null|of|only|or|policy|required"
    r"|should|that|the|this|to|too|was|were|when|with|you|your|none|true|false",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """Return `text` with each secret in it replaced."""
    text = _PRIVATE_PEM.sub(REDACTED, text)
    text = _PEM_END.sub(REDACTED, text)
    text = _without_signed_urls(text)
    text = _ESCAPED_PASSWORD.sub(rf"\1{REDACTED}", text)
    for form in _FORMS:
        text = form.sub(REDACTED, text)
    text = _BASIC.sub(_without_credentials, text)
    text = _SIGNATURE.sub(rf"\1{REDACTED}", text)
    text = _SIGNED_PARAMETER.sub(rf"\1{REDACTED}", text)
    text = _ELEMENT.sub(_without_element, text)
    return _without_named(text)


def _without_signed_urls(text: str) -> str:
    """Replace the passwords of URLs, and their queries, which may be signatures."""
    starts = [found.span() for found in _SCHEME.finditer(text)]
    ends = [start for start, _ in starts[1:]] + [len(text)]
    parts: list[str] = []
    done = 0
    for (start, after), end in zip(starts, ends, strict=False):
        rest = _URL_REST.match(text, after, end)
        assert rest is not None  # noqa: S101 - it matches the empty text
        parts += [text[done:after], _clean_url(text[start:after].partition(":")[0], rest[0])]
        done = rest.end()
    return "".join(parts) + text[done:]


def _clean_url(scheme: str, rest: str) -> str:
    """Return what follows `scheme://` without a password and without a query, unless it is public.

    A password may contain a slash, as keys of Azure do, though it should be percent-encoded.
    """
    authority = _AUTHORITY.match(rest)
    assert authority is not None  # noqa: S101 - it matches the empty text
    user_info, at, host = authority[0].rpartition("@")
    end = authority.end()
    if not at:
        user, colon, password = host.partition(":")
        is_port = user and (user.startswith("[") or _PORT.fullmatch(password))
        found = rest.find("@", end) if colon and not is_port else -1
        if found >= 0:
            user_info, at = rest[:found], "@"
            following = _AUTHORITY.match(rest, found + 1)
            assert following is not None  # noqa: S101
            host, end = following[0], following.end()
    if ":" in user_info or (scheme.lower() in _HTTP and len(user_info) >= _MIN_USER):
        user_info = REDACTED
    beginning, path = f"{user_info}{at}{host}", rest[end:]
    before, fragment_mark, fragment = path.partition("#")
    before, question, query = before.partition("?")
    kept = query.rstrip(_AFTER_URL)
    if not question or kept == REDACTED or _is_public(host.rpartition(":")[0] or host, kept):
        return beginning + path
    return f"{beginning}{before}?{REDACTED}{query[len(kept) :]}{fragment_mark}{fragment}"


def _is_public(host: str, query: str) -> bool:
    if host.lower() in _PUBLIC_HOSTS:
        return True
    names = {unquote(part.partition("=")[0]).lower() for part in query.split("&")}
    return names <= _HARMLESS_PARAMETERS


def _without_credentials(found: re.Match[str]) -> str:
    """Replace what follows `Basic`, if it is a user and a password in base64, or looks like it."""
    token = found[2].replace("%3D", "=").replace("%3d", "=")
    return REDACTED if looks_like_key(token) or is_pair(token) else found[0]


def _without_element(found: re.Match[str]) -> str:
    name, value = found[2], found[3].strip()
    is_one = is_secret(name) or (may_be_secret(name) and looks_like_key(value))
    return f"{found[1]}{REDACTED}" if is_one else found[0]


def _without_named(text: str) -> str:
    """Replace the values of names that are secret: `password=x`, `"key1": "x"`, `--token x`."""
    parts: list[str] = []
    done = at = 0
    while found := _NAME.search(text, at):
        at = found.end()
        span = _secret_span(text, found)
        if span is not None:
            start, at = span
            parts += [text[done:start], REDACTED]
            done = at
    return "".join(parts) + text[done:]


def _secret_span(text: str, found: re.Match[str]) -> tuple[int, int] | None:
    """Return where the value after a name begins and ends, if it is a secret."""
    name, sign, start = found["name"], found["sign"].strip(), found.end()
    if text.startswith(REDACTED, start):
        return None
    quoted = _QUOTED.match(text, start)
    if quoted:
        mark = quoted[1] or quoted[0][0]
        end = quoted.end() - (len(mark) if quoted[0].endswith(mark) else 0)
        start += len(mark)
    elif found["quote"] and text[start : start + 1] in ("{", "["):
        # An object or a list of JSON that is not whole: it has no end that can be found.
        return (start, len(text)) if holds_secrets(name) else None
    else:
        word = _SPACED.match(text, start) if sign.startswith("=") else None
        word = word or _CREDENTIALS.match(text, start) or _WORD.match(text, start)
        end = start + len(word[0].rstrip(".,)]}'")) if word else start
    value = text[start:end]
    words = value.split(maxsplit=1)
    if not words or value == REDACTED:
        return None
    if not quoted and words[0].endswith(":") and may_be_secret(words[0]):
        return None  # in `Password: adminPassword: x`, the second is a name too
    if looks_like_key(words[0]) and (may_be_secret(name) or name.lower() == "value"):
        return start, end
    if name.startswith("-"):  # an option of a command
        is_stated = True
    elif not sign or sign.startswith(("is", "was")):
        is_stated = quoted is not None and is_password(name) and " " not in value
    else:
        is_stated = ":" not in sign or found["quote"] is not None or _is_stated(name, value)
    return (start, end) if is_stated and is_secret(name) else None


def _is_stated(name: str, value: str) -> bool:
    """Return whether `name: value` in a text states a secret, and is not part of a sentence."""
    if is_password(name):
        return not _AFTER_PASSWORD.fullmatch(value)
    return not _PROSE.fullmatch(name) or _CREDENTIALS.match(value) is not None
