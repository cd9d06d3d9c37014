"""Posts what is owed, round after round, beside the sweeper: whoever is slow to listen holds up nothing but this.

Signed as Standard Webhooks (https://www.standardwebhooks.com). Several may run: then one event may come twice, with one
id.
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
    raise MissingExtra("telling of jobs that end", str(missing.name), "notify") from missing

log = logging.getLogger("bulkqa.notifications")
logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, which may be secrets

#: Seconds for an attempt, from the lookup of the name to the first line of the answer; and attempts at a time.
_SECONDS = 10.0
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Due:
    """An event that is to be posted now."""

    job: str
    url: str
    body: str
    number: int  #: of the attempt


@dataclass
class Sender:
    """Tells of jobs that have ended. `clock` gives seconds since 1970. Raises UsageError for a secret that is none."""

    storage: Storage
    settings: Settings
    clock: Callable[[], float] = time.time
    told: Callable[[record.Attempt], None] = lambda _: None  #: is told of each attempt
    _later: dict[str, float] = field(default_factory=dict)  #: when what waits is looked at again
    _tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def __post_init__(self) -> None:
        secret = self.settings.webhook_secret.get_secret_value()
        try:
            self._webhook = Webhook(secret) if secret else None
        except Exception as error:  # a class of its own, of ValueError or of RuntimeError: the secret is none
            raise UsageError(
                "BULKQA_WEBHOOK_SECRET is no secret of Standard Webhooks",
                'Make one: echo "whsec_$(openssl rand -base64 32)"',
            ) from error

    def run(self, stopped: threading.Event) -> None:
        """Round after round, until it is stopped."""
        while not stopped.is_set():
            try:
                self.round()
            except Unreachable as error:
                log.warning("notifications wait: %s", error)
            except Exception:  # the next round may do better, and the sweeper needs none of this
                log.exception("notifications wait")
            stopped.wait(self.settings.sweep_interval)

    def round(self) -> None:
        """Post all that is due."""
        names = record.owed(self.storage)
        self._later = {job: at for job, at in self._later.items() if job in set(names)}
        due = [one for job in names if self._later.get(job, 0.0) <= self.clock() and (one := self._due(job))]
        if due:
            asyncio.run(self._post_all(due))

    def _due(self, job: str) -> _Due | None:
        """What is to be posted of a job now, if anything. What is not owed any more is forgotten."""
        try:
            found = record.of(self.storage, job)
        except UnknownJob:  # not there yet: a submission under way. Or no more
            records.forget_stray(self.storage, layout.owed(job), self.clock())
            return None
        except Unreachable:
            raise
        except (BulkqaError, ValueError, KeyError, TypeError, OSError) as error:  # damaged, or just removed
            log.warning("job %s cannot be told of: %s", job, error)
            self._later[job] = self.clock() + record.PAUSES[-1]
            return None
        if found.state in ("none", "delivered", "given_up"):
            if found.state == "given_up":
                log.error("job %s: nobody could be told that it has ended: %s", job, found.attempts[-1].problem)
            self.storage.delete(layout.owed(job))
            return None
        report = records.report(self.storage, job)
        if report is None:
            return None
        if found.next_at is not None and found.next_at > self.clock():
            self._later[job] = found.next_at
            return None
        event = record.event_of(report, datetime.fromtimestamp(report.finished_at or 0.0, UTC).isoformat())
        return _Due(job, found.url, json.dumps(event), len(found.attempts) + 1)

    async def _post_all(self, due: list[_Due]) -> None:
        turns = asyncio.Semaphore(_AT_ONCE)
        async with httpx.AsyncClient(
            verify=self._tls, timeout=_SECONDS, follow_redirects=False, trust_env=False
        ) as client:
            await asyncio.gather(*(self._tell(client, turns, one) for one in due))

    async def _tell(self, client: httpx.AsyncClient, turns: asyncio.Semaphore, due: _Due) -> None:
        async with turns:
            at, began = self.clock(), time.monotonic()
            status, problem = await self._attempt(client, due)
            made = record.Attempt(due.number, at, round(time.monotonic() - began, 3), status, problem)
        self.told(made)
        if problem:
            log.warning("job %s: attempt %d to tell that it has ended: %s", due.job, due.number, problem)
        try:
            await asyncio.to_thread(self._kept, due.job, made)
        except BulkqaError as error:  # it is told again, then
            log.warning("job %s was told of, and that cannot be noted: %s", due.job, error.message)

    def _kept(self, job: str, made: record.Attempt) -> None:
        record.keep(self.storage, job, made)
        if made.delivered:
            self.storage.delete(layout.owed(job))

    async def _attempt(self, client: httpx.AsyncClient, due: _Due) -> tuple[int | None, str]:
        """The status of the answer, and what is wrong, if anything."""
        if self._webhook is None:
            return None, "BULKQA_WEBHOOK_SECRET is not set where the sweeper runs: nothing is sent unsigned"
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
        """The status of the answer, whose body is not read."""
        parts, address = await resolved(due.url, private=self.settings.notify_private)
        moment = datetime.fromtimestamp(int(self.clock()), UTC)
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": f"bulkqa/{version('bulkqa')}",
            "webhook-id": record.id_of(due.job),
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": webhook.sign(record.id_of(due.job), moment, due.body),
        }
        url = httpx.URL(due.url).copy_with(host=address, fragment=None)
        about_tls = {"sni_hostname": parts.hostname}
        async with client.stream("POST", url, content=due.body, headers=headers, extensions=about_tls) as answer:
            return answer.status_code
