"""The queue: messages that ask someone to try a chunk, and the hints that spare work. Nothing here is a record.

Celery carries the messages `(job, chunk)`. Beside them Redis holds, for every job, which chunks are on the queue
(`sent`), which are being scored, since when and until when that may be believed (`since`, `lease`), and the next chunk
that was never sent (`next`); and which workers are there. All of it may vanish at any moment:
`contract.ledger.reconcile` makes it anew from storage. MemoryQueue is the twin for tests; one suite runs over both.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol

import redis
from celery import Celery
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from contract.errors import RedisUnreachable
from contract.format.job import known
from contract.queue.url import public_address, read_url

PREFIX = "bulkqa:"
TASK = "bulkqa.score.v1"
#: Redelivery of an unacknowledged message. The same in every process: the shortest in use wins.
VISIBILITY_TIMEOUT = 900
#: A worker that was not heard of for this long is not counted.
WORKER_TTL = 45.0


def queue_name(model: str, digest: str = "") -> str:
    """Workers serve the queue of the model that they hold; the version keeps old programs from new messages.

    They serve that of its digest too, to which messages are forwarded by workers whose model is of another digest than
    the one a job is pinned to. All other messages go to the first, so that its length is what waits for workers.
    """
    return f"v1.{model}:{digest}" if digest else f"v1.{model}"


@dataclass(frozen=True, slots=True)
class Hints:
    """What Redis believes of a job: times are its own clock's, so that hosts need not agree on theirs."""

    now: float
    sent: dict[int, float]  #: chunk -> when its message was put on the queue
    #: chunk -> until when a worker is believed to be at it; without those taken at a time that is yet to come, of which
    #: nothing is known: the clock went back
    leases: dict[int, float]
    waiting: int  #: messages on the queues of the job's model, all jobs together


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    name: str
    model: str
    digest: str
    precision: str
    threads: int
    version: str


class Queue(Protocol):
    """The port through which everything but the Celery edge sees the broker. Raises RedisUnreachable."""

    def ping(self) -> None: ...

    def send(self, model: str, job: str, chunks: list[int], digest: str = "") -> None:
        """Put messages on the queue of the model, or of its digest, and note them as sent."""
        ...

    def hints(self, model: str, job: str, digest: str = "") -> Hints:
        """`digest`: the one that the job is pinned to, if it is."""
        ...

    def lease(self, job: str, chunk: int, owner: str, seconds: float) -> bool:
        """Take or renew the lease of a chunk. False if another owner has it."""
        ...

    def release(self, job: str, chunk: int, owner: str) -> None:
        """Give a lease back unfinished; the chunk's message is on the queue again. One of another owner stays: he took
        over from who was frozen, and thaws."""
        ...

    def finish(self, job: str, chunk: int, owner: str) -> None:
        """A chunk has its part: forget its message, and its lease unless another owner has it."""
        ...

    def claim(self, job: str, chunks: int, window: int) -> int | None:
        """The next chunk that was never sent, noted as sent, if the window has room for it; None if it has not;
        `chunks` itself once all were sent. Raises LookupError where nothing is known of the job."""
        ...

    def restart(self, job: str, next_chunk: int) -> None:
        """Set which chunk `claim` gives next."""
        ...

    def forget(self, job: str) -> None: ...

    def announce(self, worker: WorkerInfo) -> None: ...

    def leave(self, name: str) -> None: ...

    def workers(self) -> list[WorkerInfo]: ...


def make_app(redis_url: str, *, patient: bool = True) -> Celery:
    """The Celery application. Every value that departs from a default has its reason beside it. Raises UsageError."""
    url = read_url(redis_url)
    app = Celery("bulkqa", broker=url.kombu, set_as_current=False)
    app.conf.update(
        broker_url=url.kombu,  # explicit: CELERY_BROKER_URL in the environment would win over the constructor's
        broker_use_ssl=url.tls or False,  # explicit: kombu verifies nothing where rediss:// has no query
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,  # else the message of a killed child is acknowledged, its chunk lost
        task_acks_on_failure_or_timeout=True,  # rejection loops without bound; outcomes are recorded in storage
        worker_prefetch_multiplier=1,  # more would hoard chunks that an idle worker could score
        worker_proc_alive_timeout=120,  # 4 s by default: a new child that loads a model would be killed for ever
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the work is worth more than the connection
        worker_soft_shutdown_timeout=20,
        worker_enable_soft_shutdown_on_idle=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,  # nobody may order our workers about through Redis
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # wait for Redis as long as it takes
        broker_channel_error_retry=True,  # a READONLY or OOM reply would otherwise end the worker
        task_create_missing_queues=True,
        task_default_queue=queue_name("none"),
        broker_transport_options={
            "global_keyprefix": PREFIX,
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,  # the default waits for ever on a half-open link
            "socket_connect_timeout": 10,
            "socket_keepalive": True,
            # A worker waits for messages without a timeout: only this tells it, within a minute, that a connection is
            # dead of which it was not told. The system's default is two hours.
            "socket_keepalive_options": _KEEPALIVE,
            "health_check_interval": 15,
            "max_retries": None if patient else 1,
        },
    )
    return app


class RedisQueue:
    """The queue on Redis, seen from a producer, a sweeper or a worker."""

    def __init__(self, redis_url: str) -> None:
        self.address = public_address(redis_url)
        self._app = make_app(redis_url, patient=False)
        url = read_url(redis_url)
        local = url.client.startswith("unix:")
        self._redis = redis.Redis.from_url(
            url.client,
            decode_responses=True,
            encoding_errors="replace",  # what others put there is passed over, not stumbled on
            socket_timeout=10,
            socket_connect_timeout=5,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
            **({} if local else {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}),
            **url.tls,
        )
        self._claim = self._redis.register_script(_CLAIM)
        self._lease = self._redis.register_script(_LEASE)
        self._end = self._redis.register_script(_END)
        self._note = self._redis.register_script(_NOTE)

    def close(self) -> None:
        self._redis.close()
        self._app.close()

    def ping(self) -> None:
        with self._translated():
            self._redis.ping()

    def send(self, model: str, job: str, chunks: list[int], digest: str = "") -> None:
        with self._translated():
            # Noted before it is sent: a death in between costs a wait, the other order an untracked message.
            if chunks:
                self._note(keys=[self._key("sent", job)], args=[_KEEP, *chunks])
            for chunk in chunks:
                self._app.send_task(TASK, args=[job, chunk], queue=queue_name(model, digest), retry=False)

    def hints(self, model: str, job: str, digest: str = "") -> Hints:
        with self._translated():
            pipe = self._redis.pipeline(transaction=True)
            pipe.time()
            pipe.zrange(self._key("sent", job), 0, -1, withscores=True)
            pipe.zrange(self._key("lease", job), 0, -1, withscores=True)
            pipe.zrange(self._key("since", job), 0, -1, withscores=True)
            pipe.llen(PREFIX + queue_name(model))
            pipe.llen(PREFIX + queue_name(model, digest or "none"))
            (seconds, micros), sent, leases, since, waiting, forwarded = pipe.execute()
        now = seconds + micros / 1e6
        ahead = {chunk for chunk, when in since if when > now}
        return Hints(
            now=now,
            sent={int(chunk): when for chunk, when in sent if _CHUNK.fullmatch(chunk)},
            leases={int(chunk): when for chunk, when in leases if _CHUNK.fullmatch(chunk) and chunk not in ahead},
            waiting=waiting + forwarded,
        )

    def lease(self, job: str, chunk: int, owner: str, seconds: float) -> bool:
        with self._translated():
            keys = [self._key(kind, job) for kind in ("lease", "owner", "since")]
            return bool(self._lease(keys=keys, args=[chunk, owner, seconds, _KEEP]))

    def release(self, job: str, chunk: int, owner: str) -> None:
        with self._translated():
            keys = [self._key(kind, job) for kind in ("lease", "owner", "since")]
            self._end(keys=keys, args=[chunk, owner])

    def finish(self, job: str, chunk: int, owner: str) -> None:
        with self._translated():
            keys = [self._key(kind, job) for kind in ("lease", "owner", "since", "sent")]
            self._end(keys=keys, args=[chunk, owner])

    def claim(self, job: str, chunks: int, window: int) -> int | None:
        with self._translated():
            keys = [self._key("next", job), self._key("sent", job)]
            number = int(self._claim(keys=keys, args=[chunks, window, _KEEP]))
        if number == _UNKNOWN:
            raise LookupError(job)
        return number if number >= 0 else None

    def restart(self, job: str, next_chunk: int) -> None:
        with self._translated():
            self._redis.set(self._key("next", job), next_chunk, ex=_KEEP)

    def forget(self, job: str) -> None:
        with self._translated():
            self._redis.delete(*(self._key(kind, job) for kind in ("sent", "lease", "owner", "since", "next")))

    def announce(self, worker: WorkerInfo) -> None:
        with self._translated():
            value = json.dumps(asdict(worker) | {"seen": self._now()})
            self._redis.hset(f"{PREFIX}workers", worker.name, value)

    def leave(self, name: str) -> None:
        with self._translated():
            self._redis.hdel(f"{PREFIX}workers", name)

    def workers(self) -> list[WorkerInfo]:
        with self._translated():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(f"{PREFIX}workers")
            pipe.time()
            entries, (seconds, micros) = pipe.execute()
            now = seconds + micros / 1e6
        found = []
        for name, value in sorted(entries.items()):
            try:
                data = json.loads(value)
                worker = WorkerInfo(**known(WorkerInfo, data))
                silent = now - data["seen"] > WORKER_TTL
            except (ValueError, KeyError, TypeError, AttributeError):  # none of ours wrote that
                silent = True
            if silent:
                self.leave(str(name))
            else:
                found.append(worker)
        return found

    def touch(self, tag: str) -> None:
        """Tell the transport that the message `tag` is still being worked on: it is redelivered
        VISIBILITY_TIMEOUT after the last touch, not after its delivery."""
        with self._translated():
            self._redis.zadd(f"{PREFIX}unacked_index", {tag: time.time()}, xx=True)

    def _now(self) -> float:
        seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6

    @staticmethod
    def _key(kind: str, job: str) -> str:
        return f"{PREFIX}{kind}:{job}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from kombu.exceptions import OperationalError

        try:
            yield
        except (redis.RedisError, OperationalError, OSError) as error:
            raise RedisUnreachable(
                f"Redis at {self.address} cannot be used: {_reason(error)}", _remedy(error)
            ) from error


class MemoryQueue:
    """The same in this process. Messages wait in `messages[queue]` until somebody pops them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.messages: dict[str, deque[tuple[str, int]]] = {}
        self._clock = clock
        self._sent: dict[str, dict[int, float]] = {}
        self._leases: dict[str, dict[int, tuple[float, float, str]]] = {}  # since, until, owner
        self._next: dict[str, int] = {}
        self._workers: dict[str, tuple[float, WorkerInfo]] = {}
        self._lock = threading.RLock()

    def ping(self) -> None:
        """Always there."""

    def send(self, model: str, job: str, chunks: list[int], digest: str = "") -> None:
        with self._lock:
            for chunk in chunks:
                self._sent.setdefault(job, {})[chunk] = self._clock()
                self.messages.setdefault(queue_name(model, digest), deque()).append((job, chunk))

    def hints(self, model: str, job: str, digest: str = "") -> Hints:
        queues = {queue_name(model), queue_name(model, digest)}
        with self._lock:
            now = self._clock()
            return Hints(
                now=now,
                sent=dict(self._sent.get(job, {})),
                leases={n: until for n, (since, until, _) in self._leases.get(job, {}).items() if since <= now},
                waiting=sum(len(self.messages.get(name, ())) for name in queues),
            )

    def lease(self, job: str, chunk: int, owner: str, seconds: float) -> bool:
        with self._lock:
            now = self._clock()
            since, until, holder = self._leases.get(job, {}).get(chunk, (0.0, 0.0, owner))
            if holder != owner and since <= now < until:
                return False
            self._leases.setdefault(job, {})[chunk] = (now, now + seconds, owner)
            return True

    def release(self, job: str, chunk: int, owner: str) -> None:
        with self._lock:
            leases = self._leases.get(job, {})
            if chunk in leases and leases[chunk][2] == owner:
                del leases[chunk]

    def finish(self, job: str, chunk: int, owner: str) -> None:
        with self._lock:
            self._sent.get(job, {}).pop(chunk, None)
            self.release(job, chunk, owner)

    def claim(self, job: str, chunks: int, window: int) -> int | None:
        with self._lock:
            if job not in self._next:
                raise LookupError(job)
            number = self._next[job]
            if number >= chunks:
                return chunks
            if len(self._sent.get(job, {})) >= window:
                return None
            self._next[job] = number + 1
            self._sent.setdefault(job, {})[number] = self._clock()
            return number

    def restart(self, job: str, next_chunk: int) -> None:
        with self._lock:
            self._next[job] = next_chunk

    def forget(self, job: str) -> None:
        with self._lock:
            for table in (self._sent, self._leases, self._next):
                table.pop(job, None)

    def announce(self, worker: WorkerInfo) -> None:
        self._workers[worker.name] = (self._clock(), worker)

    def leave(self, name: str) -> None:
        self._workers.pop(name, None)

    def workers(self) -> list[WorkerInfo]:
        now = self._clock()
        return [worker for _, (seen, worker) in sorted(self._workers.items()) if now - seen <= WORKER_TTL]

    def wipe(self) -> None:
        """What FLUSHALL does."""
        with self._lock:
            self.__init__(self._clock)  # type: ignore[misc]


def _reason(error: BaseException) -> str:
    """The innermost cause, without an address: the message names it already."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).rstrip(".") or type(error).__name__


def _remedy(error: BaseException) -> str:
    """What to do about a Redis that cannot be used."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, redis.exceptions.NoPermissionError):
            return "Give the user in BULKQA_REDIS_URL the rights that SECURITY.md names."
        if isinstance(cause, redis.AuthenticationError):
            return "Give user and password in BULKQA_REDIS_URL: redis://user:password@host:6379/0"
        if isinstance(cause, ssl.SSLError):
            return (
                "Its certificate must name this host and be signed by an authority that this system trusts, or by the "
                "one in rediss://...?ssl_ca_certs=FILE; redis:// is for a Redis without TLS."
            )
        cause = cause.__cause__ or cause.__context__
    return "Start it, or name another with --redis or BULKQA_REDIS_URL. Jobs lose nothing meanwhile."


_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}

#: How a chunk is spelled, or the assembling of its job. What else stands there is none of ours.
_CHUNK = re.compile(r"-1|\d{1,9}")
#: Hints of a job that nobody touched for this long are dropped by Redis.
_KEEP = 7 * 24 * 3600
_UNKNOWN = -2

_CLAIM = """
local number = redis.call('GET', KEYS[1])
if not number then return -2 end
number = tonumber(number)
if number >= tonumber(ARGV[1]) then return ARGV[1] end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[2]) then return -1 end
local time = redis.call('TIME')
redis.call('SET', KEYS[1], number + 1, 'EX', ARGV[3])
redis.call('ZADD', KEYS[2], time[1] + time[2] / 1e6, number)
return number
"""

_NOTE = """
local time = redis.call('TIME')
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], time[1] + time[2] / 1e6, ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""

_LEASE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local until_ = redis.call('ZSCORE', KEYS[1], ARGV[1])
local owner = redis.call('HGET', KEYS[2], ARGV[1])
local since = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or 0)
if until_ and since <= now and tonumber(until_) > now and owner and owner ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], now, ARGV[1])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[4]) end
return 1
"""

_END = """
if KEYS[4] then redis.call('ZREM', KEYS[4], ARGV[1]) end
local owner = redis.call('HGET', KEYS[2], ARGV[1])
if owner and owner ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
"""
