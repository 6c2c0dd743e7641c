"""A site of many pages that can be told to change."""

from __future__ import annotations

import hashlib
from collections import Counter

from tests.servers import reply
from tests.servers.reply import html

HEAD = '<meta name="csrf" content="{token}"><script>var now = {token};</script>'
SHELL = (
    '<nav><a href="{home}">home</a> {token} visitors</nav><header>{token}</header>'
    '<main data-build="{token}"><form><input type="hidden" value="{token}"></form>{text}{links}</main>'
    "<footer>made at {token}</footer>"
)


class Versions:
    """A site of many pages that can be told to change, with validators if it is to have some."""

    def __init__(self, site, *, validators=True, home="/p/0"):
        self.site = site
        self.home = home
        self.validators = validators
        self.texts: dict[str, str] = {}
        self.tokens: dict[str, int] = {}
        self.bytes = 0
        self.statuses: Counter[int] = Counter()
        self.links: dict[str, list[str]] = {}

    def put(self, path, text, links=(), token=1):
        self.texts[path], self.links[path], self.tokens[path] = text, list(links), token
        self.site.answer(path, lambda asked: self._answer(path, asked))

    def remove(self, path):
        del self.texts[path]
        self.site.answer(path, reply(html(title="gone"), 404))

    def body(self, path):
        token = self.tokens[path]
        anchors = "".join(f'<a href="{link}">{link}</a>' for link in self.links[path])
        shell = SHELL.format(home=self.home, token=token, text=self.texts[path], links=anchors)
        head = HEAD.format(token=token)
        return f"<!doctype html><html><head><title>{path}</title>{head}</head><body>{shell}</body></html>"

    def _answer(self, path, asked):
        body = self.body(path).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = [("ETag", etag)] if self.validators else []
        if self.validators and asked.headers.get("if-none-match") == etag:
            self.statuses[304] += 1
            return reply(b"", 304, headers)
        self.statuses[200] += 1
        self.bytes += len(body)
        return reply(body, 200, headers)
