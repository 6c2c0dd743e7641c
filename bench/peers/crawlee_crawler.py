"""Crawlee as its guide has it: a ParselCrawler that enqueues links, the fields of ours as JSON lines.

``crawlee_crawler.py SEEDS OUTPUT [PAGES]``. Parsel is its fastest parser;
its storage is in memory, its log silent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from urllib.parse import urldefrag, urljoin

from crawlee import ConcurrencySettings
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext
from crawlee.http_clients import ImpitHttpClient
from crawlee.storage_clients import MemoryStorageClient


async def crawl(seeds: list[str], output: Path, pages: int | None) -> None:
    # What fails is not tried again, and what takes long is its own fault: the figures say what is missing.
    crawler = ParselCrawler(
        http_client=ImpitHttpClient(),
        storage_client=MemoryStorageClient(),
        concurrency_settings=ConcurrencySettings(
            min_concurrency=32, desired_concurrency=32, max_concurrency=64
        ),
        max_requests_per_crawl=pages,
        respect_robots_txt_file=True,
        max_request_retries=0,
        use_session_pool=False,
        ignore_http_error_status_codes=[404],
        configure_logging=False,
    )
    with output.open("w") as file:

        @crawler.router.default_handler
        async def handle(context: ParselCrawlingContext) -> None:
            page, url = context.selector, context.request.loaded_url or context.request.url
            links = [urldefrag(urljoin(url, href))[0] for href in page.xpath("//a/@href").getall()]
            record = {
                "url": url,
                "status": context.http_response.status_code,
                "title": page.xpath("//title/text()").get(),
                "links": links,
                "body": (await context.http_response.read()).decode("utf-8", "replace"),
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            await context.enqueue_links(strategy="same-hostname")

        await crawler.run(seeds)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(
        crawl(
            Path(sys.argv[1]).read_text().split(),
            Path(sys.argv[2]),
            int(sys.argv[3]) if len(sys.argv) > 3 else None,
        )
    )
