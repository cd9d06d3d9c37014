"""Logging of the long-running commands: text for people, or one JSON object a line for machines. Always on stderr.

In JSON the job, chunk, attempt and worker of a line are fields; in text they are part of the message.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from contract.errors import printable, printable_json

log = logging.getLogger("bulkqa")

_context: ContextVar[Mapping[str, object]] = ContextVar("context", default={})  # noqa: B039 - it is never changed
_process_context: dict[str, object] = {}

_STANDARD = frozenset(vars(logging.makeLogRecord({})))


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Add fields to what this thread logs within the block."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def set_process_context(**fields: object) -> None:
    """Add fields to everything that this process logs from now on."""
    _process_context.update(fields)


class TextFormatter(logging.Formatter):
    """A line for people, in which names from elsewhere act on no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, and its traceback."""
        return printable(super().format(record), keep="\n\t")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields of the context, and those of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": " ".join(record.getMessage().split()),  # Celery writes over several lines
        }
        entry |= {**_process_context, **_context.get()}
        entry |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return printable_json(json.dumps(entry, ensure_ascii=False, default=str))


def set_up(log_format: str, level: str) -> None:
    """Log to stderr: `log_format` is text or json, `level` a name of logging's."""
    handler = logging.StreamHandler(sys.stderr)
    text = TextFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    if log_format == "json":  # what Python and the command would print of an error
        sys.excepthook = lambda kind, error, trace: _log_uncaught(error)
        threading.excepthook = lambda failure: _log_uncaught(failure.exc_value)
        sys.unraisablehook = lambda failure: _log_uncaught(failure.exc_value)
    logging.getLogger("celery").setLevel(max(logging.WARNING, logging.getLevelName(level)))
    # The worker logs that it gives a chunk back; Celery would add a warning with a traceback.
    logging.getLogger("celery.app.trace").setLevel(logging.ERROR)


def _log_uncaught(error: BaseException | None) -> None:
    log.critical("uncaught: %s", error, exc_info=error)


def is_json() -> bool:
    """Whether this process logs in JSON, and so prints nothing else on stderr."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
