"""The report in headless Chromium, driven over its DevTools protocol: its script works, its policy lets it, and it fits
a phone. Without a chromium this is skipped; ``test_report.py`` holds structure and escaping without one."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cli.test_report import EVIL, made, make_run, record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; apt-get install chromium")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """One page. ``said`` is every message of the console, every exception and every refusal of the policy."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.said: list[str] = []
        self.asked: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=30)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._hear(message)

    async def until(self, method: str) -> None:
        while True:
            message = await self._socket.receive_json(timeout=30)
            self._hear(message)
            if message.get("method") == method:
                return

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.said.append(json.dumps(message["params"]))
        if message.get("method") == "Network.requestWillBeSent":
            self.asked.append(message["params"]["request"]["url"])

    async def eval(self, expression: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@asynccontextmanager
async def tab(profile: Path, page: Path, **device: Any) -> AsyncIterator[Tab]:
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await _port(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (target,) = [each for each in await answer.json() if each["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                opened = Tab(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await opened.call(f"{domain}.enable")
                if device:
                    await opened.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, **device)
                await opened.call("Page.navigate", url=page.as_uri())
                await opened.until("Page.loadEventFired")
                yield opened
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _port(path: Path, process: asyncio.subprocess.Process) -> str:
    for _ in range(600):
        if process.returncode is not None:
            pytest.skip(f"chromium does not start here (exit {process.returncode})")
        if path.is_file() and (lines := path.read_text().splitlines()):
            return lines[0]
        await asyncio.sleep(0.05)
    pytest.skip("chromium did not start within 30 s")


def many_hosts(folder: Path) -> Path:
    """3,000 hosts, host number n with n % 7 + 1 records, each with hostile details."""
    records = [
        record(
            host=f"h{number}.test", url=f"https://h{number}.test/{EVIL}", detail=EVIL, outcome="skipped",
            reason="robots_disallowed", status=None, change="new", links=[f"https://h{number + 1}.test/"],
        )
        for number in range(3000)
        for _ in range(number % 7 + 1)
    ]  # fmt: skip
    run = make_run(
        folder,
        [*records, *([record(links=["https://h1.test/", "https://h2.test/"])] * 9)],
        timeline=[
            {"at": "2026-01-02T03:04:05Z", "step": 1.0, "records": [5] * 240, "limited_by": ["network"] * 240}
        ],
        limited_by={"network": 1.0},
    )
    made(run)
    return run / "report.html"


async def test_the_hosts_are_sorted_searched_and_paged(tmp_path: Path):
    async with tab(tmp_path / "profile", many_hosts(tmp_path)) as page:
        first = "document.querySelector('#hosts-table tbody tr').cells"
        rows = "document.querySelectorAll('#hosts-table tbody tr').length"
        said = "document.getElementById('hosts-said').textContent"
        heads = "document.querySelectorAll('#hosts-table thead th')"
        assert await page.eval(said) == "1 to 25 of 3,001 hosts"
        assert await page.eval(f"{first}[0].textContent") == "a.test"
        await page.eval("document.getElementById('hosts-after').click()")
        assert await page.eval(said) == "26 to 50 of 3,001 hosts"
        await page.eval(f"{heads}[1].querySelector('button').click()")
        assert await page.eval(f"{heads}[1].getAttribute('aria-sort')") == "ascending"
        assert await page.eval(f"{first}[1].textContent") == "1"
        search = "const field = document.getElementById('hosts-search'); field.value = {};"
        await page.eval(f"{{{search.format(repr('H299'))} field.dispatchEvent(new Event('input'))}}")
        assert await page.eval(said) == "1 to 11 of 11 hosts"
        assert await page.eval(rows) == 11
        assert await page.eval("document.title") == "job: crawl report"
        assert await page.eval("document.getElementById('hosts-tools').hidden") is False
        assert page.said == [], "no script failed, and the policy refused nothing that the page is made of"
        assert [url for url in page.asked if not url.startswith("file:")] == []


async def test_the_policy_holds_where_the_escaping_would_fail(tmp_path: Path):
    page_file = many_hosts(tmp_path)
    html = page_file.read_text("utf-8")
    slip = (
        "<script>document.title = 'owned'</script><img src='http://127.0.0.1:9/x' onerror='document.title=1'>"
    )
    page_file.write_text(html.replace("<main", slip + "<main", 1), "utf-8")
    async with tab(tmp_path / "profile", page_file) as page:
        assert await page.eval("document.title") == "job: crawl report"
        assert len(page.said) >= 2, "the policy says what it refused"


async def test_nothing_is_wider_than_a_phone(tmp_path: Path):
    async with tab(tmp_path / "profile", many_hosts(tmp_path), width=360, height=800, mobile=True) as page:
        assert await page.eval("document.documentElement.scrollWidth") <= 360
        assert await page.eval("document.querySelector('#reasons-table tbody tr').offsetWidth") <= 340


@pytest.mark.slow
async def test_it_is_dark_where_the_reader_wants_it_so(tmp_path: Path):
    background = "getComputedStyle(document.body).backgroundColor"
    async with tab(tmp_path / "profile", many_hosts(tmp_path)) as page:
        light = await page.eval(background)
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        await page.call("Emulation.setEmulatedMedia", features=dark)
        assert (light, await page.eval(background)) == ("rgb(247, 248, 250)", "rgb(15, 20, 27)")


async def test_a_screen_reader_finds_plots_and_tables(tmp_path: Path):
    """By the tree that the browser gives to assistive technology, laid out as on a phone."""
    async with tab(tmp_path / "profile", many_hosts(tmp_path), width=360, height=800, mobile=True) as page:
        nodes = (await page.call("Accessibility.getFullAXTree"))["nodes"]
        named = {
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        }
        assert ("table", "Reasons") in named
        assert ("table", "Hosts") in named
        assert any(role in ("image", "img") and name.startswith("Records a second") for role, name in named)
        assert any(role == "searchbox" and name == "Search hosts" for role, name in named)
        assert ("rowheader", "robots_disallowed") in named
        assert ("heading", "Why pages are missing") in named
