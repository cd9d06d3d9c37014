"""The queue on Redis: messages through Celery, hints by scripts that Redis runs as one."""

from __future__ import annotations

import json
import logging
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from contract.errors import RedisUnreachable
from contract.format.job import known
from contract.queue import LONGEST_LEASE, TASK, WORKER_TTL, Hints, WorkerInfo, prefix, queue_name
from contract.queue.app import KEEPALIVE, make_app
from contract.queue.bounded import BOUNDED, TooLarge
from contract.queue.heal import Dropped, Healer, is_wrong_type
from contract.queue.url import public_address, read_url

log = logging.getLogger("bulkqa.queue")


class RedisQueue:
    """The queue on Redis, seen from a producer, a sweeper or a worker.

    What others left under its keys, of another type or longer than ours, is removed and made again: all are hints.
    """

    def __init__(self, redis_url: str, namespace: str) -> None:
        """Raises UsageError if that is no address of a Redis."""
        url = read_url(redis_url)
        self.address = public_address(redis_url)
        self._prefix = prefix(namespace)
        self._app = make_app(redis_url, namespace, patient=False)
        local = url.client.startswith("unix:")
        self._redis = redis.Redis.from_url(
            url.client,
            decode_responses=True,
            encoding_errors="replace",  # what others put there is passed over, not stumbled on
            socket_timeout=10,
            socket_connect_timeout=5,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
            **({} if local else {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}),
            **BOUNDED,
            **url.tls,
        )
        self._healer = Healer(self._redis)
        self._dropped = Dropped(log)
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
        name = queue_name(model, digest)
        keys = _Keys(zsets=(self._key("sent", job),), lists=(self._prefix + name,))
        # Noted before it is sent: a death in between costs a wait, the other order an untracked message.
        if chunks:
            self._ask(lambda: self._note(keys=[*keys.zsets], args=[_KEEP, *chunks]), keys)
        for chunk in chunks:
            self._ask(partial(self._send, name, job, chunk), keys)

    def _send(self, name: str, job: str, chunk: int) -> None:
        # Nothing is declared: the queue is a list, and who sends needs no table of exchanges.
        self._app.send_task(TASK, args=[job, chunk], queue=name, retry=False, declare=[])

    def hints(self, model: str, job: str, digest: str = "") -> Hints:
        zsets = tuple(self._key(kind, job) for kind in ("sent", "lease", "since"))
        lists = tuple(self._prefix + queue_name(model, which) for which in ("", digest or "none"))

        def ask() -> list[Any]:
            pipe = self._redis.pipeline(transaction=True)
            pipe.time()
            for key in zsets:
                pipe.zrange(key, 0, -1, withscores=True)
            for key in lists:
                pipe.llen(key)
            return pipe.execute()

        (seconds, micros), sent, until, since, *waiting = self._ask(ask, _Keys(zsets=zsets, lists=lists))
        now = seconds + micros / 1e6
        taken = dict(since)
        return Hints(
            now=now,
            sent={int(chunk): when for chunk, when in sent if _CHUNK.fullmatch(chunk)},
            leases={
                int(chunk): end
                for chunk, end in until
                if _CHUNK.fullmatch(chunk) and (begin := taken.get(chunk, now + 1)) <= now
                and end - begin <= LONGEST_LEASE
            },
            waiting=sum(waiting),
        )  # fmt: skip

    def lease(self, job: str, chunk: int, owner: str, seconds: float) -> bool:
        keys = self._of_lease(job)
        args: list[str | float] = [chunk, owner, min(seconds, LONGEST_LEASE), _KEEP, LONGEST_LEASE]
        return bool(self._ask(lambda: self._lease(keys=keys.in_order(), args=args), keys))

    def release(self, job: str, chunk: int, owner: str) -> None:
        keys = self._of_lease(job)
        self._ask(lambda: self._end(keys=keys.in_order(), args=[chunk, owner]), keys)

    def finish(self, job: str, chunk: int, owner: str) -> None:
        keys = self._of_lease(job, "sent")
        self._ask(lambda: self._end(keys=keys.in_order(), args=[chunk, owner]), keys)

    def claim(self, job: str, chunks: int, window: int) -> int | None:
        keys = _Keys(strings=(self._key("next", job),), zsets=(self._key("sent", job),))
        args = [chunks, window, _KEEP]
        number = int(self._ask(lambda: self._claim(keys=[*keys.strings, *keys.zsets], args=args), keys))
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
        def ask() -> None:
            value = json.dumps(asdict(worker) | {"seen": self._now()})
            self._redis.hset(self._workers, worker.name, value)

        self._ask(ask, _Keys(hashes=(self._workers,)))

    def leave(self, name: str) -> None:
        self._ask(lambda: self._redis.hdel(self._workers, name), _Keys(hashes=(self._workers,)))

    def workers(self) -> list[WorkerInfo]:
        def ask() -> Any:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(self._workers)
            pipe.time()
            return pipe.execute()

        entries, (seconds, micros) = self._ask(ask, _Keys(hashes=(self._workers,)))
        now = seconds + micros / 1e6
        found = {name: _worker(name, value, now) for name, value in sorted(entries.items())}
        silent = [name for name, worker in found.items() if worker is None]
        if silent:
            with self._translated():
                self._redis.hdel(self._workers, *silent)
        return [worker for worker in found.values() if worker]

    def elsewhere(self, model: str) -> int:
        found = 0
        with self._translated(), suppress(redis.exceptions.NoPermissionError):  # then nobody can say
            cursor, now = 0, self._now()
            for _ in range(_LOOKS):
                cursor, keys = self._redis.scan(cursor, match=prefix("*") + "workers", count=1000)
                for key in set(keys) - {self._workers}:
                    with suppress(redis.ResponseError, TooLarge):  # a key of another type: none of ours
                        entries = self._redis.hgetall(key)
                        workers = (_worker(str(name), str(value), now) for name, value in entries.items())
                        found += sum(worker is not None and worker.model == model for worker in workers)
                if not cursor:
                    break
        return found

    def touch(self, tag: str) -> None:
        """Tell the transport that the message `tag` is still being worked on: it is redelivered
        VISIBILITY_TIMEOUT after the last touch, not after its delivery."""
        key = f"{self._prefix}unacked_index"
        self._ask(lambda: self._redis.zadd(key, {tag: self._now()}, xx=True), _Keys(zsets=(key,)))

    def _now(self) -> float:
        seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6

    @property
    def _workers(self) -> str:
        return f"{self._prefix}workers"

    def _key(self, kind: str, job: str) -> str:
        return f"{self._prefix}{kind}:{job}"

    def _of_lease(self, job: str, *more: str) -> _Keys:
        zsets = tuple(self._key(kind, job) for kind in ("lease", "since", *more))
        return _Keys(zsets=zsets, hashes=(self._key("owner", job),))

    def _ask(self, call: Callable[[], Any], keys: _Keys) -> Any:
        """The answer of Redis; where the keys hold what is none of ours, that is removed and Redis is asked again."""
        from kombu.exceptions import OperationalError

        with self._translated():
            try:
                return call()
            except TooLarge as error:
                self._dropped.say(str(error))
                self._redis.delete(*keys.all())
            except (redis.ResponseError, OperationalError) as error:
                if not is_wrong_type(error):
                    raise
                self._dropped.say("a key of another type")
                self._healer.heal(**keys._asdict())
            return call()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from kombu.exceptions import OperationalError

        try:
            yield
        except (redis.RedisError, OperationalError, OSError) as error:
            raise RedisUnreachable(
                f"Redis at {self.address} cannot be used: {_reason(error)}", _remedy(error)
            ) from error


class _Keys(NamedTuple):
    """Keys that a call reads, by their type."""

    zsets: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        return self.zsets + self.hashes + self.lists + self.strings

    def in_order(self) -> list[str]:
        """Those of a lease as the scripts take them: until when, since when, whose; and what was sent, if that is
        asked for."""
        until, since, *more = self.zsets
        return [until, *self.hashes, since, *more]


def _worker(name: str, value: str, now: float) -> WorkerInfo | None:
    """What a worker said of itself, None if none of ours did or it was silent for long."""
    try:
        data = json.loads(value)
        age = now - data["seen"]
        worker = WorkerInfo(**known(WorkerInfo, data) | {"age_seconds": max(0.0, float(age))})
        lively = -_AHEAD <= age <= WORKER_TTL
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    texts = [value for value in asdict(worker).values() if isinstance(value, str)]
    right = all(len(text) < 300 and text.isprintable() for text in texts)
    return worker if lively and right and worker.name == name else None


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
#: A thousand keys each: on a Redis full of others' keys not all are looked at.
_LOOKS = 20
#: A worker may have been heard of this many seconds after now: the clock of Redis is set back at times.
_AHEAD = 5.0

_CLAIM = """
local number = redis.call('GET', KEYS[1])
number = tonumber(number)
if not number or number < 0 or number ~= math.floor(number) then return -2 end
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
until_ = tonumber(until_ or 0)
local believed = since <= now and until_ > now and until_ <= since + ARGV[5]
if believed and owner and owner ~= ARGV[2] then return 0 end
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
