"""Errors of aiohttp and of the SDKs without secrets: the host logs each that leaves a function.

They quote URLs, in which there may be a signature or a proxy's password, and answers, in which
there may be a token.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from azure.core.exceptions import AzureError, HttpResponseError

from opswatch.core.errors import ConfigError
from opswatch.core.http import is_outage
from opswatch.core.redact import redact_text
from opswatch.core.texts import one_line

# Of a storage service: a right or a table that is missing, or being deleted.
_PASSING = frozenset({401, 403, 404, 409})
_IDENTITY_ANSWER = re.compile(r"(Unexpected response).*", re.DOTALL)
_TLS_SETTING = re.compile(r" ssl:(?:<[^>]*>|\S+)")  # in aiohttp's texts, also about http
_QUOTATION = re.compile(r"[:\n'\"]")


def reason(error: aiohttp.ClientError | AzureError | OSError) -> str:
    """Return in one line why an exchange failed, and nothing of what was sent or received."""
    match error:
        case aiohttp.InvalidURL():
            return "a URL that cannot be used"
        case aiohttp.ClientHttpProxyError(status=code):
            return f"the proxy answered {code}"
        case aiohttp.ClientResponseError(message=message):
            # The parser's message quotes the answer, which may repeat the request.
            return one_line(f"not HTTP: {_QUOTATION.split(message, maxsplit=1)[0]}")
        case aiohttp.ClientPayloadError():
            return "the answer broke off, or is malformed"
        case AzureError(inner_exception=aiohttp.ClientError() as inner):
            return reason(inner)
        case aiohttp.ClientConnectorError():
            return one_line(redact_text(_TLS_SETTING.sub("", str(error))))
        case AzureError(message=str(text)):
            # `str(error)` would quote the answer; so do some texts of azure-identity.
            return one_line(redact_text(_IDENTITY_ANSWER.sub(r"\1", text)))
        case _:
            return one_line(redact_text(str(error) or repr(error)))


def may_pass(error: BaseException) -> bool:
    """Return whether the same may succeed later: after an outage, or with other settings.

    An answer that refuses the request itself would refuse it again: what sent it has a defect, and
    a message that brings it belongs with the poison messages, which people look at.
    """
    match error:
        case BaseExceptionGroup(exceptions=inner):
            return all(may_pass(each) for each in inner)
        case ConfigError():
            return True
        case HttpResponseError(status_code=int() as code):
            return code in _PASSING or is_outage(code)
        case _:
            return isinstance(error, AzureError | aiohttp.ClientError | OSError)


def clean(error: AzureError) -> AzureError:
    """Remove from an SDK's error the answer, its cause, and every secret in its text."""
    error.message = error.exc_msg = reason(error)
    error.args = (error.message,)
    error.inner_exception = error.exc_value = None
    error.__cause__ = error.__context__ = None
    if isinstance(error, HttpResponseError):
        error.response = error.model = error.error = None
    return error


@contextmanager
def clean_errors() -> Iterator[None]:
    """Run calls of an SDK; an `AzureError` that they raise holds no secret."""
    try:
        yield
    except AzureError as error:
        raise clean(error) from None
