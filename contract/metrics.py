"""What long-running commands tell Prometheus, each at an address of its own, where a port is given for it.

Imported only then. Here is what is served how, and what the sweeper counts; a worker's own are in `worker.metrics`.
"""

from __future__ import annotations

import logging
import socket

from contract.errors import MissingExtra
from contract.ledger.sweeper import Round

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, start_http_server
except ModuleNotFoundError as missing:
    raise MissingExtra("--metrics-port", str(missing.name), "metrics") from missing

log = logging.getLogger("bulkqa.metrics")

#: What keeps a round from bringing a job forward.
_FAILURES = ("storage", "redis", "job")


def serve(registry: CollectorRegistry, host: str, port: int) -> socket.socket | None:
    """Serve these metrics from a thread; the socket that listens. None, and a word in the log, where it cannot: work
    goes on without."""
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        log.error("metrics are not served at %s:%d: %s", host, port, error)  # noqa: TRY400 - the message says it all
        return None
    log.info("metrics at http://%s:%d/metrics", host, server.server_port)
    return server.socket


class Sweeping:
    """What a sweeper counts."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.round_seconds = Summary(
            "bulkqa_sweeper_round_seconds", "Rounds over all open jobs, and their seconds", registry=own
        )
        self.last_round = Gauge(
            "bulkqa_sweeper_last_round_timestamp_seconds", "When the last round ended", registry=own
        )
        self.open_jobs = Gauge("bulkqa_sweeper_open_jobs", "Jobs that had not ended at the last round", registry=own)
        self.sent = Counter(
            "bulkqa_sweeper_chunks_sent", "Messages of chunks that were sent, first or again", registry=own
        )
        self.given_up = Counter(
            "bulkqa_sweeper_chunks_given_up", "Chunks given up after too many attempts", registry=own
        )
        self.published = Counter("bulkqa_sweeper_jobs_published", "Jobs whose outputs it put together", registry=own)
        self.failures = Counter(
            "bulkqa_sweeper_failures", "What kept it from bringing a job forward", ("what",), registry=own
        )
        for what in _FAILURES:
            self.failures.labels(what)  # 0 is said too
        self.told = Counter("bulkqa_notifications", "Attempts to tell that a job has ended", ("outcome",), registry=own)
        for outcome in ("delivered", "failed"):
            self.told.labels(outcome)

    def round(self, this: Round) -> None:
        """Count a round."""
        self.round_seconds.observe(this.seconds)
        self.last_round.set_to_current_time()
        self.open_jobs.set(this.jobs)
        self.sent.inc(this.sent)
        self.given_up.inc(this.given_up)
        self.published.inc(this.published)
        for what, count in this.failures.items():
            self.failures.labels(what).inc(count)

    def notification(self, *, delivered: bool) -> None:
        """Count an attempt to tell somebody."""
        self.told.labels("delivered" if delivered else "failed").inc()
