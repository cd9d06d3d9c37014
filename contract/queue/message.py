"""What a message is on the wire, read from bytes that anybody may have written. Pure; knows nothing of Redis.

`read` is the gate: nothing passes it but the two values that a message of ours is for, and what Celery is given
(`made`) is made anew from these, so that nothing else that a sender wrote comes any further. A message of a later
version may carry more arguments and headers; it may not ask for anything.
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

#: Bytes of a message, at most; one of ours has about 1,400.
LIMIT = 8192
#: Brackets in a message, and so arrays and objects within one another; one of ours has about 12.
_BRACKETS = 64
#: What Celery would do at the wish of a message. None of ours has a wish.
_WISHES = ("eta", "expires", "group", "chord", "chain", "timelimit", "compression", "shadow", "stamped_headers")
_CALLS = ("callbacks", "errbacks", "chain", "chord")
_HIGHEST = 999_999_999
_QUEUE = re.compile(r"v1\.[!-~]{1,300}")


class NotOurs(ValueError):
    """What was read is no message of ours; its text says why, and holds nothing of what was read."""


def read(raw: bytes | str) -> tuple[str, int]:
    """The job and the chunk that an element of the queue asks for. Raises NotOurs."""
    message = _object(_json(raw), "the message")
    headers, properties = (_object(message.get(name), name) for name in ("headers", "properties"))
    if message.get("content-type") != "application/json" or message.get("content-encoding") != "utf-8":
        raise NotOurs("its content is not JSON in UTF-8")
    if headers.get("task") != TASK:
        raise NotOurs("it asks for another task")
    _no_wishes(headers, _WISHES)
    body = message.get("body")
    if properties.get("body_encoding") != "base64" or not isinstance(body, str):
        raise NotOurs("its body is not in base64")
    try:
        decoded = _json(base64.b64decode(body, validate=True))
    except ValueError as error:
        raise error if isinstance(error, NotOurs) else NotOurs("its body is not in base64") from None
    if not isinstance(decoded, list) or len(decoded) != 3 or not isinstance(decoded[0], list) or len(decoded[0]) < 2:
        raise NotOurs("its body holds no arguments")
    _no_wishes(_object(decoded[2], "what follows the arguments"), _CALLS)
    return checked(*decoded[0][:2])


def checked(job: object, chunk: object) -> tuple[str, int]:
    """The two, if they are of the right shape. Raises NotOurs."""
    try:
        check_job_id(job)  # type: ignore[arg-type]
    except UnknownJob:
        raise NotOurs("it names no job") from None
    if type(chunk) is not int or not 0 <= chunk <= _HIGHEST:
        raise NotOurs("it names no chunk")
    return str(job), chunk


def made(queue: str, job: str, chunk: int) -> dict[str, Any]:
    """A message as Celery takes it, with a delivery tag of its own: who acknowledges the same message delivered to
    another acknowledges nothing."""
    body = json.dumps([[job, chunk], {}, dict.fromkeys(_CALLS)], separators=(",", ":"))
    number = str(uuid4())
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TASK, "id": number, "root_id": number, "retries": 0},
        "properties": {
            "body_encoding": "base64",
            "correlation_id": number,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_mode": 2,
            "delivery_tag": str(uuid4()),
            "priority": 0,
        },
    }


def dumped(message: dict[str, Any]) -> str:
    """What `made` gave, as it goes on the queue."""
    return json.dumps(message, separators=(",", ":"))


def noted(queue: str, job: str, chunk: int) -> str:
    """What is kept of a message while it is not acknowledged."""
    return json.dumps([queue, job, chunk])


def read_noted(raw: bytes | str) -> tuple[str, str, int]:
    """Queue, job and chunk of what `noted` made. Raises NotOurs."""
    values = _json(raw)
    if not isinstance(values, list) or len(values) != 3 or not isinstance(values[0], str):
        raise NotOurs("it is not what a worker notes")
    if not _QUEUE.fullmatch(values[0]):
        raise NotOurs("it names no queue")
    return values[0], *checked(*values[1:])


def _json(raw: bytes | str) -> Any:
    """Raises NotOurs. What is long or deep is not parsed."""
    if len(raw) > LIMIT:
        raise NotOurs(f"it has more than {LIMIT} bytes")
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        if text.count("[") + text.count("{") > _BRACKETS:
            raise NotOurs("it is nested deeper than ours")
        return json.loads(text)
    except NotOurs:
        raise
    except ValueError:
        raise NotOurs("it is no JSON") from None


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotOurs(f"{what} is no object")
    return value


def _no_wishes(values: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        wish = values.get(name)
        if wish and wish != [None, None]:
            raise NotOurs(f"it asks for {name}")
