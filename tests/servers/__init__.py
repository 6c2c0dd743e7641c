"""Real servers for tests and benchmarks: web sites, a name server, certificates, and the program itself.

Each server is a context manager in two ways: ``async with`` runs it in the running loop, ``with`` runs it in
a loop and a thread of its own, for when the crawler under test is another process or would starve it.
"""

from tests.servers.authority import Authority
from tests.servers.names import NameServer, Query
from tests.servers.program import Crawl, Program, Running
from tests.servers.reply import Reply, compress, html, reply
from tests.servers.request_log import Asked, RequestLog
from tests.servers.site import Host, Site
from tests.servers.socket_server import RawSite

__all__ = [
    "Asked",
    "Authority",
    "Crawl",
    "Host",
    "NameServer",
    "Program",
    "Query",
    "RawSite",
    "Reply",
    "RequestLog",
    "Running",
    "Site",
    "compress",
    "html",
    "reply",
]
