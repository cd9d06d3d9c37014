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
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

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

#: Seconds for an attempt, from the lookup of the name to the status line.
_SECONDS = 10.0
#: Concurrent attempts, and those at one host: a host that says nothing does not hold up others.
_AT_ONCE, _PER_HOST = 64, 4


@dataclass(frozen=True, slots=True)
class _Due:
    """An event that is due."""

    job: str
    url: str
    body: str
    attempt: int  #: its number


class _Slots:
    """Concurrent attempts: a bounded number in all, and a share of them for each host."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(_AT_ONCE)
        self._hosts = WeakValueDictionary[str, asyncio.Semaphore]()  # of hosts with attempts that run or wait

    @asynccontextmanager
    async def slot(self, url: str) -> AsyncIterator[None]:
        """Wait until an attempt at this URL may begin. Those at a busy host wait beside the others, not before them."""
        host = (urlsplit(url).hostname or "").rstrip(".")
        of_host = self._hosts.get(host)
        if of_host is None:
            of_host = self._hosts[host] = asyncio.Semaphore(_PER_HOST)
        async with of_host, self._all:
            yield


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
        secrets = self.settings.webhook_secret.get_secret_value().split(",")
        try:
            self._webhooks = [Webhook(secret.strip()) for secret in secrets if secret.strip()]
        except Exception as error:  # the library has no base class for its errors
            raise UsageError(
                "BULKQA_WEBHOOK_SECRET is not a secret of Standard Webhooks",
                'Make one: echo "whsec_$(openssl rand -base64 32)"',
            ) from error

    def run(self, stopped: threading.Event) -> None:
        """Post round after round, until stopped. A round does not wait for the attempts of earlier ones."""
        asyncio.run(self._rounds(stopped))

    async def _rounds(self, stopped: threading.Event) -> None:
        _use_threads()
        under_way: dict[str, asyncio.Task[None]] = {}
        slots = _Slots()
        async with self._client() as client:
            while not stopped.is_set():
                try:
                    for due in await asyncio.to_thread(self._all_due, set(under_way)):
                        under_way[due.job] = task = asyncio.create_task(self._deliver(client, slots, due, stopped))
                        task.add_done_callback(partial(_forget, under_way, due.job))
                except Unreachable as error:
                    log.warning("notifications wait: %s", error)
                except Exception:  # the next round may succeed, and the sweeper does not depend on it
                    log.exception("notifications wait")
                await asyncio.to_thread(stopped.wait, self.settings.sweep_interval)
            await asyncio.gather(*under_way.values(), return_exceptions=True)

    def round(self) -> None:
        """Post all events that are due, and wait for the attempts."""
        if events := self._all_due(()):
            asyncio.run(self._post_all(events))

    async def _post_all(self, events: list[_Due]) -> None:
        _use_threads()
        slots, never = _Slots(), threading.Event()
        async with self._client() as client:
            await asyncio.gather(*(self._deliver(client, slots, due, never) for due in events))

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(verify=self._tls, timeout=_SECONDS, follow_redirects=False, trust_env=False)

    def _all_due(self, under_way: Collection[str]) -> list[_Due]:
        """The events that are due, except those of jobs whose attempt is under way."""
        names = dict.fromkeys(record.owed(self.storage))
        self._later = {job: at for job, at in self._later.items() if job in names}
        waiting = [job for job in names if job not in under_way and self._later.get(job, 0.0) <= self.clock()]
        return [due for job in waiting if (due := self._due(job))]

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

    async def _deliver(self, client: httpx.AsyncClient, slots: _Slots, due: _Due, stopped: threading.Event) -> None:
        async with slots.slot(due.url):
            if stopped.is_set():
                return
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
        if not self._webhooks:
            return None, "BULKQA_WEBHOOK_SECRET is not set for the sweeper, and unsigned events are never sent"
        try:
            async with asyncio.timeout(_SECONDS):
                status = await self._post(client, due)
        except TimeoutError:
            return None, f"no answer within {_SECONDS:g} s"
        except NotAllowedError as error:
            return None, str(error)
        except (httpx.HTTPError, OSError, ValueError) as error:
            return None, f"no answer: {error or type(error).__name__}"
        if 200 <= status < 300:
            return status, ""
        return status, f"answered {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")

    async def _post(self, client: httpx.AsyncClient, due: _Due) -> int:
        """The status of the response, whose body is not read. The next address of the name is tried where one cannot be
        connected to."""
        parts, addresses = await resolved(due.url, private=self.settings.notify_private)
        moment = datetime.fromtimestamp(int(self.clock()), UTC)
        event = record.event_id(due.job)
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": f"bulkqa/{version('bulkqa')}",
            "webhook-id": event,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(webhook.sign(event, moment, due.body) for webhook in self._webhooks),
        }
        timeout = httpx.Timeout(_SECONDS, connect=_SECONDS / len(addresses))
        request = partial(client.stream, "POST", content=due.body, headers=headers, timeout=timeout,
                          extensions={"sni_hostname": parts.hostname})  # fmt: skip
        problems = []
        for address in addresses:
            try:
                async with request(httpx.URL(due.url).copy_with(host=address, fragment=None)) as response:
                    return response.status_code
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # so nothing has been posted
                problems.append(f"{address}: {error or type(error).__name__}")
        raise httpx.ConnectError("; ".join(problems))


def _forget(under_way: dict[str, asyncio.Task[None]], job: str, _: asyncio.Task[None]) -> None:
    del under_way[job]


def _use_threads() -> None:
    """Give this loop enough threads for name lookups: a lookup continues after its attempt has given up."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * _AT_ONCE, "notify"))
