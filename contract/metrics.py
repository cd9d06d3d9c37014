"""Metrics of the long-running commands, each served to Prometheus on a port of its own.

Covers serving and the sweeper's metrics; a worker's are in `worker.metrics`.
"""

from __future__ import annotations

import logging
import socket

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, start_http_server

from contract.ledger.sweeper import Round

log = logging.getLogger("bulkqa.metrics")

#: Why a round could not bring a job forward.
_FAILURES = ("storage", "redis", "job")


def serve(registry: CollectorRegistry, host: str, port: int) -> socket.socket | None:
    """Serve these metrics from a thread. Returns the listening socket, or None if the address cannot be used: that is
    logged, and the work goes on without metrics."""
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        log.error("metrics are not served at %s:%d: %s", host, port, error)  # noqa: TRY400 - the message says it all
        return None
    log.info("metrics at http://%s:%d/metrics", host, server.server_port)
    return server.socket


class SweeperMetrics:
    """The metrics of a sweeper."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.round_seconds = Summary(
            "bulkqa_sweeper_round_seconds", "Rounds over all open jobs, and how long each took", registry=own
        )
        self.last_round = Gauge(
            "bulkqa_sweeper_last_round_timestamp_seconds", "When the last round ended", registry=own
        )
        self.open_jobs = Gauge("bulkqa_sweeper_open_jobs", "Jobs that had not ended in the last round", registry=own)
        self.sent = Counter(
            "bulkqa_sweeper_chunks_sent", "Chunk messages sent, for the first time or again", registry=own
        )
        self.given_up = Counter(
            "bulkqa_sweeper_chunks_given_up", "Chunks given up after too many attempts", registry=own
        )
        self.published = Counter("bulkqa_sweeper_jobs_published", "Jobs whose outputs it assembled", registry=own)
        self.failures = Counter("bulkqa_sweeper_failures", "Failures to advance a job", ("what",), registry=own)
        for what in _FAILURES:
            self.failures.labels(what)  # exported from the start, as 0
        self.deliveries = Counter(
            "bulkqa_notifications", "Attempts to deliver a job's notification", ("outcome",), registry=own
        )
        for outcome in ("delivered", "failed"):
            self.deliveries.labels(outcome)

    def count_round(self, this: Round) -> None:
        """Count a round."""
        self.round_seconds.observe(this.seconds)
        self.last_round.set_to_current_time()
        self.open_jobs.set(this.jobs)
        self.sent.inc(this.sent)
        self.given_up.inc(this.given_up)
        self.published.inc(this.published)
        for what, count in this.failures.items():
            self.failures.labels(what).inc(count)

    def count_delivery(self, *, delivered: bool) -> None:
        """Count an attempt to deliver a notification."""
        self.deliveries.labels("delivered" if delivered else "failed").inc()
