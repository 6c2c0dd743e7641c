"""What each reason means, for the report and docs/reference.md; ``advice.py`` has what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crawler.model.reasons import Reason

#: A test holds it to the closed list.
MEANINGS: Final[Mapping[Reason, str]] = {
    Reason.URL_INVALID: "the line or link is no URL",
    Reason.URL_SCHEME: "neither http nor https",
    Reason.URL_TOO_LONG: "longer than `[scope] max_url`",
    Reason.BLOCKED_ADDRESS: "the name leads to an address that is not public",
    Reason.BLOCKED_PORT: "a port that belongs to another protocol",
    Reason.ROBOTS_DISALLOWED: "robots.txt says no; `detail` has the rule",
    Reason.ROBOTS_UNREACHABLE: "robots.txt answered 5xx, 429, or not at all: RFC 9309 says to stay away",
    Reason.DNS_NXDOMAIN: "there is no such name",
    Reason.DNS_NO_ADDRESS: "the name has no address",
    Reason.DNS_SERVFAIL: "the name's servers answer with a failure",
    Reason.DNS_TIMEOUT: "the name's servers don't answer",
    Reason.CONNECT_REFUSED: "nothing listens at that port",
    Reason.CONNECT_UNREACHABLE: "no route to the address",
    Reason.CONNECT_RESET: "the server broke the connection",
    Reason.TIMEOUT_CONNECT: "no connection within `[http] connect_timeout`",
    Reason.TLS_CERT_EXPIRED: "the certificate has expired",
    Reason.TLS_CERT_HOST: "the certificate is of another name",
    Reason.TLS_CERT_UNTRUSTED: "nobody known vouches for the certificate",
    Reason.TLS_PROTOCOL: "no common TLS version or cipher, or no TLS at all",
    Reason.HTTP_MALFORMED: "the answer isn't HTTP",
    Reason.HTTP_EMPTY_REPLY: "the connection ended before any answer",
    Reason.HTTP_HEADERS_TOO_LARGE: "headers past `[http] max_header_line`, `max_headers` or `max_head`",
    Reason.TIMEOUT_HEADERS: "no answer within `[http] headers_timeout`",
    Reason.TIMEOUT_BODY: "the body stopped coming",
    Reason.TIMEOUT_TOTAL: "not done within `--timeout`",
    Reason.BODY_TOO_SLOW: "slower than `[http] min_rate` over 20 s",
    Reason.BODY_TRUNCATED: "the connection ended before the body did",
    Reason.DECODE_BOMB: "grows past every measure when it is unpacked",
    Reason.DECODE_CORRUPT: "the content coding is broken",
    Reason.DECODE_TRUNCATED: "the content coding is cut short",
    Reason.DECODE_UNSUPPORTED: "a content coding that isn't known",
    Reason.REDIRECT_TOO_MANY: "a loop, or more than `[http] max_redirects`",
    Reason.REDIRECT_INVALID: "redirects to what is no URL",
    Reason.REDIRECT_BLOCKED: "redirects to an address or port that is refused",
    Reason.REDIRECT_OUT_OF_SCOPE: "redirects out of scope",
    Reason.PARSE_TIMEOUT: "not read within `[crawl] parse_timeout` or its share of memory; `detail` says which",
    Reason.TYPE_UNWANTED: "a content type that `[scope] types` doesn't name",
    Reason.TRAP_PATH: "a path that repeats, or a template that brings nothing new",
    Reason.TRAP_DEPTH: "more path segments than `[scope] max_segments`",
    Reason.TRAP_BUDGET: "more pages than `[limits] pages_per_host` or `pages_per_domain`",
    Reason.DEFERRED_RETRY_AFTER: "the host asked not to be asked for longer than `[politeness] patience`",
    Reason.HOST_GIVEN_UP: "several connection failures of its host in a row",
    Reason.NOT_DUE: "it need not be asked again yet",
    Reason.INTERNAL: "a fault of the crawler; the log has the traceback",
}
