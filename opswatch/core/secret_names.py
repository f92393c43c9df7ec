"""Judges by its name whether a value is a secret; the forms of secrets are in `secret_forms`."""

import re
from base64 import b64decode
from functools import lru_cache
from typing import Literal

_MAX_NAME = 128  # characters: the end of a longer name decides
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]")
_PASSWORDS = "password|passwd|passphrase|passcode|pwd|passwordorkey"
# A key without one of these words before it may be a column, a tag or a public key.
_KEYS = (
    "access|account|admin|api|app|application|auth|authentication|authorization|batch|bot|client"
    "|cosmos|cosmosdb|decryption|device|eventhub|functions?|gateway|hmac|host|hub|integration|iot"
    "|join|activation|deployment|product|recovery|licen[cs]e|listen|machine|manage|master|openai|policy|preshared|private|primary|query"
    "|read|readonly|readwrite|redis|registration|registry|root|rule|sas|search|secondary|secret"
    "|send|service|servicebus|session|shared|signalr|signing|storage|subscription|symmetric|system"
    "|validation|vpn|web|webhook|webpubsub|workspace|write"
)
_FORMS = (  # how a secret is written, after its name
    "value|plain|text|clear|pem|base64|b64|encoded|raw|string|data|content|hash|header|old|new"
    "|current|previous|primary|secondary|default|bytes|blob|json|yaml"
)
_SECRET = re.compile(
    rf"(?:{_PASSWORDS}|secret|token|credential|kubeconfig|connection(?:string|str)|connstr(?:ing)?"
    r"|cookie|jwt|accesssignature|sassignature|privatekey|sharedkey|psk|pfx|dockerconfigjson"
    r"|secure(?:value|string|text|data)|protected(?:setting|parameter|value)"
    rf"|(?:{_KEYS})key|^key(?=\d)|^keys(?=value|\d)|^(?:user|db|admin|root|smtp|ftp|require)?pass|^creds?"
    rf"|^sig)s?(?:{_FORMS}|\d)*s?$"
)
_PASSWORD = re.compile(rf"(?:{_PASSWORDS})s?(?:{_FORMS}|\d)*$")
_SAS = re.compile(r"(?:^|[_\-. ]|(?<=[a-z0-9]))(?:SAS|Sas)(?:\d|Key|Value)*$|(?:^|[_\-. ])sas$")
_HEADER = ("authorization", "authorizationheader")
_HINT = re.compile(r"pass|pwd|secret|token|cred|key|signature|^auth$|basicauth$")
# Public keys, the columns that tables call keys, and marks of a position in a list.
_HARMLESS = re.compile(
    r"publickey"
    r"|(?:partition|row|sort|foreign|instrumentation|cache|routing|idempotency|shard|tag|label"
    r"|topology|object|resource|lookup|index|unique|hash|range|correlation|operation|metric"
    r"|error|setting|config)keys?$"
    r"|(?:continuation|page|skip|next|sync|delta|cancellation)tokens?$"
)
_ABOUT = re.compile(  # a secret, without holding it
    r"(?:names?|ids?|identifiers?|ur[il]s?|refs?|references?|versions?|types?|kinds?|expiry|expires"
    r"|expiration|times?|timestamp|dates?|policy|policies|length|size|count|limit|status|state"
    r"|thumbprint|algorithm|path|columns?|fields?|prefix|format|endpoint|audience|issuer|scopes?"
    r"|vaults?|usage|ops|method|mode|enabled|permissions?|source|at|on|by|in)$"
)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_KEY_TEXT = re.compile(r"[\w+/=~.!@#$%^&*-]{16,}", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")


def is_secret(name: str) -> bool:
    """Return whether a text of this name is a secret, however it looks.

    `adminPassword`, `accessKey1` and `kubeconfigs` are; `key`, `tokenType` and `secretName` not.
    """
    return _judge(name[-_MAX_NAME:]) in ("secret", "header")


def holds_secrets(name: str) -> bool:
    """Return whether a list or an object of this name holds nothing but secrets.

    `authorization` does not: that is also what ARM calls an action and its scope.
    """
    return _judge(name[-_MAX_NAME:]) == "secret"


def may_be_secret(name: str) -> bool:
    """Return whether a value of this name is a secret if it looks like a key, as for `key`."""
    return _judge(name[-_MAX_NAME:]) != "harmless"


def is_password(name: str) -> bool:
    """Return whether people choose values of this name: these need not look like a key."""
    return _PASSWORD.search(_normalized(name[-_MAX_NAME:])) is not None


def looks_like_key(text: str) -> bool:
    """Return whether `text` is one long word of mixed characters, and no GUID, host or path."""
    if not _KEY_TEXT.fullmatch(text) or text.startswith("/"):
        return False
    if _GUID.fullmatch(text) or _HOST.fullmatch(text):
        return False
    if _HEX.fullmatch(text) or text.endswith("="):
        return True
    return all(any(test(c) for c in text) for test in (str.isdigit, str.isupper, str.islower))


def is_pair(text: str) -> bool:
    """Return whether `text` is a user and a password in base64, as after `Basic`."""
    try:
        return ":" in b64decode(text.rstrip("=") + "==", altchars=b"-_").decode("ascii")
    except ValueError:
        return False


def describes(name: str) -> bool:
    """Return whether a value of this name is about a secret or a key, without being one."""
    normalized = _normalized(name[-_MAX_NAME:])
    return bool(_HARMLESS.search(normalized) or _ABOUT.search(normalized))


@lru_cache(maxsize=4096)
def _judge(name: str) -> Literal["secret", "header", "unclear", "harmless"]:
    normalized = _normalized(name)
    if _HARMLESS.search(normalized):
        return "harmless"
    if _SECRET.search(normalized) or _SAS.search(name):
        return "secret"
    if normalized.endswith(_HEADER):
        return "header"
    if _HINT.search(normalized) and not _ABOUT.search(normalized):
        return "unclear"
    return "harmless"


def _normalized(name: str) -> str:
    return _NOT_ALPHANUMERIC.sub("", name.lower())
