"""The one door where aiohttp raises: every exception becomes a reason of the closed list."""

from __future__ import annotations

import errno
import ssl
from typing import Final

import aiohttp
from aiohttp.http_exceptions import LineTooLong, TransferEncodingError

from crawler.fetch.attempt import Attempt
from crawler.fetch.resolver import NameFailure
from crawler.model.reasons import Reason

_BY_ERRNO: Final = {
    errno.ECONNREFUSED: Reason.CONNECT_REFUSED,
    errno.ECONNRESET: Reason.CONNECT_RESET,
    errno.ECONNABORTED: Reason.CONNECT_RESET,
    errno.EPIPE: Reason.CONNECT_RESET,
    errno.ETIMEDOUT: Reason.TIMEOUT_CONNECT,
    errno.ENETUNREACH: Reason.CONNECT_UNREACHABLE,
    errno.EHOSTUNREACH: Reason.CONNECT_UNREACHABLE,
    errno.ENETDOWN: Reason.CONNECT_UNREACHABLE,
    errno.EHOSTDOWN: Reason.CONNECT_UNREACHABLE,
    errno.EADDRNOTAVAIL: Reason.CONNECT_UNREACHABLE,
    errno.EAFNOSUPPORT: Reason.CONNECT_UNREACHABLE,
    errno.EACCES: Reason.CONNECT_UNREACHABLE,
    errno.EPERM: Reason.CONNECT_UNREACHABLE,
    errno.EINVAL: Reason.CONNECT_UNREACHABLE,
}
# OpenSSL's X509_V_ERR_*: has expired, is not yet valid; hostname and IP address mismatch.
_EXPIRED: Final = frozenset({9, 10})
_MISNAMED: Final = frozenset({62, 64})
_TOO_LARGE: Final = ("Got more than", "Too many headers", "too many headers", "Too many trailers")


def fault_of(error: BaseException, attempt: Attempt, *, https: bool) -> tuple[Reason, str]:
    """The reason and a text for a person. Unknown exceptions are ``internal``: the caller logs them."""
    match error:
        case aiohttp.ClientConnectorDNSError(os_error=NameFailure() as failure):
            return failure.reason, failure.detail
        case NameFailure():
            return error.reason, error.detail
        case aiohttp.ClientConnectorDNSError():
            return Reason.DNS_SERVFAIL, str(error)
        case aiohttp.ClientConnectorCertificateError(certificate_error=inner):
            return _certificate(inner)
        case ssl.SSLCertVerificationError():
            return _certificate(error)
        case aiohttp.ClientConnectorSSLError(os_error=inner):
            return Reason.TLS_PROTOCOL, str(inner)
        case aiohttp.ClientConnectorError(os_error=inner):
            return _connection(inner, attempt, https=https)
        case aiohttp.ClientPayloadError():
            return _payload(error)
        case aiohttp.ServerDisconnectedError(message=message):
            # aiohttp puts in what it could parse of the head, or words of its own where nothing came.
            if message is None or isinstance(message, str):
                return Reason.HTTP_EMPTY_REPLY, "the connection was closed without an answer"
            return Reason.HTTP_MALFORMED, "the connection was closed within the headers"
        case aiohttp.InvalidURL():
            return Reason.URL_INVALID, str(error)
        case aiohttp.ClientHttpProxyError(status=status, message=message):
            # What the proxy says of the tunnel it was asked for (RFC 9110, 9.3.6) is no word of the site's.
            return Reason.CONNECT_UNREACHABLE, f"the proxy answered CONNECT with {status} {message}"
        case aiohttp.ClientResponseError(status=status, message=message):
            return _headers(message or f"bad response {status}", error)
        case ssl.SSLError():
            return Reason.TLS_PROTOCOL, str(error)
        case OSError():
            return _connection(error, attempt, https=https)
    return Reason.INTERNAL, f"{type(error).__name__}: {error}"


def _certificate(error: BaseException) -> tuple[Reason, str]:
    code = getattr(error, "verify_code", None)
    detail = getattr(error, "verify_message", None) or str(error)
    if code in _EXPIRED:
        return Reason.TLS_CERT_EXPIRED, detail
    if code in _MISNAMED:
        return Reason.TLS_CERT_HOST, detail
    return Reason.TLS_CERT_UNTRUSTED, detail


def _connection(error: OSError, attempt: Attempt, *, https: bool) -> tuple[Reason, str]:
    if attempt.blocked is not None and attempt.ip is None:
        # At least one address of the name is denied and none of the others answered.
        return Reason.BLOCKED_ADDRESS, attempt.blocked
    if isinstance(error, ConnectionResetError):
        reason = Reason.CONNECT_RESET
    else:
        reason = _BY_ERRNO.get(error.errno or 0, Reason.CONNECT_UNREACHABLE)
    detail = error.strerror or str(error)
    if https and reason is Reason.CONNECT_RESET and attempt.late is Reason.TIMEOUT_CONNECT:
        # A server that has only TLS 1.0 answers the hello with a reset.
        return Reason.TLS_PROTOCOL, f"the connection was reset in the TLS handshake ({detail})"
    return reason, detail


def _payload(error: BaseException) -> tuple[Reason, str]:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, TransferEncodingError) and "Not enough data" not in str(cause):
        return Reason.HTTP_MALFORMED, f"bad chunked framing: {_first_line(cause)}"
    if isinstance(cause, LineTooLong):
        return Reason.HTTP_HEADERS_TOO_LARGE, _first_line(cause)
    text = _first_line(cause or error)
    if any(mark in text for mark in _TOO_LARGE):
        return Reason.HTTP_HEADERS_TOO_LARGE, text
    return Reason.BODY_TRUNCATED, text


def _headers(message: str, error: BaseException) -> tuple[Reason, str]:
    cause = error.__cause__
    text = message.splitlines()[0] if message else ""
    if isinstance(cause, LineTooLong) or any(mark in message for mark in _TOO_LARGE):
        return Reason.HTTP_HEADERS_TOO_LARGE, text
    return Reason.HTTP_MALFORMED, text


def _first_line(error: BaseException) -> str:
    # The parser's own exceptions begin with a line of "400, message:" in str().
    text = str(getattr(error, "message", "") or error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
