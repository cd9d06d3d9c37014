"""Posts pending events, round after round, in a thread beside the sweeper, which slow receivers do not hold up.

Events are signed as Standard Webhooks (https://www.standardwebhooks.com). If several senders run, an event may be
delivered twice, with the same id.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from contract.errors import BulkqaError, MissingExtra, UnknownJob, Unreachable, UsageError
from contract.format import layout
from contract.ledger import records
from contract.notifications import record
from contract.notifications.address import NotAllowedError, resolved
from contract.settings import Settings
from contract.storage import Storage

try:
    import httpx
    from standardwebhooks import Webhook
except ModuleNotFoundError as missing:
    raise MissingExtra("posting to webhooks", str(missing.name), "notify") from missing

log = logging.getLogger("bulkqa.notifications")
logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, which may hold secrets

#: Seconds for an attempt, from the lookup of the name to the status line; and concurrent attempts.
_SECONDS = 10.0
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Due:
    """An event that is due."""

    job: str
    url: str
    body: str
    attempt: int  #: its number


@dataclass
class Sender:
    """Posts the events of jobs that have ended. `clock` gives seconds since 1970. Raises UsageError for an invalid
    secret.
    """

    storage: Storage
    settings: Settings
    clock: Callable[[], float] = time.time
    on_attempt: Callable[[record.Attempt], None] = lambda _: None  #: called after each attempt
    _later: dict[str, float] = field(default_factory=dict)  #: when a waiting job is looked at again
    _tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def __post_init__(self) -> None:
        secret = self.settings.webhook_secret.get_secret_value()
        try:
            self._webhook = Webhook(secret) if secret else None
        except Exception as error:  # the library has no base class for its errors
            raise UsageError(
                "BULKQA_WEBHOOK_SECRET is not a secret of Standard Webhooks",
                'Make one: echo "whsec_$(openssl rand -base64 32)"',
            ) from error

    def run(self, stopped: threading.Event) -> None:
        """Post round after round, until stopped."""
        while not stopped.is_set():
            try:
                self.round()
            except Unreachable as error:
                log.warning("notifications wait: %s", error)
            except Exception:  # the next round may succeed, and the sweeper does not depend on it
                log.exception("notifications wait")
            stopped.wait(self.settings.sweep_interval)

    def round(self) -> None:
        """Post all events that are due."""
        names = record.owed(self.storage)
        self._later = {job: at for job, at in self._later.items() if job in set(names)}
        events = [due for job in names if self._later.get(job, 0.0) <= self.clock() and (due := self._due(job))]
        if events:
            asyncio.run(self._post_all(events))

    def _due(self, job: str) -> _Due | None:
        """The event of a job, if it is due. A job that is done with leaves the pending ones."""
        try:
            notification = record.of(self.storage, job)
        except UnknownJob:  # a submission under way, or a job that was removed
            records.forget_stray(self.storage, layout.owed(job), self.clock())
            return None
        except Unreachable:
            raise
        except (BulkqaError, ValueError, OSError) as error:  # damaged, or just removed
            log.warning("job %s: its notification cannot be read: %s", job, error)
            self._later[job] = self.clock() + record.PAUSES[-1]
            return None
        if notification.state in ("none", "delivered", "given_up"):
            if notification.state == "given_up":
                log.error("job %s: notification given up: %s", job, notification.attempts[-1].problem)
            self.storage.delete(layout.owed(job))
            return None
        report = records.report(self.storage, job)
        if report is None:
            return None
        if notification.next_at is not None and notification.next_at > self.clock():
            self._later[job] = notification.next_at
            return None
        event = record.event_of(report, datetime.fromtimestamp(report.finished_at or 0.0, UTC).isoformat())
        return _Due(job, notification.url, json.dumps(event), len(notification.attempts) + 1)

    async def _post_all(self, events: list[_Due]) -> None:
        slots = asyncio.Semaphore(_AT_ONCE)
        async with httpx.AsyncClient(
            verify=self._tls, timeout=_SECONDS, follow_redirects=False, trust_env=False
        ) as client:
            await asyncio.gather(*(self._deliver(client, slots, due) for due in events))

    async def _deliver(self, client: httpx.AsyncClient, slots: asyncio.Semaphore, due: _Due) -> None:
        async with slots:
            at, began = self.clock(), time.monotonic()
            status, problem = await self._try(client, due)
            attempt = record.Attempt(due.attempt, at, round(time.monotonic() - began, 3), status, problem)
        self.on_attempt(attempt)
        if problem:
            log.warning("job %s: notification attempt %d: %s", due.job, due.attempt, problem)
        try:
            await asyncio.to_thread(self._save, due.job, attempt)
        except BulkqaError as error:  # then it is repeated
            log.warning("job %s: notification attempt %d cannot be recorded: %s", due.job, due.attempt, error.message)

    def _save(self, job: str, attempt: record.Attempt) -> None:
        record.save(self.storage, job, attempt)
        if attempt.delivered:
            self.storage.delete(layout.owed(job))

    async def _try(self, client: httpx.AsyncClient, due: _Due) -> tuple[int | None, str]:
        """The status of the response, and the problem, if any."""
        if self._webhook is None:
            return None, "BULKQA_WEBHOOK_SECRET is not set for the sweeper, and unsigned events are never sent"
        try:
            async with asyncio.timeout(_SECONDS):
                status = await self._post(client, due, self._webhook)
        except TimeoutError:
            return None, f"no answer within {_SECONDS:g} s"
        except NotAllowedError as error:
            return None, str(error)
        except (httpx.HTTPError, OSError, ValueError) as error:
            return None, f"no answer: {error or type(error).__name__}"
        if 200 <= status < 300:
            return status, ""
        return status, f"answered {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")

    async def _post(self, client: httpx.AsyncClient, due: _Due, webhook: Webhook) -> int:
        """The status of the response, whose body is not read."""
        parts, address = await resolved(due.url, private=self.settings.notify_private)
        moment = datetime.fromtimestamp(int(self.clock()), UTC)
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": f"bulkqa/{version('bulkqa')}",
            "webhook-id": record.event_id(due.job),
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": webhook.sign(record.event_id(due.job), moment, due.body),
        }
        url = httpx.URL(due.url).copy_with(host=address, fragment=None)
        tls = {"sni_hostname": parts.hostname}
        async with client.stream("POST", url, content=due.body, headers=headers, extensions=tls) as response:
            return response.status_code
