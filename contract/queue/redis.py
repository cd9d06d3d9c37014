"""The queue on Redis: messages through Celery, hints by scripts that Redis runs as one."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from contract.errors import RedisUnreachable
from contract.format.job import known
from contract.queue import PREFIX, TASK, WORKER_TTL, Hints, WorkerInfo, queue_name
from contract.queue.app import KEEPALIVE, make_app
from contract.queue.url import public_address, read_url


class RedisQueue:
    """The queue on Redis, seen from a producer, a sweeper or a worker."""

    def __init__(self, redis_url: str) -> None:
        url = read_url(redis_url)
        self.address = public_address(redis_url)
        self._app = make_app(redis_url, patient=False)
        local = url.client.startswith("unix:")
        self._redis = redis.Redis.from_url(
            url.client,
            decode_responses=True,
            encoding_errors="replace",  # what others put there is passed over, not stumbled on
            socket_timeout=10,
            socket_connect_timeout=5,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
            **({} if local else {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}),
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
                age = now - data["seen"]
                worker = replace(WorkerInfo(**known(WorkerInfo, data)), age_seconds=max(0.0, age))
                silent = age > WORKER_TTL
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
