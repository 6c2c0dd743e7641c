"""Why a URL has no page: the closed list of reasons, and what each one means for its record."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """How a URL ended; the ``outcome`` field of its record."""

    FETCHED = "fetched"
    NOT_MODIFIED = "not_modified"
    REDIRECTED = "redirected"
    FAILED = "failed"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """The ``reason`` field of a record. Closed: a new word here is a change of the contract with users."""

    URL_INVALID = "url_invalid"
    URL_SCHEME = "url_scheme"
    URL_TOO_LONG = "url_too_long"
    BLOCKED_ADDRESS = "blocked_address"
    BLOCKED_PORT = "blocked_port"

    ROBOTS_DISALLOWED = "robots_disallowed"
    ROBOTS_UNREACHABLE = "robots_unreachable"

    DNS_NXDOMAIN = "dns_nxdomain"
    DNS_NO_ADDRESS = "dns_no_address"
    DNS_SERVFAIL = "dns_servfail"
    DNS_TIMEOUT = "dns_timeout"

    CONNECT_REFUSED = "connect_refused"
    CONNECT_UNREACHABLE = "connect_unreachable"
    CONNECT_RESET = "connect_reset"
    TIMEOUT_CONNECT = "timeout_connect"

    TLS_CERT_EXPIRED = "tls_cert_expired"
    TLS_CERT_HOST = "tls_cert_host"
    TLS_CERT_UNTRUSTED = "tls_cert_untrusted"
    TLS_PROTOCOL = "tls_protocol"

    HTTP_MALFORMED = "http_malformed"
    HTTP_EMPTY_REPLY = "http_empty_reply"
    HTTP_HEADERS_TOO_LARGE = "http_headers_too_large"

    TIMEOUT_HEADERS = "timeout_headers"
    TIMEOUT_BODY = "timeout_body"
    TIMEOUT_TOTAL = "timeout_total"
    BODY_TOO_SLOW = "body_too_slow"
    BODY_TRUNCATED = "body_truncated"

    DECODE_BOMB = "decode_bomb"
    DECODE_CORRUPT = "decode_corrupt"
    DECODE_TRUNCATED = "decode_truncated"
    DECODE_UNSUPPORTED = "decode_unsupported"

    REDIRECT_TOO_MANY = "redirect_too_many"
    REDIRECT_INVALID = "redirect_invalid"
    REDIRECT_BLOCKED = "redirect_blocked"
    REDIRECT_OUT_OF_SCOPE = "redirect_out_of_scope"

    PARSE_TIMEOUT = "parse_timeout"
    TYPE_UNWANTED = "type_unwanted"

    TRAP_PATH = "trap_path"
    TRAP_DEPTH = "trap_depth"
    TRAP_BUDGET = "trap_budget"

    DEFERRED_RETRY_AFTER = "deferred_retry_after"
    HOST_GIVEN_UP = "host_given_up"
    NOT_DUE = "not_due"

    INTERNAL = "internal"


_SKIPPED_PREFIXES: Final = ("url_", "blocked_", "robots_", "trap_")

#: Reasons whose record says ``skipped``; every other reason says ``failed``.
SKIPPED: Final = frozenset(
    {reason for reason in Reason if reason.value.startswith(_SKIPPED_PREFIXES)}
    | {Reason.DEFERRED_RETRY_AFTER, Reason.HOST_GIVEN_UP, Reason.NOT_DUE, Reason.TYPE_UNWANTED}
)

#: Reasons worth another try (with the statuses in :mod:`crawler.rules.revisit`), and nothing else.
RETRIED: Final = frozenset(
    {
        Reason.DNS_SERVFAIL,
        Reason.DNS_TIMEOUT,
        Reason.CONNECT_REFUSED,
        Reason.CONNECT_UNREACHABLE,
        Reason.CONNECT_RESET,
        Reason.TIMEOUT_CONNECT,
        Reason.TIMEOUT_HEADERS,
        Reason.TIMEOUT_BODY,
        Reason.TIMEOUT_TOTAL,
        Reason.HTTP_EMPTY_REPLY,
        Reason.BODY_TRUNCATED,
        Reason.BODY_TOO_SLOW,
    }
)

#: No connection came about: what ``host_given_up`` counts.
CONNECTION: Final = frozenset(
    {
        Reason.CONNECT_REFUSED,
        Reason.CONNECT_UNREACHABLE,
        Reason.CONNECT_RESET,
        Reason.TIMEOUT_CONNECT,
        Reason.DNS_SERVFAIL,
        Reason.DNS_TIMEOUT,
    }
)

#: A robots.txt that fails like this fails below HTTP: its host's URLs end with this reason, unasked.
BELOW_HTTP: Final = frozenset(
    reason for reason in Reason if reason.value.startswith(("dns_", "connect_", "tls_", "blocked_"))
) | {Reason.TIMEOUT_CONNECT}


def outcome_of(reason: Reason) -> Outcome:
    """``skipped`` or ``failed``, by the closed list."""
    return Outcome.SKIPPED if reason in SKIPPED else Outcome.FAILED
