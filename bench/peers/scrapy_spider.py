"""Scrapy as its tutorial has it: a CrawlSpider with one rule, the fields of ours as JSON lines.

``scrapy_spider.py SEEDS OUTPUT [PAGES]``. Concurrency is high, and what it can do without (log, telnet,
cookies) is off.
"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

from scrapy.crawler import CrawlerProcess
from scrapy.http import HtmlResponse
from scrapy.linkextractors import LinkExtractor
from scrapy.spiders import CrawlSpider, Rule

SEEDS = Path(sys.argv[1]).read_text().split()
LINKS = LinkExtractor(deny_extensions=[])


class Documentation(CrawlSpider):
    name = "documentation"
    start_urls = SEEDS
    allowed_domains = sorted({urlsplit(url).hostname for url in SEEDS})
    rules = (Rule(LINKS, callback="parse_page", follow=True),)

    def parse_start_url(self, response):
        return self.parse_page(response)

    def parse_page(self, response):
        is_html = isinstance(response, HtmlResponse)
        return {
            "url": response.url,
            "status": response.status,
            "title": response.css("title::text").get() if is_html else None,
            "links": [link.url for link in LINKS.extract_links(response)] if is_html else [],
            "body": response.text if is_html else None,
        }


if __name__ == "__main__":
    process = CrawlerProcess(
        {
            "CONCURRENT_REQUESTS": 64,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
            "DOWNLOAD_DELAY": 0,
            "ROBOTSTXT_OBEY": True,
            "COOKIES_ENABLED": False,
            "LOG_LEVEL": "ERROR",
            "TELNETCONSOLE_ENABLED": False,
            "CLOSESPIDER_PAGECOUNT": int(sys.argv[3]) if len(sys.argv) > 3 else 0,
            "FEEDS": {sys.argv[2]: {"format": "jsonlines", "encoding": "utf8"}},
        }
    )
    process.crawl(Documentation)
    process.start()
