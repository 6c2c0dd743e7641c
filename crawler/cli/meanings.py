"""What each reason means and what a person can do about it: said in the report, and in docs/reference.md from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crawler.model.reasons import Reason

#: What it means, and what to do; a test holds it to the closed list.
MEANINGS: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.URL_INVALID: ("the line or link is no URL", "mend the line; `detail` has file and line"),
    Reason.URL_SCHEME: ("neither http nor https", "nothing: other schemes are not asked"),
    Reason.URL_TOO_LONG: ("longer than `[scope] max_url`", "raise it if such URLs are real pages"),
    Reason.BLOCKED_ADDRESS: (
        "the name leads to an address that is not public",
        "`--allow-network CIDR` opens your own networks",
    ),
    Reason.BLOCKED_PORT: ("a port that belongs to another protocol", "nothing: it is never asked"),
    Reason.ROBOTS_DISALLOWED: ("robots.txt says no; `detail` has the rule", "ask the site's owner"),
    Reason.ROBOTS_UNREACHABLE: (
        "robots.txt answered 5xx, 429, or not at all: RFC 9309 says to stay away",
        "run again later",
    ),
    Reason.DNS_NXDOMAIN: ("there is no such name", "mend the seed or the link"),
    Reason.DNS_NO_ADDRESS: ("the name has no address", "nothing, unless the name is yours"),
    Reason.DNS_SERVFAIL: (
        "the name's servers answer with a failure",
        "run again later; `--nameserver` asks another",
    ),
    Reason.DNS_TIMEOUT: ("the name's servers don't answer", "run again later; `--nameserver` asks another"),
    Reason.CONNECT_REFUSED: ("nothing listens at that port", "check host and port; run again later"),
    Reason.CONNECT_UNREACHABLE: ("no route to the address", "check the network; run again later"),
    Reason.CONNECT_RESET: ("the server broke the connection", "run again later, with a longer `--delay`"),
    Reason.TIMEOUT_CONNECT: ("no connection within `[http] connect_timeout`", "run again later, or raise it"),
    Reason.TLS_CERT_EXPIRED: (
        "the certificate has expired",
        "the owner must renew it; check this machine's clock",
    ),
    Reason.TLS_CERT_HOST: ("the certificate is of another name", "check the host name"),
    Reason.TLS_CERT_UNTRUSTED: (
        "nobody known vouches for the certificate",
        "`[http] ca_file` adds an authority",
    ),
    Reason.TLS_PROTOCOL: ("no common TLS version or cipher, or no TLS at all", "check scheme and port"),
    Reason.HTTP_MALFORMED: ("the answer isn't HTTP", "check scheme and port"),
    Reason.HTTP_EMPTY_REPLY: ("the connection ended before any answer", "run again later"),
    Reason.HTTP_HEADERS_TOO_LARGE: (
        "headers past `[http] max_header_line`, `max_headers` or `max_head`",
        "raise it",
    ),
    Reason.TIMEOUT_HEADERS: ("no answer within `[http] headers_timeout`", "raise it, or run again later"),
    Reason.TIMEOUT_BODY: ("the body stopped coming", "run again later"),
    Reason.TIMEOUT_TOTAL: ("not done within `--timeout`", "raise it, or lower `--max-body`"),
    Reason.BODY_TOO_SLOW: ("slower than `[http] min_rate` over 20 s", "lower it, or run again later"),
    Reason.BODY_TRUNCATED: ("the connection ended before the body did", "run again later"),
    Reason.DECODE_BOMB: (
        "grows past every measure when it is unpacked",
        "nothing: a trap, or a broken server",
    ),
    Reason.DECODE_CORRUPT: ("the content coding is broken", "tell the site's owner"),
    Reason.DECODE_TRUNCATED: ("the content coding is cut short", "run again later"),
    Reason.DECODE_UNSUPPORTED: ("a content coding that isn't known", "tell the site's owner"),
    Reason.REDIRECT_TOO_MANY: ("a loop, or more than `[http] max_redirects`", "seed the page that is meant"),
    Reason.REDIRECT_INVALID: ("redirects to what is no URL", "tell the site's owner"),
    Reason.REDIRECT_BLOCKED: ("redirects to an address or port that is refused", "as for `blocked_address`"),
    Reason.REDIRECT_OUT_OF_SCOPE: (
        "redirects out of scope",
        "`--scope domain`, or seed the target: `redirect_to` has it",
    ),
    Reason.PARSE_TIMEOUT: (
        "not read within `[crawl] parse_timeout` or its share of memory; `detail` says which",
        "raise it if the page is real",
    ),
    Reason.TYPE_UNWANTED: (
        "a content type that `[scope] types` doesn't name",
        "add it there if you want such bodies",
    ),
    Reason.TRAP_PATH: ("a path that repeats, or a template that brings nothing new", "see docs/traps.md"),
    Reason.TRAP_DEPTH: (
        "more path segments than `[scope] max_segments`",
        "raise it if such URLs are real pages",
    ),
    Reason.TRAP_BUDGET: (
        "more pages than `[limits] pages_per_host` or `pages_per_domain`",
        "raise it for a site that is so large",
    ),
    Reason.DEFERRED_RETRY_AFTER: (
        "the host asked not to be asked for longer than `[politeness] patience`",
        "run again later",
    ),
    Reason.HOST_GIVEN_UP: ("several connection failures of its host in a row", "run again later"),
    Reason.NOT_DUE: ("it need not be asked again yet", "nothing"),
    Reason.INTERNAL: ("a fault of the crawler; the log has the traceback", "report it"),
}
