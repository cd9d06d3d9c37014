"""Logging of the long-running commands: text for people, or one JSON object a line for machines. Always on stderr.

What a line speaks of, its job, chunk, attempt and worker, is in fields of its own in JSON; in text the message says it.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_about: ContextVar[Mapping[str, object]] = ContextVar("about", default={})  # noqa: B039 - it is never changed
_always: dict[str, object] = {}

_STANDARD = frozenset(vars(logging.makeLogRecord({})))


@contextmanager
def speaking_of(**about: object) -> Iterator[None]:
    """What is logged within, by this thread, speaks of this."""
    token = _about.set({**_about.get(), **about})
    try:
        yield
    finally:
        _about.reset(token)


def always_speak_of(**about: object) -> None:
    """What this process logs from now on speaks of this."""
    _always.update(about)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what it speaks of, and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": " ".join(record.getMessage().split()),  # Celery writes over several lines
        }
        entry |= {**_always, **_about.get()}
        entry |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def set_up(log_format: str, level: str) -> None:
    """Log to stderr: `log_format` is text or json, `level` a name of logging's."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("celery").setLevel(max(logging.WARNING, logging.getLevelName(level)))
    # A chunk that is given back is logged by the worker; Celery would add a warning with a traceback.
    logging.getLogger("celery.app.trace").setLevel(logging.ERROR)
