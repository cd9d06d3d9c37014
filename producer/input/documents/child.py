"""The child that reads documents, within bounds of memory; who started it ends it if it takes too long.

Started as `python -m producer.input.documents.child DESCRIPTOR MEMORY`, with its end of a `multiprocessing.Pipe`. Takes
the name and the bytes of a document, answers with a JSON object and the text, and goes on until the pipe is closed.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from contract import command, machine
from producer.input.documents.extract import extract
from producer.input.documents.text import Unreadable
from producer.input.memory import Bound


def main(descriptor: int, memory: int) -> None:
    """Read documents until there are no more."""
    command.block_pandas()
    machine.end_with_parent()
    with Connection(descriptor) as connection, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            name, data = connection.recv_bytes().decode("utf-8", "surrogateescape"), connection.recv_bytes()
            about, text = _read(name, data, memory)
            connection.send_bytes(json.dumps(about).encode())
            connection.send_bytes(text)


def _read(name: str, data: bytes, memory: int) -> tuple[dict[str, Any], bytes]:
    try:
        with Bound(memory):
            text = extract(name, data)
            about = asdict(text)
            return about, about.pop("text").encode()
    except Unreadable as error:
        return {"code": error.code, "why": error.why}, b""
    except ImportError as error:
        return {"missing": error.name or "a library"}, b""
    except MemoryError:
        return {"code": "unreadable_document", "why": too_large(memory)}, b""
    except Exception as error:  # of a library: a document never costs the others
        return {"code": "unreadable_document", "why": f"it is damaged: {type(error).__name__}: {error}"[:300]}, b""


def too_large(memory: int) -> str:
    """Why a document that takes more than this many bytes of memory is not read."""
    return f"reading it takes more than {memory >> 20} MiB of memory: split it, or allow more (BULKQA_READ_MEMORY)"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
