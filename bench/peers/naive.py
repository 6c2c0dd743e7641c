"""The crawler that everybody writes first: aiohttp, a regular expression for links, a set of what was seen.

No robots.txt, no limits, nothing durable, and wrong links on odd pages. ``naive.py SEEDS OUTPUT [WORKERS]``.
"""

from __future__ import annotations

import asyncio
import html
import re
import sys
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
import orjson
import uvloop

ANCHOR = re.compile(r"<a\s[^>]*?href\s*=\s*[\"']([^\"']*)[\"']", re.IGNORECASE)
TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


async def crawl(seeds: list[str], output: Path, workers: int) -> None:
    seen = set(seeds)
    hosts = {urlsplit(url).netloc for url in seeds}
    queue: asyncio.Queue[str] = asyncio.Queue()
    for url in seeds:
        queue.put_nowait(url)
    with output.open("wb") as file:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=workers)) as session:

            async def work() -> None:
                while True:
                    url = await queue.get()
                    try:
                        async with session.get(url) as answer:
                            text = await answer.text() if answer.content_type == "text/html" else ""
                            base, status = str(answer.url), answer.status
                        hrefs = {html.unescape(href).partition("#")[0] for href in ANCHOR.findall(text)}
                        links = [urljoin(base, href) for href in hrefs]
                        for link in links:
                            if link not in seen and urlsplit(link).netloc in hosts:
                                seen.add(link)
                                queue.put_nowait(link)
                        title = TITLE.search(text)
                        record = {
                            "url": url,
                            "status": status,
                            "title": title[1].strip() if title else None,
                            "links": links,
                            "body": text,
                        }
                        file.write(orjson.dumps(record) + b"\n")
                    finally:
                        queue.task_done()

            tasks = [asyncio.create_task(work()) for _ in range(workers)]
            await queue.join()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(
        crawl(
            Path(sys.argv[1]).read_text().split(),
            Path(sys.argv[2]),
            int(sys.argv[3]) if len(sys.argv) > 3 else 64,
        )
    )
