"""The queue on Redis: messages through Celery, hints by Lua scripts."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from contract.errors import RedisUnreachable
from contract.format import codec
from contract.queue import LONGEST_LEASE, TASK, WORKER_TTL, Asked, Hints, WorkerInfo, message, prefix, queue_name
from contract.queue.bounded import BOUNDED, TooLarge
from contract.queue.heal import Dropped, Healer, is_wrong_type
from contract.queue.scripts import lua
from contract.queue.url import KEEPALIVE, public_address, read_url

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger("bulkqa.queue")

#: The scripts that this module runs.
_SCRIPTS = ("announce", "ask", "claim", "end", "lease", "note", "plan", "touch", "waiting")


class RedisQueue:
    """The queue on Redis, for producers, sweepers and workers.

    Data under its keys that has another type or is too long is removed and rebuilt: all of it is only hints.
    """

    def __init__(self, redis_url: str, namespace: str) -> None:
        """Raises UsageError if the URL is not one of Redis."""
        url = read_url(redis_url)
        self.address = public_address(redis_url)
        self._prefix = prefix(namespace)
        self._of_app = redis_url, namespace
        local = url.client.startswith("unix:")
        self._redis = redis.Redis.from_url(
            url.client,
            decode_responses=True,
            encoding_errors="replace",  # foreign data is ignored, not an error
            socket_timeout=10,
            socket_connect_timeout=5,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
            **({} if local else {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}),
            **BOUNDED,
            **url.tls,
        )
        self._healer = Healer(self._redis)
        self._dropped = Dropped(log)
        self._scripts = {name: self._redis.register_script(lua(name)) for name in _SCRIPTS}

    def close(self) -> None:
        self._redis.close()
        if "_app" in vars(self):
            self._app.close()

    @cached_property
    def _app(self) -> Celery:
        from contract.queue.app import (
            make_app,  # Celery is a third of the start of a command, and only sending needs it
        )

        return make_app(*self._of_app, patient=False)

    def ping(self) -> None:
        with self._translated():
            self._redis.ping()

    def send(self, model: str, job: str, chunks: list[int], digest: str = "") -> None:
        name = queue_name(model, digest)
        keys = _Keys(zsets=(self._key("sent", job),), lists=(self._prefix + name,))
        # Recorded before it is sent: a death in between costs a wait, in the other order it leaves an untracked
        # message.
        if chunks:
            self._run("note", [*keys.zsets], [_KEEP, *chunks], keys)
        for chunk in chunks:
            self._call(partial(self._send, name, job, chunk), keys)

    def _send(self, name: str, job: str, chunk: int) -> None:
        # Nothing is declared: the queue is a list, and sending needs no table of exchanges.
        from kombu.exceptions import OperationalError

        try:
            self._app.send_task(TASK, args=[job, chunk], queue=name, retry=False, declare=[])
        except OperationalError as error:
            raise (redis.ResponseError if is_wrong_type(error) else redis.ConnectionError)(str(error)) from error

    def hints(self, model: str, job: str, digest: str = "") -> Hints:
        zsets = tuple(self._key(kind, job) for kind in ("sent", "lease", "since"))
        lists, plan = self._lists(model, digest), self._key("plan", job)

        def read() -> list[Any]:
            pipe = self._redis.pipeline(transaction=True)
            pipe.time()
            pipe.hget(plan, "next")
            for key in zsets:
                pipe.zrange(key, 0, -1, withscores=True)
            for key in lists:
                pipe.llen(key)
            return pipe.execute()

        keys = _Keys(zsets=zsets, lists=lists, hashes=(plan,))
        (seconds, micros), following, sent, until, since, *waiting = self._call(read, keys)
        now = seconds + micros / 1e6
        starts = dict(since)
        chunks = {int(chunk): when for chunk, when in sent if _CHUNK.fullmatch(chunk)}
        if len(chunks) < len(sent):  # foreign members would count as sent
            self._call(lambda: self._replace_sent(zsets[0], chunks), keys)
        return Hints(
            now=now,
            sent=chunks,
            leases={
                int(chunk): end
                for chunk, end in until
                if _CHUNK.fullmatch(chunk) and (begin := starts.get(chunk, now + 1)) <= now
                and end - begin <= LONGEST_LEASE
            },
            waiting=sum(waiting),
            following=int(following) if following is not None and _NUMBER.fullmatch(following) else None,
        )  # fmt: skip

    def _replace_sent(self, key: str, chunks: dict[int, float]) -> None:
        """Make a job's `sent` hold only these chunks. One that is added meanwhile is lost, and sent again later."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.delete(key)
        if chunks:
            pipe.zadd(key, {str(chunk): when for chunk, when in chunks.items()})
            pipe.expire(key, _KEEP)
        pipe.execute()

    def lease(self, job: str, chunk: int, owner: str, seconds: float) -> bool:
        keys = self._of_lease(job)
        args = [chunk, owner, min(seconds, LONGEST_LEASE), _KEEP, LONGEST_LEASE]
        return bool(self._run("lease", keys.in_order(), args, keys))

    def release(self, job: str, chunk: int, owner: str) -> None:
        keys = self._of_lease(job)
        self._run("end", keys.in_order(), [chunk, owner], keys)

    def finish(self, job: str, chunk: int, owner: str) -> bool:
        keys = self._of_lease(job, "sent")
        keys = keys._replace(hashes=(*keys.hashes, self._key("plan", job)))
        return bool(self._run("end", keys.in_order(), [chunk, owner], keys))

    def plan(self, model: str, job: str, following: int, chunks: int, due: float) -> None:
        keys = _Keys(hashes=(self._key("plan", job),), zsets=(self._key("order", model),))
        self._run("plan", [*keys.hashes, *keys.zsets], [job, following, chunks, due, _KEEP], keys)

    def planned(self, model: str, due: float, limit: int) -> list[str]:
        order = self._key("order", model)
        jobs = self._call(
            lambda: self._redis.zrange(order, "-inf", due, byscore=True, offset=0, num=limit), _Keys(zsets=(order,))
        )
        return [str(job) for job in jobs]

    def unplan(self, model: str, job: str) -> None:
        order = self._key("order", model)
        with self._translated():
            self._redis.delete(self._key("plan", job))
        self._call(lambda: self._redis.zrem(order, job), _Keys(zsets=(order,)))

    def claim(self, model: str, waiting: int, each: int) -> tuple[str, int] | None:
        zsets = self._key("order", model), self._key("serving", model)
        keys = _Keys(zsets=zsets, lists=(self._prefix + queue_name(model),))
        args = [self._prefix, waiting, each, _KEEP, WORKER_TTL, _AHEAD, _MOST_WORKERS]
        claimed = self._run("claim", [*keys.lists, *zsets], args, keys)
        return (str(claimed[0]), int(claimed[1])) if claimed else None

    def put(self, model: str, job: str, chunk: int) -> None:
        name = queue_name(model)
        self._call(partial(self._send, name, job, chunk), _Keys(lists=(self._prefix + name,)))

    def unsend(self, job: str, chunks: list[int]) -> None:
        sent = self._key("sent", job)
        if chunks:
            self._call(lambda: self._redis.zrem(sent, *chunks), _Keys(zsets=(sent,)))

    def forget(self, job: str) -> None:
        with self._translated():
            self._redis.delete(*(self._key(kind, job) for kind in ("sent", "lease", "owner", "since", "plan")))

    def ask(self, model: str, question: str, each: int) -> Asked:
        keys = _Keys(lists=(self._key("questions", model),), zsets=(self._key("serving", model),))
        args = [question, each, _ASKED, WORKER_TTL, _AHEAD, _MOST_WORKERS]
        asked: Asked = self._run("ask", [*keys.lists, *keys.zsets], args, keys)
        return asked

    def take_question(self, model: str, wait: float) -> str | None:
        key = self._key("questions", model)
        taken = self._call(lambda: self._redis.brpop([key], timeout=wait), _Keys(lists=(key,)))
        return str(taken[1]) if taken else None

    def announce(self, worker: WorkerInfo) -> None:
        keys = _Keys(hashes=(self._workers,), zsets=(self._key("serving", worker.model),))
        # The script adds the time, so that all workers go by one clock.
        args = [worker.name, codec.line(worker, (", ", ": ")).removeprefix("{"), WORKER_TTL, _KEEP]
        self._run("announce", [*keys.hashes, *keys.zsets], args, keys)

    def leave(self, name: str, model: str) -> None:
        serving = self._key("serving", model)
        self._call(lambda: self._redis.zrem(serving, name), _Keys(zsets=(serving,)))
        self._call(lambda: self._redis.hdel(self._workers, name), _Keys(hashes=(self._workers,)))

    def waiting(self, model: str, digest: str) -> int:
        lists = self._lists(model, digest)
        lengths = self._call(lambda: [self._redis.llen(key) for key in lists], _Keys(lists=lists))
        return sum(map(int, lengths))

    def queued(self, model: str, digest: str, limit: int) -> list[tuple[str, int]]:
        found = []
        for key in self._lists(model, digest):
            for raw in self._run("waiting", [key], [limit, message.LIMIT], _Keys(lists=(key,))):
                with suppress(message.NotOurs):
                    found.append(message.read(raw))
        return found

    def serving(self, model: str) -> int:
        key = self._key("serving", model)

        def count() -> int:
            now = self._now()
            return int(self._redis.zcount(key, now - WORKER_TTL, now + _AHEAD))

        return max(1, min(_MOST_WORKERS, int(self._call(count, _Keys(zsets=(key,))))))

    def workers(self) -> list[WorkerInfo]:
        def read() -> Any:
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(self._workers)
            pipe.time()
            return pipe.execute()

        entries, (seconds, micros) = self._call(read, _Keys(hashes=(self._workers,)))
        now = seconds + micros / 1e6
        workers = {name: _worker(name, value, now) for name, value in sorted(entries.items())}
        silent = [name for name, worker in workers.items() if worker is None]
        if silent:
            with self._translated():
                self._redis.hdel(self._workers, *silent)
        return [worker for worker in workers.values() if worker]

    def workers_elsewhere(self, model: str) -> int:
        count = 0
        with self._translated(), suppress(redis.exceptions.NoPermissionError):  # then it is unknown
            cursor, now = 0, self._now()
            for _ in range(_LOOKS):
                cursor, keys = self._redis.scan(cursor, match=prefix("*") + "workers", count=1000)
                for key in set(keys) - {self._workers}:
                    with suppress(redis.ResponseError, TooLarge):  # a key of another type is foreign
                        entries = self._redis.hgetall(key)
                        workers = (_worker(str(name), str(value), now) for name, value in entries.items())
                        count += sum(worker is not None and worker.model == model for worker in workers)
                if not cursor:
                    break
        return count

    def touch(self, tag: str) -> None:
        """Extend the visibility timeout of the message `tag`, which is still being worked on: it is redelivered
        VISIBILITY_TIMEOUT after the last touch, not after its delivery."""
        keys = _Keys(zsets=(f"{self._prefix}unacked_index",))
        self._run("touch", [*keys.zsets], [tag], keys)

    def _now(self) -> float:
        seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6

    @property
    def _workers(self) -> str:
        return f"{self._prefix}workers"

    def _key(self, kind: str, job: str) -> str:
        return f"{self._prefix}{kind}:{job}"

    def _lists(self, model: str, digest: str) -> tuple[str, ...]:
        """The queues of workers with this digest."""
        return tuple(self._prefix + queue_name(model, which) for which in ("", digest or "none"))

    def _run(self, script: str, names: list[str], args: list[Any], keys: _Keys) -> Any:
        return self._call(lambda: self._scripts[script](keys=names, args=args), keys)

    def _of_lease(self, job: str, *more: str) -> _Keys:
        zsets = tuple(self._key(kind, job) for kind in ("lease", "since", *more))
        return _Keys(zsets=zsets, hashes=(self._key("owner", job),))

    def _call(self, call: Callable[[], Any], keys: _Keys) -> Any:
        """The result of a call to Redis. If the keys hold foreign data, it is removed and the call repeated."""
        with self._translated():
            try:
                return call()
            except TooLarge as error:
                self._dropped.add(str(error))
                self._redis.delete(*keys.all())
            except redis.ResponseError as error:
                if not is_wrong_type(error):
                    raise
                self._dropped.add("a key of another type")
                self._healer.heal(**keys._asdict())
            return call()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise RedisUnreachable(
                f"Redis at {self.address} cannot be used: {_reason(error)}", _remedy(error)
            ) from error


class _Keys(NamedTuple):
    """The keys of a call, by their type."""

    zsets: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        return self.zsets + self.hashes + self.lists

    def in_order(self) -> list[str]:
        """The keys of a lease in the order of the scripts: lease, owner, since, and if given sent and plan."""
        until, since, *sent = self.zsets
        owner, *plan = self.hashes
        return [until, owner, since, *sent, *plan]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The field that the script adds to a heartbeat."""

    seen: float  #: when it came


def _worker(name: str, value: str, now: float) -> WorkerInfo | None:
    """The worker of a heartbeat; None if the value is not a heartbeat, or too old."""
    try:
        age = now - codec.read(_Seen, value).seen
        worker = replace(codec.read(WorkerInfo, value), age_seconds=max(0.0, age))
    except ValueError:
        return None
    texts = [value for value in codec.values(worker).values() if isinstance(value, str)]
    plain = all(len(text) < 300 and text.isprintable() for text in texts)
    return worker if -_AHEAD <= age <= WORKER_TTL and plain and worker.name == name else None


def _reason(error: BaseException) -> str:
    """The innermost cause, without the address, which the message has already."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).rstrip(".") or type(error).__name__


def _remedy(error: BaseException) -> str:
    """What to do about a Redis that cannot be used."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, redis.exceptions.NoPermissionError):
            return "Give the user in BULKQA_REDIS_URL the permissions that SECURITY.md lists."
        if isinstance(cause, redis.AuthenticationError):
            return "Put user and password into BULKQA_REDIS_URL: redis://user:password@host:6379/0"
        if isinstance(cause, ssl.SSLError):
            return (
                "Its certificate must name this host and be signed by an authority that this system trusts, or that "
                "rediss://...?ssl_ca_certs=FILE names. redis:// is for a Redis without TLS."
            )
        cause = cause.__cause__ or cause.__context__
    return "Start it, or set BULKQA_REDIS_URL to another. Jobs lose nothing meanwhile."


#: A chunk number, or -1 for assembling the job. Other members are foreign.
_CHUNK = re.compile(r"-1|\d{1,9}")
_NUMBER = re.compile(r"\d{1,9}")
#: Seconds after which Redis drops unused hints of a job.
_KEEP = 7 * 24 * 3600
#: Seconds after which the names of questions are dropped that no worker took: nobody waits for them any more.
_ASKED = 60
#: The most workers that count: anybody may have written their heartbeats.
_MOST_WORKERS = 10_000
#: Scans of a thousand keys each: on a Redis full of other keys, not all are scanned.
_LOOKS = 20
#: Seconds by which a heartbeat may be in the future: the clock of Redis may be set back.
_AHEAD = 5.0
