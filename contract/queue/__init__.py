"""The queue: messages that ask someone to try a chunk, and the hints that spare work. Nothing here is a record.

Celery carries the messages `(job, chunk)`. Beside them Redis holds, for every job, which chunks are on the queue
(`sent`), which are being scored, since when and until when that may be believed (`since`, `lease`), and the next chunk
that was never sent (`plan`); for every model, in which order its jobs are served (`order`) and by whom (`serving`); and
what workers say of themselves. All of it may vanish at any moment: `contract.ledger.reconcile` makes it again from
storage.

This file is the interface and the names. `redis` is the queue itself, `app` the Celery application that both sides
share, `url` what may be in the address of a Redis, and `memory` the twin for tests: one suite runs over both. What must
not come in: storage, and what a message means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

#: Of all keys in Redis. A namespace follows, so that each storage has its own: `prefix`.
PREFIX = "bulkqa:"
TASK = "bulkqa.score.v1"
#: Redelivery of an unacknowledged message. The same in every process: the shortest in use wins.
VISIBILITY_TIMEOUT = 900
#: A worker that was not heard of for this long is not counted.
WORKER_TTL = 45.0
#: A lease is believed for this long at most, in seconds: whoever holds one renews it every few seconds.
LONGEST_LEASE = 900.0


def prefix(namespace: str) -> str:
    """What all keys of a namespace begin with."""
    return f"{PREFIX}{namespace}:"


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
    #: nothing is known (the clock went back), and those longer than LONGEST_LEASE, which are none of ours
    leases: dict[int, float]
    waiting: int  #: messages on the queues of the job's model, all jobs together
    following: int | None = None  #: the chunk that `claim` gives next; None if nothing is known of the job


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker says of itself when it announces itself."""

    name: str
    model: str
    digest: str
    precision: str
    threads: int
    version: str
    max_positions: int = 0  #: tokens in the longest window that its model takes; 0: it does not say
    trouble: str = ""  #: why it cannot use the storage, where it cannot
    storage: str = ""  #: the id of the storage that it works on
    host: str = ""
    job: str | None = None  #: whose chunk it holds, None while it holds none
    chunk: int | None = None
    held_seconds: float | None = None  #: for how long it had held that chunk when it said so
    rows_per_second: float | None = None  #: over the last minute
    rss: int = 0  #: memory of the process that scores, in bytes; 0: it does not say
    draining: bool = False  #: it was told to stop, and does after the rows in flight
    #: Since it said so, by the queue's own clock: `workers` fills it in.
    age_seconds: float = field(default=0.0, compare=False)

    #: Anybody may have written what is read from Redis.
    __pydantic_config__: ClassVar[dict[str, bool]] = {"allow_inf_nan": False}


class Queue(Protocol):
    """The port through which everything but the Celery edge sees the broker. Raises RedisUnreachable."""

    def ping(self) -> None:
        """Raise RedisUnreachable unless the queue can be used."""
        ...

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

    def finish(self, job: str, chunk: int, owner: str) -> bool:
        """A chunk has its part: forget its message, and its lease unless another owner has it. True if none of the
        job's chunks is to come or under way any more, as far as is known; also if nothing is known of the job."""
        ...

    def plan(self, model: str, job: str, following: int, chunks: int, due: float) -> None:
        """Have `claim` give the chunks of a job from `following` on, unless it is known where that goes on. Jobs with
        the lowest `due` are served first."""
        ...

    def claim(self, model: str, waiting: int, each: int) -> tuple[str, int] | None:
        """The next chunk that was never sent, of the first job in the order that has fewer than `each` on the queue and
        under way for each worker of the model; noted as sent, for `put`. None if there is none, or if `waiting`
        messages for each worker wait on the model's queue."""
        ...

    def put(self, model: str, job: str, chunk: int) -> None:
        """Put the message of a chunk that `claim` gave on the queue of the model."""
        ...

    def unsend(self, job: str, chunks: list[int]) -> None:
        """Forget that messages of chunks were sent: they have their part, or never were."""
        ...

    def forget(self, job: str) -> None:
        """Drop all hints of a job."""
        ...

    def announce(self, worker: WorkerInfo) -> None:
        """Say that a worker is there. It counts as gone WORKER_TTL seconds after it last said so."""
        ...

    def leave(self, name: str, model: str) -> None:
        """Say that a worker is gone."""
        ...

    def waiting(self, model: str, digest: str) -> int:
        """Messages on the queues that a worker of this model takes from."""
        ...

    def serving(self, model: str) -> int:
        """How many workers of a model are there, one at least."""
        ...

    def workers(self) -> list[WorkerInfo]:
        """The workers that are there, by name, as they last said; `age_seconds` is how long ago that was."""
        ...

    def elsewhere(self, model: str) -> int:
        """How many workers on this Redis serve a model and look at another storage, as far as that is found out."""
        ...
