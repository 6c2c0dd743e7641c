"""A run's figures for Prometheus: an endpoint while it lasts, and a textfile for node_exporter.

Nothing is counted for them: a scrape reads the snapshot that the display reads, and the counters that the frontier
keeps of the whole run, as of its last commit. Names follow OpenTelemetry's conventions in the form that Prometheus
gives them (``http.client.active_requests``); what they have no word for begins with ``crawler_``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from crawler.engine.snapshot import Snapshot
from crawler.model.errors import UsageError
from crawler.model.reasons import Outcome, Reason
from crawler.model.settings import Metrics
from crawler.run.start import RunInfo
from crawler.run.values import listen_address

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

log = logging.getLogger("crawler.metrics")

_LIMITS: Final = ("network", "rate", "politeness", "cpu", "disk", "seeds", "idle")
_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")


@dataclass(frozen=True, slots=True)
class Ended:
    """``at``: Unix seconds."""

    at: float
    code: int


class Figures:
    """What a scrape sees: a collector of ``prometheus_client``. O(reasons) a scrape, about 1 ms."""

    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self.ended: Ended | None = None

    def collect(self) -> Iterator[Metric]:
        """Every metric of this instant."""
        now = self._info.snapshot()
        yield self._target()
        yield from self._counted(now)
        yield from self._standing(now)
        if self.ended is not None:
            yield self._gauge("crawler_run_end_timestamp_seconds", "When this start ended.", self.ended.at)
            yield self._gauge("crawler_run_exit_code", "With which exit code.", self.ended.code)

    def _counted(self, now: Snapshot) -> Iterator[Metric]:
        """Of the run, over all its starts, as of the last commit."""
        tally = now.tally
        yield self._counter(
            "crawler_urls",
            "URLs that came to an end: records.",
            "crawler_outcome",
            {outcome.value: tally.get(f"outcome.{outcome.value}", 0) for outcome in Outcome},
        )
        reasons = {reason.value: tally.get(f"reason.{reason.value}", 0) for reason in Reason}
        yield self._counter(
            "crawler_urls_missing",
            "URLs without a page, by reason.",
            "error_type",
            {name: number for name, number in reasons.items() if number},
        )
        yield self._counter(
            "crawler_http_responses",
            "Final answers of pages.",
            "http_response_status_class",
            {name: tally.get(f"status.{name}", 0) for name in _CLASSES},
        )
        for name, key, help in (
            ("crawler_http_client_requests", "requests", "Requests sent: pages, robots.txt, sitemaps."),
            ("crawler_http_client_retries", "retries", "URLs put off to be asked again."),
        ):
            yield self._counter(name, help, "", {"": tally.get(key, 0)})
        yield self._counter(
            "crawler_network_io_bytes",
            "Bytes of answers on the wire.",
            "network_io_direction",
            {"receive": tally.get("wire_bytes", 0)},
        )
        yield self._counter(
            "crawler_http_client_connections",
            "Connections opened by this start.",
            "",
            {"": now.connections_opened},
        )

    def _standing(self, now: Snapshot) -> Iterator[Metric]:
        """Of this instant."""
        active = min(now.in_flight, now.open_sockets)
        yield self._gauge("http_client_active_requests", "Requests in flight.", now.in_flight)
        yield self._gauges(
            "http_client_open_connections",
            "Connections open.",
            "http_connection_state",
            {"active": active, "idle": now.open_sockets - active},
        )
        yield self._gauges(
            "crawler_hosts",
            "Hosts in hand.",
            "crawler_host_state",
            {"asked": now.hosts_active, "waiting": now.hosts_waiting},
        )
        yield self._gauges(
            "crawler_limited_by",
            "1 for what holds the crawl now.",
            "crawler_limit",
            {name: int(name == now.limited_by) for name in _LIMITS},
        )
        for name, help, value in (
            ("crawler_urls_pending", "URLs known and not at their end.", now.pending),
            ("crawler_workers", "Requests that may be in flight.", now.workers),
            ("crawler_run_elapsed_seconds", "Since this start began.", round(now.elapsed, 3)),
            ("crawler_run_stopping", "1 while it lets what is in flight come home.", int(now.stopping)),
        ):
            yield self._gauge(name, help, value)

    def _target(self) -> Metric:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(
            "target_info",
            "What is measured.",
            labels=("crawler_job", "service_name", "service_version", "service_instance_id"),
        )
        family.add_metric((self._info.job, "crawler", version("crawler"), self._info.run_id), 1)
        return family

    def _counter(self, name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        return self._filled(CounterMetricFamily(name, help, labels=self._labels(label)), label, values)

    def _gauges(self, name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
        from prometheus_client.core import GaugeMetricFamily

        return self._filled(GaugeMetricFamily(name, help, labels=self._labels(label)), label, values)

    def _gauge(self, name: str, help: str, value: float) -> Metric:
        return self._gauges(name, help, "", {"": value})

    def _labels(self, label: str) -> tuple[str, ...]:
        return ("crawler_job", label) if label else ("crawler_job",)

    def _filled(self, family: Any, label: str, values: Mapping[str, float]) -> Metric:
        for value_of_label, number in values.items():
            family.add_metric((self._info.job, value_of_label) if label else (self._info.job,), number)
        return family  # type: ignore[no-any-return]


class Exposition:
    """The endpoint and the textfile of one start. Neither ever ends a crawl: what fails is a warning."""

    def __init__(self, settings: Metrics) -> None:
        """Raises :class:`UsageError` where the extra is missing."""
        self._settings = settings
        self._closing: list[Callable[[], None]] = []
        self._over = threading.Event()
        self._figures: Figures | None = None
        self._failed = False
        if settings.listen is not None or settings.textfile is not None:
            try:
                import prometheus_client  # noqa: F401
            except ImportError as error:
                raise UsageError(
                    "[metrics]: prometheus-client is not installed: pip install 'crawler[metrics]'"
                ) from error

    def start(self, info: RunInfo) -> None:
        """Serve and write from now on."""
        if self._settings.listen is None and self._settings.textfile is None:
            return
        self._figures = Figures(info)
        if self._settings.listen is not None:
            self._listen(self._settings.listen, self._registry(self._figures, process=True))
        if self._settings.textfile is not None:
            # node_exporter has metrics of its own process by the same names, and would refuse the file.
            self._write_now_and_then(
                self._settings.textfile.replace("{job}", info.job),
                self._registry(self._figures, process=False),
            )

    def close(self, code: int | None = None) -> None:
        """The textfile a last time, with the exit code, where the start has one; the endpoint closes. Idempotent."""
        if self._figures is not None and code is not None:
            self._figures.ended = Ended(round(time.time(), 3), code)
        self._over.set()
        while self._closing:
            self._closing.pop()()

    def _registry(self, figures: Figures, *, process: bool) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry, ProcessCollector

        registry = CollectorRegistry()
        registry.register(figures)
        if process:
            ProcessCollector(registry=registry)
        return registry

    def _listen(self, address: str, registry: CollectorRegistry) -> None:
        from prometheus_client import start_http_server

        host, port = listen_address(address)
        try:
            server, thread = start_http_server(port, host, registry)
        except OSError as error:
            log.warning(f"[metrics] listen {address}: {error.strerror or error}; the crawl goes on without")
            return

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self._closing.append(close)

    def _write_now_and_then(self, path: str, registry: CollectorRegistry) -> None:
        def beat() -> None:
            self._write(path, registry)
            while not self._over.wait(self._settings.every):
                self._write(path, registry)

        thread = threading.Thread(target=beat, name="metrics", daemon=True)
        thread.start()

        def close() -> None:
            thread.join()
            self._write(path, registry)

        self._closing.append(close)

    def _write(self, path: str, registry: CollectorRegistry) -> None:
        from prometheus_client import write_to_textfile

        try:
            # To a file beside it, then renamed: node_exporter never sees half of one.
            write_to_textfile(path, registry)
        except OSError as error:
            if not self._failed:
                log.warning(
                    f"[metrics] textfile {path}: {error.strerror or error}; the crawl goes on without"
                )
            self._failed = True
