"""The queue: messages that ask a worker to try a chunk, and hints that save work. Nothing here is a record.

Celery carries the messages `(job, chunk)`. Redis also holds, for every job, which chunks are on the queue (`sent`),
which are being scored, since when and until when (`since`, `lease`), and the next chunk that was never sent (`plan`);
for every model, the order of its jobs (`order`), its workers (`serving`), and the names of questions to be answered at
once (`questions`, see `contract.questions`); and the presence of workers. All of it may vanish at any moment:
`contract.ledger.reconcile` rebuilds it from storage.

This file is the interface and the names. `redis` is the queue itself, `app` the Celery application that both sides
share, `message` a message on the wire, `url` the address of a Redis. `tests/twins` has a queue in memory: one suite
runs over both. Must not import: storage, anything that knows what a message means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from pydantic import NonNegativeFloat, NonNegativeInt

from contract.forecast.work import Cost

#: What became of a question: its name waits for a worker, too many wait, or no worker serves the model.
Asked = Literal["waits", "full", "unserved"]
#: All keys in Redis start with this and a namespace, so that each storage has its own: `prefix`.
PREFIX = "bulkqa:"
TASK = "bulkqa.score.v1"
#: Seconds until an unacknowledged message is redelivered. The same in every process: the shortest in use wins.
VISIBILITY_TIMEOUT = 900
#: Seconds without a heartbeat after which a worker no longer counts.
WORKER_TTL = 45.0
#: The longest valid lease, in seconds. Its owner renews it every few seconds.
LONGEST_LEASE = 900.0


def prefix(namespace: str) -> str:
    """The prefix of all keys of a namespace."""
    return f"{PREFIX}{namespace}:"


def queue_name(model: str, digest: str = "") -> str:
    """The queue of a model, which its workers serve. The version keeps old programs from new messages.

    Workers also serve the queue of their model's digest. If a job is pinned to another digest than a worker has, the
    worker forwards the message there. All other messages go to the first queue, so its length is the backlog.
    """
    return f"v1.{model}:{digest}" if digest else f"v1.{model}"


@dataclass(frozen=True, slots=True)
class Hints:
    """What Redis knows of a job. Times are by the clock of Redis, so hosts need not agree on theirs."""

    now: float
    sent: dict[int, float]  #: chunk -> when its message was put on the queue
    #: chunk -> until when a worker holds it. Leases that start in the future are ignored (the clock was set back), and
    #: so are those longer than LONGEST_LEASE, which no worker takes
    leases: dict[int, float]
    waiting: int  #: messages on the queues of the job's model, of all jobs
    following: int | None = None  #: the chunk that `claim` returns next; None if Redis knows nothing of the job


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker says of itself with every heartbeat."""

    name: str
    model: str
    digest: str
    precision: str
    threads: int
    version: str
    max_positions: int = 0  #: tokens in the longest window that its model takes; 0: unknown
    trouble: str = ""  #: why it cannot use the storage, if it cannot
    storage: str = ""  #: the id of its storage
    host: str = ""
    job: str | None = None  #: the job whose chunk it holds, None while it holds none
    chunk: int | None = None
    held_seconds: float | None = None  #: how long it had held that chunk
    rows_per_second: float | None = None  #: over the last minute
    rss: int = 0  #: memory of the process that scores, in bytes; 0: unknown
    draining: bool = False  #: it is stopping, after the rows in flight
    attempt: int = 0  #: which attempt at that chunk it makes; 0: not begun
    #: Rows of that chunk that have their outcome.
    answered: NonNegativeInt = 0
    no_answer: NonNegativeInt = 0
    failed: NonNegativeInt = 0
    work: NonNegativeFloat = 0.0  #: of that chunk, done by now: seconds of one thread, by the cost curve
    cost: Cost | None = None  #: the cost curve of its model
    #: Seconds of work, by that curve, that a thread did in a second while all were busy; 0: not known yet.
    speed: NonNegativeFloat = 0.0
    #: Since its last heartbeat, by the queue's clock: `workers` fills it in.
    age_seconds: float = field(default=0.0, compare=False)

    #: Anybody may have written what is in Redis.
    __pydantic_config__: ClassVar[dict[str, bool]] = {"allow_inf_nan": False}


class Queue(Protocol):
    """The interface to the broker, except for the worker's Celery side. All methods raise RedisUnreachable."""

    def ping(self) -> None:
        """Raise RedisUnreachable unless the queue can be used."""
        ...

    def send(self, model: str, job: str, chunks: list[int], digest: str = "") -> None:
        """Put messages on the queue of the model, or of its digest, and record them as sent."""
        ...

    def hints(self, model: str, job: str, digest: str = "") -> Hints:
        """All hints of a job. `digest`: the one that the job is pinned to, if any."""
        ...

    def lease(self, job: str, chunk: int, owner: str, seconds: float) -> bool:
        """Acquire or renew the lease of a chunk. False if another owner has it."""
        ...

    def release(self, job: str, chunk: int, owner: str) -> None:
        """Give back the lease of an unfinished chunk, whose message is on the queue again. If another owner has taken
        it over, because this one was frozen, it stays."""
        ...

    def finish(self, job: str, chunk: int, owner: str) -> bool:
        """A chunk has its part: forget its message, and its lease unless another owner has it. True if no chunk of the
        job is queued, planned or leased any more, as far as Redis knows, or if it knows nothing of the job."""
        ...

    def plan(self, model: str, job: str, following: int, chunks: int, due: float) -> None:
        """Have `claim` return the chunks of a job from `following` on, unless the job is already planned. Jobs with the
        lowest `due` come first."""
        ...

    def planned(self, model: str, due: float, limit: int) -> list[str]:
        """The first `limit` jobs of which `claim` will return chunks, of those that are due before `due`."""
        ...

    def unplan(self, model: str, job: str) -> None:
        """Have `claim` return no more chunks of a job, until it is planned again."""
        ...

    def claim(self, model: str, waiting: int, each: int) -> tuple[str, int] | None:
        """The next chunk that was never sent, recorded as sent, for `put`. It is of the first job in the order that has
        fewer than `each` chunks queued or leased for each worker of the model. None if there is none, or if the model's
        queue has `waiting` messages for each worker."""
        ...

    def put(self, model: str, job: str, chunk: int) -> None:
        """Put the message of a chunk from `claim` on the queue of the model."""
        ...

    def unsend(self, job: str, chunks: list[int]) -> None:
        """Forget that messages of chunks were sent: the chunks have their part, or do not exist."""
        ...

    def forget(self, job: str) -> None:
        """Delete all hints of a job."""
        ...

    def ask(self, model: str, question: str, each: int) -> Asked:
        """Put the name of a question on the list of its model, unless no worker serves the model, or the list has
        `each` names for each worker."""
        ...

    def take_question(self, model: str, wait: float) -> str | None:
        """Take the name of the oldest question of a model, which anybody may have written; None if there is none within
        `wait` seconds, less than ten."""
        ...

    def announce(self, worker: WorkerInfo) -> None:
        """Send a worker's heartbeat. It counts as gone WORKER_TTL seconds after the last one."""
        ...

    def leave(self, name: str, model: str) -> None:
        """Remove a worker that stops."""
        ...

    def waiting(self, model: str, digest: str) -> int:
        """Messages on the queues that a worker of this model serves."""
        ...

    def queued(self, model: str, digest: str, limit: int) -> list[tuple[str, int]]:
        """The job and chunk of each message that waits on those queues, at most `limit` of a queue."""
        ...

    def serving(self, model: str) -> int:
        """How many workers serve a model, at least one."""
        ...

    def workers(self) -> list[WorkerInfo]:
        """All workers, by name, as of their last heartbeat, which was `age_seconds` ago."""
        ...

    def workers_elsewhere(self, model: str) -> int:
        """How many workers on this Redis serve a model for another storage, as far as a quick look finds them."""
        ...
