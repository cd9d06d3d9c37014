"""A message on the wire, read from bytes that anybody may have written. Pure; knows nothing of Redis.

`read` is the gate: only the job and the chunk pass it. Celery gets a message that `build` makes from these two, so
nothing else that a sender wrote goes any further. A message of a later version may carry more arguments and headers; it
must not request anything of Celery.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from uuid import uuid4

from contract.errors import UnknownJob
from contract.format.job import check_job_id
from contract.queue import TASK

#: The most bytes of a message; ours have about 1,400.
LIMIT = 8192
#: The most brackets in a message, which bounds its nesting; ours have about 12.
_BRACKETS = 64
#: Headers and options by which a message makes Celery do more than run its task. Ours have none.
_REQUESTS = ("eta", "expires", "group", "chord", "chain", "timelimit", "compression", "shadow", "stamped_headers")
_CALLS = ("callbacks", "errbacks", "chain", "chord")
_HIGHEST = 999_999_999
_QUEUE = re.compile(r"v1\.[!-~]{1,300}")


class NotOurs(ValueError):
    """The bytes are not one of our messages. The text says why, and quotes nothing of them."""


def read(raw: bytes | str) -> tuple[str, int]:
    """The job and the chunk in an element of the queue. Raises NotOurs."""
    message = _object(_json(raw), "the message")
    headers, properties = (_object(message.get(name), name) for name in ("headers", "properties"))
    if message.get("content-type") != "application/json" or message.get("content-encoding") != "utf-8":
        raise NotOurs("its content type is not JSON in UTF-8")
    if headers.get("task") != TASK:
        raise NotOurs("it is for another task")
    _no_requests(headers, _REQUESTS)
    body = message.get("body")
    if properties.get("body_encoding") != "base64" or not isinstance(body, str):
        raise NotOurs("its body is not in base64")
    try:
        decoded = _json(base64.b64decode(body, validate=True))
    except ValueError as error:
        raise error if isinstance(error, NotOurs) else NotOurs("its body is not in base64") from None
    if not isinstance(decoded, list) or len(decoded) != 3 or not isinstance(decoded[0], list) or len(decoded[0]) < 2:
        raise NotOurs("its body has no arguments")
    _no_requests(_object(decoded[2], "the object behind the arguments"), _CALLS)
    return checked(*decoded[0][:2])


def checked(job: object, chunk: object) -> tuple[str, int]:
    """A job and a chunk, if they are valid. Raises NotOurs."""
    try:
        check_job_id(job)  # type: ignore[arg-type]
    except UnknownJob:
        raise NotOurs("it has no job id") from None
    if type(chunk) is not int or not 0 <= chunk <= _HIGHEST:
        raise NotOurs("it has no chunk number")
    return str(job), chunk


def build(queue: str, job: str, chunk: int) -> dict[str, Any]:
    """A message as Celery takes it, with a new delivery tag: if the same message was delivered to two workers, each
    acknowledges only its own delivery."""
    body = json.dumps([[job, chunk], {}, dict.fromkeys(_CALLS)], separators=(",", ":"))
    task_id = str(uuid4())
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TASK, "id": task_id, "root_id": task_id, "retries": 0},
        "properties": {
            "body_encoding": "base64",
            "correlation_id": task_id,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_mode": 2,
            "delivery_tag": str(uuid4()),
            "priority": 0,
        },
    }


def dump(message: dict[str, Any]) -> str:
    """A message from `build` as an element of the queue."""
    return json.dumps(message, separators=(",", ":"))


def dump_unacked(queue: str, job: str, chunk: int) -> str:
    """The entry in `unacked` for a message that was taken and is not acknowledged yet."""
    return json.dumps([queue, job, chunk])


def read_unacked(raw: bytes | str) -> tuple[str, str, int]:
    """Queue, job and chunk in an entry from `dump_unacked`. Raises NotOurs."""
    values = _json(raw)
    if not isinstance(values, list) or len(values) != 3 or not isinstance(values[0], str):
        raise NotOurs("it is not a queue, a job and a chunk")
    if not _QUEUE.fullmatch(values[0]):
        raise NotOurs("it has no queue name")
    return values[0], *checked(*values[1:])


def _json(raw: bytes | str) -> Any:
    """Parse JSON, unless it is too long or too deep. Raises NotOurs."""
    if len(raw) > LIMIT:
        raise NotOurs(f"it has more than {LIMIT} bytes")
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        if text.count("[") + text.count("{") > _BRACKETS:
            raise NotOurs("it is nested too deep")
        return json.loads(text)
    except NotOurs:
        raise
    except ValueError:
        raise NotOurs("it is not JSON") from None


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotOurs(f"{what} is not an object")
    return value


def _no_requests(values: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        value = values.get(name)
        if value and value != [None, None]:
            raise NotOurs(f"it requests {name}")
