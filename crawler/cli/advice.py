"""What to do about each reason: the sentence under a missing page in the summary and in ``crawler explain``."""

from __future__ import annotations

from typing import Final

_ADVICE: Final = {
    "url_invalid": "mend the line in the seeds file, or the link on the page",
    "url_scheme": "only http and https are crawled",
    "url_too_long": "raise [scope] max_url if such URLs are real",
    "blocked_address": "if this is a network of yours: --allow-network CIDR, such as 10.0.0.0/8",
    "blocked_port": "browsers refuse this port too; serve the page on another",
    "robots_disallowed": "the site forbids it: ask its owner",
    "robots_unreachable": "its robots.txt fails, which forbids all: run again later",
    "dns_nxdomain": "the name does not exist: mend the seed, or ask --nameserver",
    "dns_no_address": "the name has no address: mend the seed",
    "dns_servfail": "the name server fails: `crawler doctor --dns NAME`, or --nameserver",
    "dns_timeout": "the name server is silent: `crawler doctor --dns NAME`, or --nameserver",
    "connect_refused": "nothing listens there: check host and port, run again later",
    "connect_unreachable": "no route: check this machine's network (IPv6?), run again later",
    "connect_reset": "the server hangs up: slow down (--delay) or run again later",
    "timeout_connect": "no answer: raise [http] connect_timeout, or the host drops you",
    "tls_cert_expired": "the site has to renew its certificate",
    "tls_cert_host": "its certificate is for another name: is the host right?",
    "tls_cert_untrusted": "if you trust its issuer: [http] ca_file = its certificate",
    "tls_protocol": "no common TLS version or cipher: the site is outdated, or speaks plain http://",
    "http_malformed": "the answer is not HTTP: is the port right?",
    "http_empty_reply": "the server closed without an answer: slow down, run again later",
    "http_headers_too_large": "raise [http] max_head, max_header_line or max_headers",
    "timeout_headers": "the server is slow: raise [http] headers_timeout, slow down (--delay)",
    "timeout_body": "the server is slow: raise --timeout, slow down (--delay)",
    "timeout_total": "raise --timeout, or lower --max-body",
    "body_too_slow": "lower [http] min_rate if a slow site is worth the wait",
    "body_truncated": "the connection broke off: run again later",
    "decode_bomb": "a body that explodes when unpacked; raise --max-body if it is meant so",
    "decode_corrupt": "the body is damaged; the site has to mend it",
    "decode_truncated": "the packed body broke off: run again later",
    "decode_unsupported": "a content coding that nobody asked for; the site has to mend it",
    "redirect_too_many": "a loop, or more hops than [http] max_redirects",
    "redirect_invalid": "the Location is no URL; the site has to mend it",
    "redirect_blocked": "it leads to a refused address or port: see blocked_*",
    "redirect_out_of_scope": "widen --scope, or add the target to the seeds",
    "parse_timeout": "reading took too long: raise [crawl] parse_timeout",
    "type_unwanted": "add the content type to [scope] types",
    "trap_path": "if these pages are real: raise [scope] max_repeats or trap_pages",
    "trap_depth": "if these pages are real: raise [scope] max_segments",
    "trap_budget": "raise [limits] pages_per_host or pages_per_domain",
    "deferred_retry_after": "the host asks for a long pause: run again when it is over",
    "host_given_up": "the host failed again and again: run again later",
    "not_due": "it is not due yet: run again later, or change [revisit]",
    "internal": "a bug: the log has its traceback; please report it",
}


def advice(reason: str) -> str:
    """What a person can do; empty for a word that is not of the list."""
    return _ADVICE.get(reason, "")
