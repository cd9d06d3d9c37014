"""A job of 100,000 chunks, 1,000 workers, 2,000 jobs: the cost of each step, on an object store and on Redis.

The object store is simulated: objects in memory, behind a wrapper that counts each call and takes 30 ms for it, and 30
ms for every 1,000 names of a listing. Redis is real, and so is everything else: the product's own submit, status,
reconcile, sweeper, assembling, and a worker's child process with a reader that answers at once. The 1,000 workers are a
loop that makes their calls to Redis at their rate: a heartbeat every five seconds and a chunk every ten. The calls of
Celery's own connection are made as kombu makes them.
"""

from __future__ import annotations

import heapq
import random
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis as client

from benchmarks import common
from contract.format import codec, layout, part
from contract.format.job import Manifest
from contract.ledger import assemble, counting, order, records
from contract.ledger.reconcile import reconcile
from contract.ledger.stored import StoredJob, load_manifest
from contract.ledger.sweeper import open_jobs
from contract.queue import WorkerInfo, message
from contract.queue.redis import RedisQueue
from contract.queue.scripts import lua
from contract.settings import Settings
from producer.jobs.submit import Request, submit
from producer.local import redis_server
from tests.twins.queue import MemoryQueue
from tests.twins.storage import MemoryStorage

MODEL = "minilm-l6-qa"
#: Of the simulated object store: seconds of a call, names in a listing, calls at a time.
CALL, PAGE, AT_ONCE = 0.030, 1000, 32


class Store(MemoryStorage):
    """An object store: calls are counted, and take time."""

    at_once = AT_ONCE
    url = "simulated://store"

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.bytes = 0
        self.slow = False
        self._folders: dict[str, set[str]] = {}
        self._guard = threading.Lock()

    def _counted(self, name: str, calls: int = 1, size: int = 0) -> None:
        with self._guard:
            self.calls[name] += calls
            self.bytes += size
        if self.slow:
            time.sleep(CALL * calls)

    def read(self, key: str) -> bytes:
        data = self._objects.get(key, b"")
        self._counted("get", size=len(data))
        return super().read(key)

    def tail(self, key: str, size: int) -> bytes:
        self._counted("get", size=size)
        return super().read(key)[-size:]

    def exists(self, key: str) -> bool:
        self._counted("head")
        return super().exists(key)

    def list(self, folder: str, after: str = "") -> list[str]:
        names = sorted(name for name in self._folders.get(folder, ()) if name > after)
        self._counted("list", max(1, -(-len(names) // PAGE)), 300 * len(names))
        return names

    def create(self, key: str, data: Any, *, durable: bool = True) -> bool:
        whole = data if isinstance(data, bytes) else b"".join(data)
        self._counted("put", size=len(whole))
        created = super().create(key, whole, durable=durable)
        self._index(key)
        return created

    def replace(self, key: str, data: bytes) -> None:
        self._counted("put", size=len(data))
        super().replace(key, data)
        self._index(key)

    def delete(self, key: str) -> None:
        self._counted("delete")
        super().delete(key)
        folder, _, name = key.rpartition("/")
        self._folders.get(folder, set()).discard(name)

    def _index(self, key: str) -> None:
        while "/" in key:
            key, _, name = key.rpartition("/")
            self._folders.setdefault(key, set()).add(name)


class Cost:
    """Seconds, calls and bytes of a block."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.seconds = self.calls = self.bytes = 0

    @contextmanager
    def over(self, *, slow: bool = True) -> Iterator[Cost]:
        before, size, self._store.slow = sum(self._store.calls.values()), self._store.bytes, slow
        started = time.perf_counter()
        yield self
        self.seconds = time.perf_counter() - started
        self.calls, self.bytes = sum(self._store.calls.values()) - before, self._store.bytes - size
        self._store.slow = False

    def note(self) -> str:
        return f"{self.calls:,} calls, {self.bytes / 1e6:,.1f} MB"


def job_of(store: Store, folder: Path, rows: int, chunk_rows: int = 1) -> Manifest:
    file = common.write_csv(folder / "rows.csv", [("Where is it?", f"It is in place {n}.") for n in range(rows)])
    return submit(str(file), store, Settings(chunk_rows=chunk_rows), Request(model=MODEL)).manifest


def finished(store: Store, manifest: Manifest, numbers: Any) -> None:
    for number in numbers:
        row = {"row": number, "status": "answered", "answer": "x", "context": "x" * 40}
        data, _ = part.encode(
            [row], started_at=1.0, finished_at=2.0, worker=f"w{number % 1000}", model="d", attempts=1,
            job=manifest.id, chunk=number,
        )  # fmt: skip
        store.create(layout.part(manifest.id, number), data)


def about(name: str) -> WorkerInfo:
    return WorkerInfo(name, MODEL, "d" * 16, "int8", 8, "0.1.0", host="a-host-of-the-fleet", storage="s" * 16)


def of_the_storage(folder: Path, queue: RedisQueue, chunks: int, workers: int, jobs: int) -> list[common.Line]:
    """Submit, status, reconcile, assembling, listing and sweeping."""
    store, settings = Store(), Settings(model=MODEL)
    few = chunks // 50
    with Cost(store).over() as submitting:
        small = job_of(store, folder, few)
    large = job_of(store, folder, chunks)
    # Half of it is done, except one chunk of a slow worker, and each worker holds a chunk.
    half = chunks // 2
    finished(store, large, (number for number in range(half) if number != half // 2))
    for number in range(workers):
        queue.announce(about(f"w{number}"))
    queue.plan(MODEL, large.id, half + workers, chunks, order.due(large))
    in_progress = [half // 2, *range(half, half + workers - 1)]
    queue.send(MODEL, large.id, in_progress)
    for place, number in enumerate(in_progress):
        queue.lease(large.id, number, f"w{place}", 45.0)
        store.create(layout.attempt(large.id, number, 1), b"{}")
    counting.counted(store, large.id, {})  # as workers do
    finished(store, large, range(half + workers, half + workers + 100))
    with Cost(store).over() as reading:
        records.status(store, queue, large.id)
    with Cost(store).over() as repairing:
        reconcile(large.id, store, queue, settings)
    finished(store, small, range(small.chunks))
    with Cost(store).over() as assembling:
        assemble.publish(StoredJob.open(store, small.id))
    report = store._objects[layout.report(small.id)]
    for number in range(jobs - 2):
        name = f"20261126-{number:06}-{number:08x}"
        store.create(layout.manifest(name), codec.dump(replace(small, id=name)))
        if number % 100:
            store.create(layout.report(name), report)
    with Cost(store).over() as listing:
        listed = len(list(records.statuses(store, None)))
    ended: set[str] = set()
    with Cost(store).over() as first:
        open_jobs(store, ended)
    with Cost(store).over() as sweeping:
        for job in open_jobs(store, ended):
            if job == large.id:
                reconcile(job, store, queue, settings, owner="sweeper")
            else:
                load_manifest(store, job)
    assert listed >= jobs - 1
    return [
        common.Line(f"submit, per chunk of {few:,}", 1000 * submitting.seconds / few, "ms", note=submitting.note()),
        common.at_most("status", reading.seconds, 1, "s", reading.note()),
        common.at_most("reconcile", repairing.seconds, 2, "s", repairing.note()),
        common.Line(f"assembling, per part of {few:,}", 1000 * assembling.seconds / few, "ms",
                    note=assembling.note()),
        common.Line(f"list of {jobs:,} jobs, on the object store", listing.seconds, "s", note=listing.note()),
        common.Line(f"the sweeper's first round over {jobs:,} jobs", first.seconds, "s", note=first.note()),
        common.at_most(f"a later round, {jobs // 100} of them open", sweeping.seconds, 60, "s", sweeping.note()),
    ]  # fmt: skip


def of_a_chunk(folder: Path, url: str, chunks: int) -> list[common.Line]:
    """The work of a worker's child process on a chunk, without scoring it."""
    from contract.format.job import Answer
    from contract.health import health_files
    from worker import worker as module
    from worker.heartbeat import Parent
    from worker.reader.reader import Reader

    store = Store()
    settings = Settings(redis_url=url, model=MODEL, threads=1, namespace="chunk")
    module.open_storage = lambda _url: store
    worker = module.Worker(settings, "w", health_files(folder / "health", "worker")[0], Parent())
    Reader.answer = lambda *_: Answer((), 0.0, 0.5)
    job = job_of(store, folder, chunks + 1).id  # the last is not done: assembling the job does not belong to a chunk
    reconcile(job, store, worker.queue, settings)
    bare = client.Redis.from_url(url.replace("redis+socket", "unix").partition("?")[0])
    seconds = []
    before = Counter(store.calls)
    for number in range(chunks):
        bare.rpop(f"bulkqa:chunk:v1.{MODEL}")
        with common.timed(seconds):
            worker.work(job, number, None)
        if number == 0:
            before = Counter(store.calls)
    calls = store.calls - before
    worker.close()
    tally = sum(calls.values()) / (chunks - 1)
    return [
        common.at_most("a chunk, control work", 1000 * common.median(seconds), 10, "ms", "without the storage's time"),
        common.at_most(
            "a chunk, storage calls", tally, 6 + 1.1,
            note="5 of its own; 1 for the tally of every 128th chunk; a cancel check every 3 s",
        ),
    ]  # fmt: skip


def of_redis(queue: RedisQueue, bare: client.Redis, workers: int, seconds: float) -> list[common.Line]:
    """Commands and memory while all workers score one large job."""
    prefix = queue._prefix
    settings = Settings(model=MODEL)
    job = "20261126-000000-00000001"
    bare.flushall()
    queue.plan(MODEL, job, 0, 10**6, 0.0)
    take, ack = bare.register_script(lua("take")), bare.register_script(lua("ack"))
    keys = [f"{prefix}unacked_index", f"{prefix}unacked"]
    dice = random.Random(1)
    names = [f"a-host-of-the-fleet-{number}-1a2b" for number in range(workers)]
    held: dict[str, tuple[int, str]] = {}
    due = [(dice.uniform(0, every), what, name)
           for what, every in (("beat", 5), ("rows", 1), ("take", 10)) for name in names]  # fmt: skip
    heapq.heapify(due)
    started, chunks = time.monotonic(), 0
    measured: tuple[float, int] | None = None
    sent = Sent(bare, queue)
    order.fill(MODEL, queue, settings)
    while (now := time.monotonic() - started) < 12 + seconds:
        if measured is None and now >= 12:  # all have started by then
            measured, chunks = (now, sent.commands), 0
        when, what, name = due[0]
        if when > now:
            time.sleep(min(0.01, when - now))
            continue
        heapq.heappop(due)
        if what == "beat":
            queue.announce(about(name))
            if name in held:
                number, tag = held[name]
                queue.lease(job, number, name, 45.0)
                queue.touch(tag)
            else:
                queue.waiting(MODEL, "d" * 16)
            heapq.heappush(due, (when + 5, "beat", name))
            continue
        if what == "rows":
            if name in held:
                queue.announce(about(name))
            heapq.heappush(due, (when + 1, "rows", name))
            continue
        if name in held:
            number, tag = held.pop(name)
            queue.finish(job, number, name)
            order.fill(MODEL, queue, settings)
            ack(keys=keys, args=[tag])
            chunks += 1
        if raw := bare.rpop(f"{prefix}v1.{MODEL}"):
            tag, number = f"{dice.getrandbits(128):032x}", message.read(raw)[1]
            take(keys=keys, args=[tag, f'["v1.{MODEL}", "{job}", {number}]'])
            queue.lease(job, number, name, 45.0)
            order.fill(MODEL, queue, settings)
            held[name] = number, tag
            heapq.heappush(due, (when + 10, "take", name))
        else:
            heapq.heappush(due, (when + 1, "take", name))  # like kombu, which waits for a second
    assert measured
    rate = (sent.commands - measured[1]) / (now - measured[0])
    memory = bare.info("memory")["used_memory_peak"] / 1e6
    return [
        common.at_most(f"Redis, {workers:,} workers, commands", rate, 3500, "a second",
                       f"{chunks / (now - measured[0]):,.0f} chunks/s, {len(held):,} at work"),
        common.at_most(f"Redis, {workers:,} workers, peak memory", memory, 50, "MB"),
    ]  # fmt: skip


class Sent:
    """Counts the commands that clients send: a script is one."""

    def __init__(self, *clients: Any) -> None:
        self.commands = 0
        real = client.connection.AbstractConnection.send_packed_command

        def counted(connection: Any, command: Any, **more: Any) -> None:
            joined = command if isinstance(command, bytes) else b"".join(command)
            self.commands += joined.count(b"\r\n*") + 1
            real(connection, command, **more)

        client.connection.AbstractConnection.send_packed_command = counted  # type: ignore[method-assign]


def completion(manifests: list[Manifest], settings: Settings, due: Callable[[Manifest], float] | None) -> float:
    """The mean time from submission to end, in seconds of one worker that scores a chunk a second. None: of the
    submitted jobs the shortest first."""
    clock = {"now": 0.0}
    queue = MemoryQueue(lambda: clock["now"])
    coming = deque(sorted(manifests, key=lambda job: job.created_at))
    left = {job.id: job.chunks for job in manifests}
    created = {job.id: job.created_at for job in manifests}
    total = 0.0
    while any(left.values()):
        while coming and coming[0].created_at <= clock["now"]:
            job = coming.popleft()
            queue.plan(MODEL, job.id, 0, job.chunks, due(job) if due else job.rows)
        order.fill(MODEL, queue, settings)
        waiting = queue.messages.get(f"v1.{MODEL}")
        if not waiting:
            clock["now"] = coming[0].created_at
            continue
        name, chunk = waiting.popleft()
        order.fill(MODEL, queue, settings)
        clock["now"] += 1.0
        queue.finish(name, chunk, "")
        left[name] -= 1
        if not left[name]:
            total += clock["now"] - created[name]
    return total / len(manifests)


def of_the_order(jobs: int) -> list[common.Line]:
    """Mean time to completion of jobs of 1 to some 100 chunks, submitted at once or while others are scored."""
    lines = []
    for when, share, target in (("at once", 0.02, 1.1), ("over half of the time they take", 0.5, 1.5)):
        dice = random.Random(1)
        sizes = [max(1, int(dice.lognormvariate(2, 1.2))) for _ in range(jobs)]
        base = Manifest("a", 0.0, MODEL, 1, 0, 1, "", source=None)  # type: ignore[arg-type]
        all_of_them = [
            replace(base, id=f"j{n:06}", created_at=dice.uniform(0, share * sum(sizes)), chunks=size, rows=50 * size)
            for n, size in enumerate(sizes)
        ]
        settings = Settings(model=MODEL)
        best = completion(all_of_them, settings, None)
        ours = completion(all_of_them, settings, order.due)
        first = completion(all_of_them, settings, lambda job: job.created_at)
        note = f"first-come first-served: {first / best:.1f} times"
        lines.append(common.at_most(f"{jobs:,} jobs submitted {when}: mean time to completion against shortest-first",
                                    ours / best, target, "times", note))  # fmt: skip
    return lines


def main() -> None:
    args = common.arguments(__doc__ or "", chunks=100_000, workers=1000, jobs=2000)
    chunks, workers, jobs = (4000, 100, 200) if args.quick else (args.chunks, args.workers, args.jobs)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, redis_server(Path(name)) as url:
        folder = Path(name)
        queue = RedisQueue(url, "scale")
        bare = client.Redis.from_url(url.replace("redis+socket", "unix").partition("?")[0])
        lines = of_the_storage(folder, queue, chunks, workers, jobs)
        lines += of_a_chunk(folder, url, 60 if args.quick else 400)
        lines += of_redis(queue, bare, workers, 5 if args.quick else 15)
        lines += of_the_order(jobs // 2)
        queue.close()
    title = f"A fleet: {chunks:,} chunks, {workers:,} workers, {jobs:,} jobs"
    common.report(title, lines, args, storage="simulated object store, 30 ms a call, 1,000 names a listing")


if __name__ == "__main__":
    main()
