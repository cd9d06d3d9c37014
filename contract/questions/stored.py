"""A question in storage and its reply: a few rows with their options, and the predictions of a worker."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from contract.format import codec, layout
from contract.format.job import ModelRef, Options, Row
from contract.storage import Storage

#: Bytes of the rows of a question, at most: more is a job.
MOST_TEXT = 1 << 18
#: Bytes of a question as it is stored, at most: JSON takes up to six for one.
_MOST_BYTES = 16 * MOST_TEXT
#: Seconds after which a question or reply that nobody removed is swept.
_OLD = 3600.0


@dataclass(frozen=True, slots=True)
class Question:
    """A few rows that a worker is to answer at once."""

    model: str
    options: Options
    rows: tuple[Row, ...]
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class Reply:
    """The predictions of the rows of a question, in order, and the model that made them. None: it takes a job."""

    model: ModelRef
    predictions: list[dict[str, Any]] | None


def put(storage: Storage, question: Question) -> str:
    """Store a question. Returns its name, for the queue."""
    name = f"{int(time.time() * 1000):013d}-{secrets.token_hex(8)}"
    storage.create(layout.question(name), codec.line(question).encode(), durable=False)
    return name


def read(storage: Storage, name: str) -> Question | None:
    """The question of a name; None if it was removed, or is none."""
    try:
        data = storage.tail(layout.question(name), _MOST_BYTES + 1)
        question = codec.read(Question, data)
    except (FileNotFoundError, ValueError):
        return None
    return question if question.schema_version == 1 else None


def reply(storage: Storage, name: str, answer: Reply) -> None:
    """Store the reply to a question. The first one counts; any other is the same."""
    storage.create(layout.reply(name), codec.line(answer).encode(), durable=False)


def reply_to(storage: Storage, name: str) -> Reply | None:
    """The reply to a question; None while there is none, or if it is damaged."""
    try:
        return codec.read(Reply, storage.read(layout.reply(name)))
    except (FileNotFoundError, ValueError):
        return None


def remove(storage: Storage, name: str) -> None:
    """Remove a question and its reply."""
    storage.delete(layout.question(name))
    storage.delete(layout.reply(name))


def remove_old(storage: Storage, now: float) -> None:
    """Remove questions and replies that nobody has removed for an hour. `now`: seconds since 1970."""
    for name in set(map(layout.question_of, storage.list(layout.QUESTIONS))):
        if name and now - int(name[:13]) / 1000 > _OLD:
            remove(storage, name)
