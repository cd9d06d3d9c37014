"""What somebody who can write to Redis may put there: a seeded generator of some hundred kinds.

Each is applied to the keys of one job, before its messages are sent. Nothing here is a lease or a message that ours
could have written: with those one delays work (SECURITY.md), with all else nothing.
"""

from __future__ import annotations

import base64
import bz2
import copy
import json
import pickle
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis

from contract.queue import TASK, queue_name

MEGABYTES = 100 << 20
#: When a forged lease ends: in the year 2283.
FAR = 9876543210.0


@dataclass(frozen=True)
class Target:
    """Where a forgery goes: `prefix` of all keys, the list of a model and that of its digest, a job not yet sent."""

    client: redis.Redis
    prefix: str
    model: str
    digest: str
    job: str

    @property
    def queues(self) -> tuple[str, str]:
        return self.prefix + queue_name(self.model), self.prefix + queue_name(self.model, self.digest)

    def key(self, name: str) -> str:
        return self.prefix + name.replace("JOB", self.job).replace("QUEUE", queue_name(self.model)).replace(
            "MODEL", self.model
        )


@dataclass(frozen=True)
class Forgery:
    name: str
    apply: Callable[[Target], None]


def forgeries(seed: int) -> list[Forgery]:
    """All kinds, in an order that the seed gives, as it does the values within."""
    dice = random.Random(seed)
    found = [*_raw(dice), *_tampered(dice), *_bodies(dice), *_wrong_types(), *_unacked(dice), *_hints(dice)]
    dice.shuffle(found)
    return found


def message(job: str, chunk: object = 0) -> dict[str, Any]:
    """One of ours, as Celery writes it."""
    return {
        "body": encoded([[job, chunk], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py", "task": TASK, "id": "1", "shadow": None, "eta": None, "expires": None, "group": None,
            "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": "1", "parent_id": None,
            "argsrepr": "", "kwargsrepr": "{}", "origin": "", "ignore_result": False, "stamped_headers": None,
            "stamps": {},
        },
        "properties": {
            "correlation_id": "1", "reply_to": "", "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "v1.x"}, "delivery_tag": "1",
        },
    }  # fmt: skip


def encoded(body: object) -> str:
    return base64.b64encode(body if isinstance(body, bytes) else json.dumps(body).encode()).decode()


def _push(made: Callable[[str], bytes | str], target: Target) -> None:
    for queue in target.queues:
        target.client.lpush(queue, made(target.job))


def _raw(dice: random.Random) -> Iterator[Forgery]:
    """Elements that are no message at all."""
    elements: dict[str, bytes | str] = {
        "nothing": b"", "a word": "garbage", "an object": "{}", "null": "null", "a number": "17", "NaN": "NaN",
        "an endless number": "9" * 8000, "deep lists": "[" * 5000, "deep closed lists": "[" * 3000 + "]" * 3000,
        "deep objects": '{"a":' * 1500, "NUL": b"\0" * 50, "binary": dice.randbytes(500), "a surrogate": '"\\ud800"',
        "UTF-16": "{}".encode("utf-16"), "just too long": "[" + " " * 8192 + "]", "pickle": pickle.dumps({"a": 1}),
        "bzip2": bz2.compress(b"x" * 10**6), "empty parts": '{"body":"","headers":{},"properties":{}}',
        "lists for parts": '{"body":[],"headers":[],"properties":[]}', "a foreign body": '{"body": "gA=="}',
    }  # fmt: skip
    for name, element in elements.items():
        yield Forgery(f"element: {name}", partial(_push, lambda _job, e=element: e))
    yield Forgery("element: 100 MB", partial(_push, lambda _: b"[" * MEGABYTES))
    yield Forgery("element: 100 MB of body", partial(_push, _long_body))
    yield Forgery("element: 3,000 of them", _many)


def _long_body(job: str) -> str:
    return json.dumps(message(job) | {"body": "A" * MEGABYTES})


def _many(target: Target) -> None:
    target.client.lpush(target.queues[0], *(f"garbage {n}" for n in range(3000)))


#: For any place in a message.
_STRANGE: tuple[Any, ...] = (
    "", "x", "\ud800", "x" * 3000, 0, -1, 2**70, 1e308, True, [], {}, [[[[]]]], {"a": {"b": {}}}, ["x"] * 50,
    "2099-01-01T00:00:00", "bzip2", "application/x-python-serialize", "../../etc", [1, 1], {"task": TASK},
)  # fmt: skip


def _tampered(dice: random.Random) -> Iterator[Forgery]:
    """One of ours with something added, altered or taken away."""
    whole = message("job")
    places = [(name,) for name in whole]
    places += [(part, name) for part in ("headers", "properties") for name in whole[part]]
    places += [("headers", name) for name in ("compression", "chord", "chain", "callbacks", "__proto__", "redelivered")]
    places += [("properties", "delivery_info", name) for name in ("exchange", "routing_key")]
    for place in places:
        yield Forgery(f"without {'.'.join(place)}", partial(_push, partial(_altered, place, None, True)))
        for value in dice.sample(_STRANGE, 3):
            name = f"{'.'.join(place)} = {str(value)[:20]!a}"
            yield Forgery(name, partial(_push, partial(_altered, place, value, False)))


def _altered(place: tuple[str, ...], value: Any, remove: bool, job: str) -> str:
    made = copy.deepcopy(message(job))
    at = made
    for name in place[:-1]:
        at = at[name]
    at.pop(place[-1], None) if remove else at.update({place[-1]: value})
    return json.dumps(made)


def _bodies(dice: random.Random) -> Iterator[Forgery]:
    """One of ours with another body."""
    call = {"task": "os.system", "args": ["touch /tmp/owned"], "kwargs": {}, "options": {}}
    bodies: dict[str, Callable[[str], Any]] = {
        "empty": lambda _: b"", "of no JSON": lambda _: dice.randbytes(99), "pickle": lambda _: pickle.dumps([1]),
        "deep": lambda _: b"[" * 5000, "null": lambda _: None, "a list": lambda _: [], "one thing": lambda job: job,
        "no chunk": lambda job: [[job], {}, {}], "by name": lambda job: [[], {"job": job, "chunk": 0}, {}],
        "a negative chunk": lambda job: [[job, -1], {}, {}], "a huge chunk": lambda job: [[job, 10**30], {}, {}],
        "a chunk that is true": lambda job: [[job, True], {}, {}], "a path": lambda _: [["../../etc", 0], {}, {}],
        "an unknown job": lambda _: [["nobody-knows", 0], {}, {}], "lists": lambda job: [[[job], [0]], {}, {}],
        "a fraction": lambda job: [[job, 0.5], {}, {}], "a far chunk": lambda job: [[job, 10**8], {}, {}],
        "arguments that are an object": lambda job: [{"job": job}, {}, {}],
        "what follows is a list": lambda job: [[job, 0], {}, []],
        "what follows is null": lambda job: [[job, 0], {}, None],
    } | {
        f"with {wish}": (lambda job, wish=wish: [[job, 0], {}, {wish: [call]}])
        for wish in ("callbacks", "errbacks", "chain", "chord")
    }  # fmt: skip
    for name, body in bodies.items():
        yield Forgery(
            f"body: {name}", partial(_push, lambda job, b=body: json.dumps(message(job) | {"body": encoded(b(job))}))
        )
    yield Forgery("body: 4 GiB in 4 kB of bzip2", partial(_push, _bomb))


def _bomb(job: str) -> str:
    """Streams of bzip2 that follow one another, each of 45 MB, unpacked at the header's wish."""
    made = message(job)
    made["headers"]["compression"] = "application/x-bz2"
    made["body"] = encoded(bz2.compress(bytes(45 << 20)) * 91)
    return json.dumps(made)


_TYPES: dict[str, Callable[[redis.Redis, str], Any]] = {
    "string": lambda client, key: client.set(key, "x"),
    "number": lambda client, key: client.set(key, -7),
    "list": lambda client, key: client.rpush(key, "x"),
    "hash": lambda client, key: client.hset(key, "x", "y"),
    "set": lambda client, key: client.sadd(key, "x"),
    "sorted set": lambda client, key: client.zadd(key, {"x": 1.0}),
    "stream": lambda client, key: client.xadd(key, {"x": "y"}),
}
_KEYS = (
    "QUEUE", "unacked", "unacked_index", "unacked_mutex", "workers", "_kombu.binding.QUEUE",
    "sent:JOB", "lease:JOB", "since:JOB", "owner:JOB", "plan:JOB", "order:MODEL", "serving:MODEL",
)  # fmt: skip


def _wrong_types() -> Iterator[Forgery]:
    for name in _KEYS:
        for kind in _TYPES:
            yield Forgery(f"{name} is a {kind}", partial(_of_type, name, kind))
    yield Forgery("the queue of the digest is a hash", lambda t: _of_other_type(t.client, t.queues[1]))


def _of_type(name: str, kind: str, target: Target) -> None:
    key = target.key(name)
    target.client.delete(key)
    _TYPES[kind](target.client, key)


def _of_other_type(client: redis.Redis, key: str) -> None:
    client.delete(key)
    client.hset(key, "x", "y")


def _unacked(dice: random.Random) -> Iterator[Forgery]:
    """Entries among the messages that are not acknowledged, each with its index."""
    values: dict[str, bytes | str] = {
        "nothing": b"", "a word": "x", "null": "null", "an object": "{}", "two of three": '["v1.x", "job"]',
        "deep": "[" * 5000, "binary": dice.randbytes(99), "100 MB": b"x" * MEGABYTES,
        "no queue": '["unacked", "job", 0]', "an odd queue": '["v1.\\n", "job", 0]', "no chunk": '["v1.x", "job", -1]',
        "as kombu writes it": json.dumps([message("job"), "", "v1.x"]), "an exchange": json.dumps([{}, "x", "y"]),
    }  # fmt: skip
    for name, value in values.items():
        for age, score in (("overdue", 1.0), ("of the year 2283", FAR), ("without end", float("inf"))):
            yield Forgery(f"unacked: {name}, {age}", partial(_unacknowledged, {b"forged": value}, score))
    yield Forgery("unacked: long tag", partial(_unacknowledged, {b"t" * 10**6: "x"}, 1.0))
    yield Forgery("unacked: binary tags", partial(_unacknowledged, {bytes([n]) * 9: "x" for n in range(256)}, 1.0))
    yield Forgery("unacked: 5,000", partial(_unacknowledged, {str(n).encode(): "x" for n in range(5000)}, 1.0))
    yield Forgery("unacked: an index alone", lambda t: t.client.zadd(t.key("unacked_index"), {"gone": 1.0, b"\xff": 2}))


def _unacknowledged(entries: dict[bytes, bytes | str], score: float, target: Target) -> None:
    target.client.hset(target.key("unacked"), mapping=entries)  # type: ignore[arg-type]
    target.client.zadd(target.key("unacked_index"), dict.fromkeys(entries, score))


def _hints(dice: random.Random) -> Iterator[Forgery]:
    for name, since in (("now", None), ("never", 0.0), ("in 2283", FAR)):
        yield Forgery(f"leases until 2283 since {name}", partial(_leases, since))
    yield Forgery("leases until 2283 by nobody", lambda t: t.client.zadd(t.key("lease:JOB"), {"0": FAR, "-1": FAR}))
    yield Forgery("2,000 workers", partial(_workers, 0.0))
    yield Forgery("2,000 workers of the year 2283", partial(_workers, FAR))
    yield Forgery("a worker of 100 MB", lambda t: t.client.hset(t.key("workers"), "x", b"x" * MEGABYTES))
    strange = {dice.randbytes(9): json.dumps(value) for value in _STRANGE}
    yield Forgery("strange workers", lambda t: t.client.hset(t.key("workers"), mapping=strange))  # type: ignore[arg-type]
    for number in ("abc", "-3", "1.5", "nan", "inf", "9" * 30, b"\xff", "x" * 10**6):
        for field in ("next", "chunks"):
            yield Forgery(f"{field} = {str(number)[:9]}", partial(_planned, field, number))
    yield Forgery("no plan", lambda t: t.client.delete(t.key("plan:JOB")))
    yield Forgery("no order", lambda t: t.client.delete(t.key("order:MODEL")))
    yield Forgery("an order of others", partial(_order, {f"job-{n}": 1.0 for n in range(3000)}))
    yield Forgery("an order without an end", lambda t: t.client.zadd(t.key("order:MODEL"), {t.job: float("inf")}))
    yield Forgery(
        "an order of what can be no job", partial(_order, {b"\xff": 0.0, "../x": 0.0, "": 0.0, "x" * 10**6: 0.0})
    )
    yield Forgery("a plan of what can be no job", _plan_of_no_job)
    yield Forgery("a plan of a job that is not there", _plan_of_a_ghost)
    yield Forgery(
        "3,000 who serve", lambda t: t.client.zadd(t.key("serving:MODEL"), {str(n): FAR for n in range(3000)})
    )
    for when in (0.0, FAR, float("inf"), -float("inf")):
        yield Forgery(f"sent at {when}", lambda t, w=when: t.client.zadd(t.key("sent:JOB"), {"0": w, "x": w, "77": w}))
    yield Forgery("3,000 sent", lambda t: t.client.zadd(t.key("sent:JOB"), {str(n): FAR for n in range(1, 3000)}))
    yield Forgery("sent: a long name", lambda t: t.client.zadd(t.key("sent:JOB"), {"x" * 10**6: 1.0}))


def _planned(field: str, value: str | bytes, target: Target) -> None:
    target.client.hset(target.key("plan:JOB"), field, value)


def _order(entries: dict[bytes | str, float], target: Target) -> None:
    target.client.zadd(target.key("order:MODEL"), entries)  # type: ignore[arg-type]


def _plan_of_no_job(target: Target) -> None:
    _order({"../x": 0.0}, target)
    target.client.hset(target.key("plan:../x"), mapping={"next": 0, "chunks": 10**9})


def _plan_of_a_ghost(target: Target) -> None:
    _order({"20200101-000000-00000000": 0.0}, target)
    target.client.hset(target.key("plan:20200101-000000-00000000"), mapping={"next": 0, "chunks": 10**6})


def _leases(since: float | None, target: Target) -> None:
    chunks = ("0", "1", "2", "-1")
    target.client.zadd(target.key("lease:JOB"), dict.fromkeys(chunks, FAR))
    target.client.zadd(target.key("since:JOB"), dict.fromkeys(chunks, time.time() if since is None else since))
    target.client.hset(target.key("owner:JOB"), mapping=dict.fromkeys(chunks, "nobody"))


def _workers(seen: float, target: Target) -> None:
    about = {"model": target.model, "digest": target.digest, "precision": "int8", "threads": 1, "version": "0"}
    entries = {f"f{n}": json.dumps({"name": f"f{n}", "seen": seen or time.time()} | about) for n in range(2000)}
    target.client.hset(target.key("workers"), mapping=entries)  # type: ignore[arg-type]
