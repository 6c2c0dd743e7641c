"""SURT: the key that archives sort and look up URLs by, ``com,example)/path?a&b``.

Law: two URLs have one key where the Wayback Machine takes them for one page (lower case throughout, no ``www.``, sorted
query, no session ids, no slash at the end), so that pywb and its kin find what is asked for. The package ``surt`` says
the same and brings tldextract, which downloads; it is the oracle of the tests. O(len(url)) but for the sort.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

_URL: Final = re.compile(
    r"(https?)://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)(?::(\d*))?([^?#]*)(?:\?([^#]*))?", re.I
)
_WWW: Final = re.compile(r"www\d*\.")
_PORTS: Final = {"http": "80", "https": "443"}
#: All of visible ASCII but for ``#`` and ``%``.
_UNESCAPED: Final = "!\"$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_SLASHES: Final = re.compile(r"/{2,}")

#: The ids that ASP.NET puts into a path, and those that Java, PHP, ASP and ColdFusion put into a query.
_IN_PATH: Final = re.compile(r"/\((?:(?:[a-z]\([0-9a-z]{24}\))+|[0-9a-z]{24})\)(?=/[^?]+\.aspx)")
_IN_QUERY: Final = re.compile(
    r"(?:(?:jsessionid|phpsessid|sid)=[0-9a-z]{32}|aspsessionid[a-z]{8}=[a-z]{24}|cfid=[^&]+&cftoken=[^&]+)(?:&|$)"
)


def surt(url: str) -> str:
    """The key of a canonical http(s) URL."""
    match = _URL.match(url)
    if match is None:
        return url.lower()
    scheme, host, port, path, query = match.groups()
    host = _WWW.sub("", host.lower(), count=1) if host[:3].lower() == "www" else host.lower()
    key = host[1:-1] if host.startswith("[") else ",".join(reversed(host.strip(".").split(".")))
    if port and port != _PORTS[scheme.lower()]:
        key += f":{port}"
    path = _IN_PATH.sub("", _escaped(_SLASHES.sub("/", path or "/")).lower())
    if len(path) > 1 and path.endswith("/"):
        path = path[:-1]
    if query:
        words = _IN_QUERY.sub("", _escaped(query).lower()).split("&")
        query = "&".join(sorted(words, key=lambda word: word.split("=", 1)))
    return f"{key}){path}?{query}" if query else f"{key}){path}"


def _escaped(text: str) -> str:
    """As few octets escaped as can be, however often they were."""
    octets = text.encode("utf-8", "surrogatepass")
    while (plain := unquote_to_bytes(octets)) != octets:
        octets = plain
    return quote_from_bytes(octets, safe=_UNESCAPED)
